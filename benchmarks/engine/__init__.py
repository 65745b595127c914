"""Comparisons of our face engine with the guide's loop, and of the whole job (`make bench`)."""
