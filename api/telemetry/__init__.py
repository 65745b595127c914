"""Telemetry: what the API tells of its calls to systems that watch it."""
