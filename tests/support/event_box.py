"""An event of its own for one test, in the real S3 and the real database."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from models.keys import derive_original_key
from models.queries.events import create_event
from models.session import open_session


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

    def __init__(self, name: str = "Свадьба Анны и Ёжи", s3_prefix: str | None = None) -> None:
        from tasks.s3.bucket import get_bucket

        with open_session() as session:
            event = create_event(session, name=name, s3_prefix=s3_prefix)
            self.id, self.uuid, self.name = event.id or 0, event.uuid, event.name
            self.folder, self.prefix = event.folder, event.s3_prefix
        self.bucket = get_bucket()

    def put(self, name: str, content: bytes, *, original: bool = True) -> str:
        """Upload a preview and, unless told otherwise, its original; returns the preview's key."""
        key = f"{self.prefix}{name}"
        self.bucket.client.put_object(Bucket=self.bucket.name, Key=key, Body=content)
        if original:
            self.bucket.client.put_object(
                Bucket=self.bucket.name, Key=derive_original_key(key, self.folder), Body=content
            )
        return key

    def remove(self, name: str) -> None:
        """Delete a preview."""
        self.bucket.client.delete_object(Bucket=self.bucket.name, Key=f"{self.prefix}{name}")

    def sync(self, prefix: str | None = None) -> SyncOutcome:
        """Run the flow in this process, retries and all."""
        from flows.sync_event_photos import sync_event_photos

        state = sync_event_photos(
            self.id, self.prefix if prefix is None else prefix, return_state=True
        )
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
