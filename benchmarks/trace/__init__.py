"""The size of the product, and one photo's way through its modules (`make trace`)."""
