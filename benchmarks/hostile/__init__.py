"""Broken and hostile files, made by code, and a check of what the product does with them.

`make hostile` runs it.
"""
