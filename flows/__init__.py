"""The order of steps, readable in one look. No I/O of its own: every step is in tasks/."""
