"""Measurements of the product, such as `make bench`. They are not part of the product."""
