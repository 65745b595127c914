"""A guest's search in large events (`make bench-search`)."""
