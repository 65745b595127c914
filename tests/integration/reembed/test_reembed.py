"""Changing an event's model on the real stack: nobody waits, nothing is mixed, nothing is lost."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.errors import InvalidCursorError
from models.queries.search import Cursor
from models.settings import get_settings
from tests.support.event_box import EventBox, SyncOutcome
from tests.support.guests import make_album, search, take_selfie
from tests.support.photos import encode_jpeg, read_sample
from tests.support.rest_api import RestApi
from tests.support.turned_zoo import write_turned_zoo
from tests.support.waiting import wait_until

TURNED = "turned_zoo"
OLD_FACES, NEW_FACES = 9, 10  # the second pack shows weaker detections too
PEOPLE = ("6 plain.jpg", "6 mirrored.jpg", "1 plain.jpg", "group plain.jpg")


@pytest.fixture(scope="module")
def turned(joined_stack: dict[str, str]) -> str:
    """The name of a second pack, beside the first one."""
    from tasks.packs.registry import resolve_pack

    zoo = resolve_pack(get_settings())
    write_turned_zoo(zoo.folder, zoo.folder.parent / TURNED)
    return TURNED


@pytest.fixture
def api(joined_stack: dict[str, str]) -> Iterator[httpx.Client]:
    url = joined_stack["FACEPASS_API_URL"]
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def album() -> dict[str, bytes]:
    return {name: content for name, content in make_album() if name in (*PEOPLE, "6 darker.jpg")}


@pytest.fixture
def wedding(event: EventBox, album: dict[str, bytes]) -> EventBox:
    """An event with people, a landscape and a broken file, synced."""
    for name in PEOPLE:
        event.put(name, album[name])
    event.put("кофе.jpg", encode_jpeg(read_sample("coffee.png")))
    event.put("broken.jpg", b"broken")
    assert event.sync().result["new_photos"] == len(PEOPLE) + 1
    return event


def change(event: EventBox, model_pack: str | None = None, profile: Any = None) -> SyncOutcome:
    """Run the flow in this process."""
    from flows.reembed_event import reembed_event

    state = reembed_event(event.id, model_pack, profile, return_state=True)
    return SyncOutcome(state.state_details.flow_run_id, state)


def address(event: EventBox, rest: str = "") -> str:
    return f"/api/v1/events/{event.uuid}{rest}"


def find(api: httpx.Client, event: EventBox) -> dict[str, float]:
    """Photos of the astronaut by name, with their similarities."""
    answer = search(api, event, take_selfie(6))
    assert answer.status_code == 200, answer.text
    return {
        match["s3_key"].removeprefix(event.prefix): match["similarity"]
        for match in answer.json()["matches"]
    }


def list_packs(event: EventBox) -> dict[str, int]:
    """Stored faces by the name of their pack."""
    rows = event.query(
        "SELECT pack.identity, count(*) AS faces FROM face JOIN pack ON pack.id = face.pack_id"
        " WHERE face.event_id = :event GROUP BY pack.identity"
    )
    return {row.identity.partition("@")[0]: row.faces for row in rows}


def show(api: httpx.Client, event: EventBox) -> Any:
    """What the API tells of the event's photos and faces."""
    details = api.get(address(event)).json()
    photos = api.get(address(event, "/photos")).json()["photos"]
    return details["photos"], details["faces"], [(p["s3_key"], p["faces"]) for p in photos]


