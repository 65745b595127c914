"""Measurements: what `make bench` and its sisters run. Nothing here is part of the product."""
