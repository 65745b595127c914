"""A test's client of an application in its own process: a caller from this machine."""

from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient


def open_local_client(app: FastAPI, **options: Any) -> TestClient:
    """Starlette's own calls from `testclient` to `testserver`: a stranger without a key."""
    return TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 1), **options)
