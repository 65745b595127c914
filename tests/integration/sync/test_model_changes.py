"""Profiles and packs that change around a sync: one pack a run, and a sync for whoever waits."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from models.errors import S3DownloadError
from models.queries.runs import remember_prefix
from models.session import open_session
from models.tables import Event, utc_now
from models.vocabulary import ProfileName
from tasks.sync import batch
from tasks.sync.resync import list_resync_targets
from tests.support.event_box import EventBox
from tests.support.photos import read_sample, vary

PACKS = """
SELECT DISTINCT identity FROM pack JOIN face ON face.pack_id = pack.id
WHERE face.event_id = :event
"""


@pytest.fixture
def album(event: EventBox, configure: Callable[..., None]) -> EventBox:
    configure(batch_size=2)
    for index in range(6):
        event.put(f"day{index % 2}/{index}.jpg", vary(read_sample("astronaut.png"), index))
    return event


def change_profile(event: EventBox) -> None:
    with open_session() as session:
        session.get_one(Event, event.id).profile = ProfileName.GROUPS


def after_the_first_store(monkeypatch: pytest.MonkeyPatch, then: Callable[[Any], object]) -> None:
    store_slice, stored = batch.store_slice, []

    def store(sync: Any, *args: Any) -> None:
        store_slice(sync, *args)
        stored.append(sync)
        if len(stored) == 1:
            then(sync)

    monkeypatch.setattr(batch, "store_slice", store)


def read_pack(event: EventBox) -> str:
    return str(event.query(PACKS)[0].identity)


def test_a_profile_changed_while_a_sync_waits_for_its_retry_is_the_whole_runs(
    album: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def change_and_fail(_: Any) -> None:
        seen.append(read_pack(album))
        change_profile(album)
        raise S3DownloadError("S3 unreachable.")

    after_the_first_store(monkeypatch, change_and_fail)

    result = album.sync().result

    (pack,) = album.query(PACKS)
    assert pack.identity not in seen
    assert (result["total_found"], result["new_photos"], result["failed"]) == (6, 6, 0)
    assert set(album.face_counts().values()) == {1}


def test_a_profile_changed_during_a_sync_is_followed_by_that_run(
    album: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def change_and_ask(sync: Any) -> None:
        seen.append(read_pack(album))
        change_profile(album)
        # The photographer asks for the sync that is to read all anew: it joins this one.
        with open_session() as session:
            assert remember_prefix(session, sync.flow_run_id, album.id, album.prefix)

    after_the_first_store(monkeypatch, change_and_ask)

    result = album.sync().result

    (pack,) = album.query(PACKS)
    assert pack.identity not in seen
    assert result["total_found"] == 6


def test_a_sync_of_one_folder_takes_along_what_the_model_before_knew(album: EventBox) -> None:
    album.sync()
    before = read_pack(album)
    change_profile(album)

    result = album.sync(f"{album.prefix}day0/").result

    (pack,) = album.query(PACKS)
    assert pack.identity != before
    assert (result["total_found"], result["updated"]) == (6, 6)
    # Under one model a part is a part.
    assert album.sync(f"{album.prefix}day1/").result["total_found"] == 3


def test_an_idle_event_of_another_pack_is_resynced_and_no_other_idle_one(
    album: EventBox, make_event: Callable[..., EventBox], joined_stack: dict[str, str]
) -> None:
    idle = make_event()
    idle.put("a.jpg", vary(read_sample("astronaut.png"), 1))
    for event in (album, idle):
        event.sync()
    change_profile(album)
    with open_session() as session:
        for event in (album, idle):
            session.get_one(Event, event.id).active_until = utc_now() - timedelta(days=1)

    targets = {target.event_id for target in list_resync_targets.fn()}

    assert album.id in targets
    assert idle.id not in targets


def test_a_changed_profile_keeps_the_event_in_the_resync(
    event: EventBox, joined_stack: dict[str, str]
) -> None:
    with open_session() as session:
        session.get_one(Event, event.id).active_until = utc_now() - timedelta(days=1)
    url = f"{joined_stack['FACEPASS_API_URL']}/api/v1/events/{event.uuid}"
    httpx.patch(url, json={"profile": "groups"}, trust_env=False).raise_for_status()
    assert event.id in {target.event_id for target in list_resync_targets.fn()}
