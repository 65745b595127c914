"""Fixtures of the benchmarks' own tests: the same as the project's."""

from hypothesis import settings

from tests.conftest import models_root  # noqa: F401  (a fixture)

# A busy machine is slow, not wrong.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")
