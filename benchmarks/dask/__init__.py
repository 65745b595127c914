"""Syncs of one event on a Dask cluster with up to 64 workers (`make bench-dask`)."""
