"""The real stack, seen from inside: this process joins it as a worker would."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from models.events import create_event
from models.prefixes import derive_original_key
from models.session import get_engine, open_session
from models.settings import get_settings
from tests.faults import FaultProxy


def forget_settings() -> None:
    """Have everything built from the settings built anew."""
    from tasks.engine import _load_engine
    from tasks.storage import get_bucket

    for cached in (get_settings, get_engine, get_bucket, _load_engine):
        cached.cache_clear()


@pytest.fixture(scope="session")
def joined_stack(stack_environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """This process as part of the stack: its settings and Prefect's come from stack.env."""
    from prefect.settings import (
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


@dataclass
class SyncOutcome:
    """How an in-process sync ended."""

    task_id: UUID
    state: Any

    @property
    def result(self) -> dict[str, Any]:
        """The guide's statistics."""
        data: dict[str, Any] = self.state.result()
        return data


class EventBox:
    """An event of its own for one test, with its folder in the real S3."""

    def __init__(self, name: str = "Свадьба Анны и Ёжи") -> None:
        from tasks.storage import get_bucket

        with open_session() as session:
            event = create_event(session, name=name)
            self.id, self.uuid, self.name = event.id or 0, event.uuid, event.name
        self.prefix = f"events/{self.id}/previews/"
        self.bucket = get_bucket()

    def put(self, name: str, content: bytes, *, original: bool = True) -> str:
        """Upload a preview and, unless told otherwise, its original; returns the preview's key."""
        key = f"{self.prefix}{name}"
        self.bucket.client.put_object(Bucket=self.bucket.name, Key=key, Body=content)
        if original:
            self.bucket.client.put_object(
                Bucket=self.bucket.name, Key=derive_original_key(key, self.id), Body=content
            )
        return key

    def remove(self, name: str) -> None:
        """Delete a preview."""
        self.bucket.client.delete_object(Bucket=self.bucket.name, Key=f"{self.prefix}{name}")

    def sync(self, prefix: str | None = None) -> SyncOutcome:
        """Run the flow in this process, retries and all."""
        from flows.sync_event_photos import sync_event_photos

        state = sync_event_photos(self.id, prefix or self.prefix, return_state=True)
        return SyncOutcome(state.state_details.flow_run_id, state)

    def query(self, statement: str) -> list[Any]:
        """Rows of a SELECT about this event (`:event`)."""
        from sqlalchemy import text

        with open_session() as session:
            return list(session.execute(text(statement), {"event": self.id}))

    def photos(self) -> dict[str, Any]:
        """The ledger: file name -> row."""
        rows = self.query("SELECT * FROM photo WHERE event_id = :event ORDER BY s3_key")
        return {row.s3_key.removeprefix(self.prefix): row for row in rows}

    def face_counts(self) -> dict[str, int]:
        """File name -> number of stored faces."""
        rows = self.query(
            "SELECT s3_key, count(face.id) AS faces FROM photo LEFT JOIN face"
            " ON face.photo_id = photo.id WHERE photo.event_id = :event GROUP BY s3_key"
        )
        return {row.s3_key.removeprefix(self.prefix): row.faces for row in rows}


@pytest.fixture
def event(joined_stack: dict[str, str]) -> EventBox:
    """A new event."""
    return EventBox()


@pytest.fixture
def make_event(joined_stack: dict[str, str]) -> Callable[..., EventBox]:
    """New events, as many as asked for."""
    return EventBox


@pytest.fixture
def s3_proxy(joined_stack: dict[str, str], configure: Callable[..., None]) -> Iterator[FaultProxy]:
    """A relay in front of the real S3 that a test can cut."""
    with FaultProxy(joined_stack["FACEPASS_S3_ENDPOINT_URL"]) as proxy:
        configure(s3_endpoint_url=proxy.url)
        yield proxy
