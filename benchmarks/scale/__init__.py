"""The planning and storing of 100,000 photos (`make bench-scale`)."""
