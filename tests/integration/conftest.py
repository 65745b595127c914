"""The real stack, seen from inside: this process joins it as a worker would."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from deployments.stack.prefect import open_prefect_client
from models.session import get_database_engine
from models.settings import get_settings
from tests.support.event_box import EventBox
from tests.support.faults import FaultProxy
from tests.support.public_api import KEY, PublicApi, name_keys, serve_api
from tests.support.rest_api import RestApi


def forget_settings() -> None:
    """Have everything built from the settings built anew."""
    from tasks.faces.cache import reset_model_cache
    from tasks.s3.bucket import get_bucket, get_guests_bucket
    from tasks.s3.links import get_link_signer

    buckets = (get_bucket, get_guests_bucket)
    for cached in (get_settings, get_database_engine, *buckets, get_link_signer):
        cached.cache_clear()
    reset_model_cache()


@pytest.fixture(scope="session")
def joined_stack(stack_environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """This process as part of the stack: its settings and Prefect's come from stack.env."""
    from prefect.settings import (
        PREFECT_API_AUTH_STRING,
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        PREFECT_LOCAL_STORAGE_PATH,
        temporary_settings,
    )

    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack_environment.items():
            patch.setenv(name, value)
        forget_settings()
        with temporary_settings(
            {
                PREFECT_API_URL: stack_environment["PREFECT_API_URL"],
                PREFECT_API_AUTH_STRING: stack_environment["PREFECT_API_AUTH_STRING"],
                PREFECT_LOCAL_STORAGE_PATH: Path(stack_environment["PREFECT_LOCAL_STORAGE_PATH"]),
                PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None,
            }
        ):
            yield stack_environment
    forget_settings()


@pytest.fixture
def configure(
    joined_stack: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., None]]:
    """Change settings for one test: configure(batch_size=8)."""

    def change(**settings: object) -> None:
        for name, value in settings.items():
            monkeypatch.setenv(f"FACEPASS_{name.upper()}", str(value))
        forget_settings()

    yield change
    monkeypatch.undo()
    forget_settings()


@pytest.fixture
def event(joined_stack: dict[str, str]) -> EventBox:
    """A new event."""
    return EventBox()


@pytest.fixture
def make_event(joined_stack: dict[str, str]) -> Callable[..., EventBox]:
    """New events, as many as asked for."""
    return EventBox


@pytest.fixture
def rest(joined_stack: dict[str, str]) -> Iterator[RestApi]:
    """The stack's REST API."""
    with httpx.Client(base_url=joined_stack["FACEPASS_API_URL"], timeout=30) as client:
        yield RestApi(client)


@pytest.fixture
def prefect(joined_stack: dict[str, str]) -> Iterator[httpx.Client]:
    """The stack's Prefect server, as its UI calls it."""
    with open_prefect_client(joined_stack, timeout_s=30) as client:
        yield client


@pytest.fixture
def s3_proxy(joined_stack: dict[str, str], configure: Callable[..., None]) -> Iterator[FaultProxy]:
    """A relay in front of the real S3 that a test can cut."""
    with FaultProxy(joined_stack["FACEPASS_S3_ENDPOINT_URL"]).serve() as proxy:
        configure(s3_endpoint_url=proxy.url)
        yield proxy


@pytest.fixture(scope="session")
def public_api(
    joined_stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PublicApi]:
    """The API with a key, served on every address of this machine."""
    settings = {
        **joined_stack,
        "FACEPASS_API_KEYS": name_keys(anna=KEY),
        "FACEPASS_API_HOST": "0.0.0.0",  # noqa: S104 (it has keys)
        "FACEPASS_RATE_LIMIT": "100000/minute",
        "FACEPASS_GUEST_RATE_LIMIT": "100000/minute",
    }
    with serve_api(tmp_path_factory.mktemp("public"), ["api"], settings) as api:
        yield api
