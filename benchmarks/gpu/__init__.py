"""Comparison of the guide's loop with our engine on an NVIDIA card (`make bench-gpu`)."""
