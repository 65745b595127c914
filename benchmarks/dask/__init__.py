"""One event over a Dask cluster, up to 64 workers (`make bench-dask`)."""
