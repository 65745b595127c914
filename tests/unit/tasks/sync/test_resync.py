"""What the scheduled resync does about an event that it cannot look at."""

import pytest

from models.errors import (
    ConfigurationError,
    DatabaseOutdatedError,
    DatabaseRefusedError,
    DatabaseUnavailableError,
    EventErasedError,
    FacePassError,
    ModelPackError,
    S3AccessError,
    S3DownloadError,
)
from tasks.sync import resync

TARGET = resync.ResyncTarget(1, "events/1/previews/", "run")


def look(monkeypatch: pytest.MonkeyPatch, error: FacePassError) -> bool:
    def fail(_target: resync.ResyncTarget) -> bool:
        raise error

    monkeypatch.setattr(resync, "has_changed", fail)
    return resync._needs_sync(TARGET)


@pytest.mark.parametrize(
    "kind",
    [
        DatabaseUnavailableError,
        DatabaseRefusedError,
        DatabaseOutdatedError,
        S3AccessError,
        S3DownloadError,
    ],
)
def test_what_keeps_every_event_from_being_looked_at_starts_no_sync_of_each(
    monkeypatch: pytest.MonkeyPatch, kind: type[FacePassError]
) -> None:
    with pytest.raises(kind):
        look(monkeypatch, kind("x"))


@pytest.mark.parametrize("kind", [ConfigurationError, ModelPackError, EventErasedError])
def test_of_anything_else_the_events_own_sync_tells(
    monkeypatch: pytest.MonkeyPatch, kind: type[FacePassError]
) -> None:
    assert look(monkeypatch, kind("x"))
