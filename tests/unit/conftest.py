"""Unit tests: no server, no network; property tests that do not watch the clock."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# A busy machine is slow, not wrong.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")

# Of these names only what tests/conftest.py sets for everybody.
FOR_EVERYBODY = {"FACEPASS_RETRY_DELAY_S", "AWS_CA_BUNDLE"}


@pytest.fixture(scope="module", autouse=True)
def leave_stack() -> Iterator[None]:
    """Integration tests before these may have joined a stack: its settings are not a unit's."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("FACEPASS_", "AWS_")) and name not in FOR_EVERYBODY:
                patch.delenv(name)
        yield
