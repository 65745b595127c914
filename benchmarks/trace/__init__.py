"""The size of the product, and the modules that one photo passes through (`make trace`)."""
