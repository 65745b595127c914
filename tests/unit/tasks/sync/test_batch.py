"""One batch: when a photo that changes with every look is given up."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from uuid import uuid4

import pytest

from models.errors import SyncIncompleteError
from models.queries.outcomes import PhotoRef
from tasks.sync import batch
from tasks.sync.batch import request_another_look
from tasks.sync.context import SyncContext

SYNC = SyncContext(uuid4(), 1, "Свадьба", "events/1/previews/", 1, 1, "pack", "events/1/")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that the run is asked to list again; each photo changed once."""

    @contextmanager
    def open_session() -> Iterator[None]:
        yield None

    folders: list[str] = []
    monkeypatch.setattr(batch, "open_session", open_session)
    monkeypatch.setattr(batch, "remember_prefix", lambda *args: folders.append(args[-1]))
    monkeypatch.setattr(batch, "count_changes", lambda *_, **__: 1)
    return folders


def refer(*keys: str) -> list[PhotoRef]:
    # Looked at many times in its life: that is no change.
    return [PhotoRef(f"events/1/previews/{key}", "e", 40) for key in keys]


def test_folders_of_replaced_photos_are_listed_again_each_once(asked: list[str]) -> None:
    request_another_look(SYNC, refer("day2/a.jpg", "day1/b.jpg", "day2/c.jpg"))
    assert asked == ["events/1/previews/day1/", "events/1/previews/day2/"]


@pytest.mark.parametrize(("changes", "is_given_up"), [(4, False), (5, True)])
def test_a_photo_that_changed_five_times_in_a_run_is_given_up_until_the_next_attempt(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, changes: int, is_given_up: bool
) -> None:
    monkeypatch.setattr(batch, "count_changes", lambda *_, **__: changes)
    giving_up = pytest.raises(SyncIncompleteError, match="change with every look")
    with giving_up if is_given_up else nullcontext():
        request_another_look(SYNC, refer("a.jpg"))
    # Listed anew by the next attempt: the old ETag would never be found.
    assert asked == ["events/1/previews/"]
