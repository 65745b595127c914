"""Planning and storing at 100,000 photos (`make bench-scale`)."""
