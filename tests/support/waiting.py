"""Waiting for what a server does in its own time."""

import time
from collections.abc import Callable
from typing import Any

import pytest


def wait_until(condition: Callable[[], Any], limit_s: float = 240) -> None:
    """Ask until the answer is true; the test fails when that does not come."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail("what was waited for did not come")
        time.sleep(0.2)
