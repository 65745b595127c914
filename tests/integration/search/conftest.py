"""A client of the running API, for all searches of a module."""

from collections.abc import Iterator

import httpx
import pytest


@pytest.fixture(scope="module")
def api(joined_stack: dict[str, str]) -> Iterator[httpx.Client]:
    url = joined_stack["FACEPASS_API_URL"]
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        yield client
