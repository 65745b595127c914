"""The load of a whole season on PostgreSQL and Prefect: sizes, query plans, connections.

`make bench-capacity` runs it.
"""