def test_guests_search_by_the_old_faces_until_all_new_ones_are_there(
    wedding: EventBox,
    album: dict[str, bytes],
    api: httpx.Client,
    rest: RestApi,
    turned: str,
    configure: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configure(batch_size=2)
    before, told = find(api, wedding), show(api, wedding)
    assert before.keys() == {"6 plain.jpg", "6 mirrored.jpg"}
    assert list_packs(wedding) == {"opencv_zoo": OLD_FACES}
    wedding.put("6 mirrored.jpg", album["6 darker.jpg"])
    wedding.remove("1 plain.jpg")
    from tasks.sync import reembed

    switch_pack, meanwhile = reembed.switch_pack, []

    def look_before_the_switch(*args: Any, **named: Any) -> Any:
        assert list_packs(wedding) == {"opencv_zoo": OLD_FACES, TURNED: 7}
        assert find(api, wedding) == before
        assert show(api, wedding) == told
        task_id = rest.start_sync(wedding)
        status = rest.read_sync(task_id)
        assert (status["state"], status["progress"]) == ("running", {"processed": 5, "total": 5})
        for call in (
            api.patch(address(wedding), json={"profile": "groups"}),
            api.post(address(wedding, "/reembed"), json={"model_pack": "opencv_zoo"}),
        ):
            assert (call.status_code, "when that has ended" in call.text) == (409, True)
        meanwhile.append(task_id)
        return switch_pack(*args, **named)

    monkeypatch.setattr(reembed, "switch_pack", look_before_the_switch)

    outcome = change(wedding, turned)

    assert outcome.state.name == "Completed: 3 photos, 2 left to the sync"
    assert outcome.result["left"] == {"changed": 1, "vanished": 1}
    assert (outcome.result["faces_found"], outcome.result["no_face"]) == (7, 1)
    assert meanwhile == [str(outcome.task_id)]
    status = rest.read_sync(meanwhile[0])
    assert (status["state"], status["result"]) == ("completed", outcome.result)
    assert api.get(address(wedding)).json()["model_pack"] == turned
    assert list_packs(wedding) == {TURNED: 7}
    # The sync that was asked for meanwhile: what was left is read, what is known is not, though
    # the worker's settings name another pack.
    wait_until(lambda: len(list_syncs(wedding, "completed")) == 3)
    (_, _, result) = list_syncs(wedding, "completed")
    counts = ("total_found", "new_photos", "updated", "skipped", "failed", "gone")
    assert [result[name] for name in counts] == [5, 0, 1, 3, 1, 1]
    assert list_packs(wedding) == {TURNED: 8}
    after = find(api, wedding)
    assert after.keys() == before.keys()
    assert after["6 plain.jpg"] != before["6 plain.jpg"]
    # A photo that comes back is not taken for known by faces that went with the old pack.
    wedding.put("1 plain.jpg", album["1 plain.jpg"])
    assert wedding.sync().result["updated"] == 1
    assert list_packs(wedding) == {TURNED: NEW_FACES}
    assert wedding.sync().result["skipped"] == 5


def list_syncs(event: EventBox, state: str) -> list[dict[str, Any]]:
    """Results of the event's runs in this state, the oldest first."""
    rows = event.query(
        f"SELECT result FROM sync_run WHERE event_id = :event AND state = '{state}'"
        " ORDER BY created_at"
    )
    return [row.result for row in rows]


def test_a_search_that_runs_across_the_switch_answers_by_the_new_faces_alone(
    wedding: EventBox, api: httpx.Client, turned: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.packs import PackChoice
    from tasks import search as searching
    from tasks.faces.detected import UNREACHABLE, PhotoFaces
    from tasks.sync import reembed

    # S3 gives one photo at the second look only, which is never the cache's.
    find_faces, attempts = reembed.find_faces, []

    def lose_one(photos: Any, *args: Any) -> Any:
        found = find_faces(photos, *args)
        attempts.append([photo.attempts for photo in photos])
        return [PhotoFaces(None, UNREACHABLE), *found[1:]] if len(photos) > 1 else found

    monkeypatch.setattr(reembed, "find_faces", lose_one)
    read_selfies, looks = searching.read_selfies, []

    def read_while_the_model_changes(*args: Any) -> Any:
        selfie = read_selfies(*args)
        if not looks:
            assert change(wedding, turned).result["photos"] == 5
        looks.append(len(selfie.embedding))
        return selfie

    monkeypatch.setattr(searching, "read_selfies", read_while_the_model_changes)
    request = searching.SearchRequest(
        wedding.id, [encode_jpeg(take_selfie(6))], limit=9, choice=PackChoice()
    )

    matches = searching.search_faces(request).matches

    assert looks == [128, 256]
    # A page of the old order cannot be continued in the new one.
    later = replace(request, after=Cursor(-0.9, 1, pack_id=-1))
    with pytest.raises(InvalidCursorError, match="ask for the first page again"):
        searching.search_faces(later)
    both = {f"{wedding.prefix}6 {name}.jpg" for name in ("plain", "mirrored")}
    assert {match.photo.s3_key for match in matches} == both
    assert len(find(api, wedding)) == 2

    # Once it has begun to read, it reads all of that moment.
    has_foreign_faces = searching.has_foreign_faces

    def read_while_it_changes_back(*args: Any) -> bool:
        assert change(wedding, "opencv_zoo").result["photos"] == 5
        assert list_packs(wedding) == {"opencv_zoo": OLD_FACES}
        return has_foreign_faces(*args)

    monkeypatch.setattr(searching, "has_foreign_faces", read_while_it_changes_back)
    matches = searching.search_faces(replace(request, choice=PackChoice(turned))).matches
    assert {match.photo.s3_key for match in matches} == both
    first, again, _, once_more = attempts
    assert (len(first), len(again)) == (5, 1)
    assert min(first) >= 0 > again[0] > once_more[0]


# Runs a change of model in a process of its own that kills itself before the switch.
DOOMED = """
import os, signal, sys
from flows.reembed_event import reembed_event
from tasks.sync import reembed

reembed.switch_pack = lambda *args, **named: os.kill(os.getpid(), signal.SIGKILL)
reembed_event(int(sys.argv[1]), sys.argv[2])
"""


def test_a_change_that_failed_or_was_killed_harms_nothing_and_the_next_takes_what_was_kept(
    wedding: EventBox,
    api: httpx.Client,
    turned: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    before, told = find(api, wedding), show(api, wedding)
    # One that cannot be: a path, which the API does not take, to a folder without models.
    refused = api.post(address(wedding, "/reembed"), json={"model_pack": str(tmp_path)})
    assert (refused.status_code, "There is no model pack" in refused.text) == (400, True)
    outcome = change(wedding, str(tmp_path))
    assert (outcome.state.type.value, outcome.state.name) == ("FAILED", "Failed")
    assert "holds no models" in outcome.state.message
    doomed = subprocess.run(
        [sys.executable, "-c", DOOMED, str(wedding.id), turned],
        env=dict(os.environ),
        check=False,
        capture_output=True,
    )
    assert doomed.returncode == -signal.SIGKILL, doomed.stderr[-2000:]

    assert list_packs(wedding) == {"opencv_zoo": OLD_FACES, TURNED: NEW_FACES}
    assert (find(api, wedding), show(api, wedding)) == (before, told)
    # An ordinary sync is not disturbed, and neither is the event's own pack.
    result = wedding.sync().result
    assert (result["skipped"], result["failed"], result["faces_found"]) == (5, 1, 0)
    # A change to the pack that it has: nothing is read, and what was abandoned is gone.
    assert change(wedding, "opencv_zoo").result["photos"] == 0
    assert list_packs(wedding) == {"opencv_zoo": OLD_FACES}
    from tasks.sync import embed

    def compute(*_: Any, **__: Any) -> bytes:
        pytest.fail("what was embedded is computed again")

    monkeypatch.setattr(embed, "embed_photos", compute)

    assert change(wedding, turned).result["photos"] == 5

    assert list_packs(wedding) == {TURNED: NEW_FACES}
    assert find(api, wedding).keys() == before.keys()
    (run,) = wedding.query(
        "SELECT state FROM sync_run WHERE event_id = :event AND s3_prefix NOT LIKE '%previews%'"
        " ORDER BY created_at OFFSET 1 LIMIT 1"
    )
    assert run.state == "crashed"


def test_an_erasure_takes_both_packs_faces_and_stops_the_change(
    wedding: EventBox,
    turned: str,
    monkeypatch: pytest.MonkeyPatch,
    joined_stack: dict[str, str],
) -> None:
    from tasks.results.erasure import erase_event_faces
    from tasks.sync import reembed

    switch_pack, receipts = reembed.switch_pack, []

    def be_erased(*args: Any, **named: Any) -> Any:
        receipts.append(erase_event_faces(wedding.id))
        return switch_pack(*args, **named)

    monkeypatch.setattr(reembed, "switch_pack", be_erased)

    outcome = change(wedding, turned)

    assert (outcome.state.type.value, outcome.state.name) == ("CANCELLED", "Cancelled")
    (receipt,) = receipts
    assert receipt.faces_erased == OLD_FACES + NEW_FACES
    assert receipt.cached_results_erased == 2
    assert list_packs(wedding) == {}
    assert {photo.status for photo in wedding.photos().values()} == {"erased", "failed"}
    (row,) = wedding.query("SELECT model_pack FROM event WHERE id = :event")
    assert row.model_pack is None
    results = Path(joined_stack["PREFECT_LOCAL_STORAGE_PATH"]) / "embed" / str(wedding.id)
    assert [file for file in results.rglob("*") if file.is_file()] == []


def test_a_profile_is_changed_at_the_next_sync_or_at_once_without_waiting(
    wedding: EventBox, api: httpx.Client, rest: RestApi
) -> None:
    before = find(api, wedding)
    answer = api.patch(address(wedding), json={"profile": "groups"})
    assert "reads every photo" in answer.json()["message"]
    assert search(api, wedding, take_selfie(6)).json()["code"] == "needs_sync"

    result = wedding.sync().result

    assert (result["updated"], result["skipped"]) == (5, 0)
    assert result["faces_found"] >= 9
    (row,) = wedding.query(
        "SELECT DISTINCT identity FROM pack JOIN face ON face.pack_id = pack.id"
        " WHERE face.event_id = :event"
    )
    assert row.identity.endswith("+det1280")
    assert find(api, wedding).keys() == before.keys()
    assert wedding.sync().result["skipped"] == 5
    # Back, over the real worker, without a moment of waiting.
    answer = api.post(address(wedding, "/reembed"), json={"profile": "standard"})
    task_id = answer.raise_for_status().json()["task_id"]
    seen: list[str] = []

    def look() -> bool:
        state = rest.read_sync(task_id)["state"]
        if state not in seen:
            seen.append(state)
            assert find(api, wedding).keys() == before.keys()
        return state == "completed"

    wait_until(look)
    assert find(api, wedding) == before
    assert wedding.sync().result["skipped"] == 5
