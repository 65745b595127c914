"""The seconds from a sync request to its answer and to the first face (`make bench-latency`)."""
