"""Seconds from a request to its answer and to the first face (`make bench-latency`)."""
