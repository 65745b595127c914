"""Unit tests: no server, no network; property tests that do not watch the clock."""

from hypothesis import settings

# A busy machine is slow, not wrong.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")
