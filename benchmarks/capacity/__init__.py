"""A season in PostgreSQL and in Prefect: sizes, plans, connections (`make bench-capacity`)."""
