"""Hostile files: a corpus made by code, and what the product makes of it (`make hostile`)."""
