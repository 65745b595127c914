"""One batch: when a photo that changes with every look is given up."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

from models.errors import SyncIncompleteError
from models.queries.outcomes import PhotoRef
from tasks.sync import batch
from tasks.sync.batch import request_another_look
from tasks.sync.context import SyncContext

SYNC = SyncContext(uuid4(), 1, "Свадьба", "events/1/previews/", 1, 1, "pack")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that the run is asked to list again."""

    @contextmanager
    def open_session() -> Iterator[None]:
        yield None

    folders: list[str] = []
    monkeypatch.setattr(batch, "open_session", open_session)
    monkeypatch.setattr(batch, "remember_prefix", lambda *args: folders.append(args[-1]))
    return folders


def test_folders_of_replaced_photos_are_listed_again_each_once(asked: list[str]) -> None:
    keys = ["day2/a.jpg", "day1/b.jpg", "day2/c.jpg"]
    request_another_look(SYNC, [PhotoRef(f"events/1/previews/{key}", "e", 4) for key in keys])
    assert asked == ["events/1/previews/day1/", "events/1/previews/day2/"]


def test_a_photo_that_changed_in_five_looks_is_given_up(asked: list[str]) -> None:
    photos = [PhotoRef("events/1/previews/a.jpg", "e", looks) for looks in (0, 5)]
    with pytest.raises(SyncIncompleteError, match="change with every look"):
        request_another_look(SYNC, photos)
    assert asked == []
