"""Files that are no photos, and photos without an original: told wherever a run is told of."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.facepass import main
from tests.support.event_box import EventBox
from tests.support.photos import encode_jpeg, read_sample, vary
from tests.support.rest_api import RestApi
from tests.support.waiting import wait_until


def put(event: EventBox, *names: str, folder: str = "previews") -> None:
    """Upload files that no program reads."""
    for name in names:
        key = f"events/{event.id}/{folder}/{name}"
        event.bucket.client.put_object(Bucket=event.bucket.name, Key=key, Body=b"not read")


def sync_by_call(rest: RestApi, event: EventBox) -> dict[str, Any]:
    """Sync through the API and the worker; the last status."""
    task_id = rest.start_sync(event)
    wait_until(lambda: rest.read_sync(task_id)["result"] is not None)
    return rest.read_sync(task_id)


def wait_for_end(prefect: httpx.Client, flow_run_id: str) -> dict[str, Any]:
    """The state in which a flow run is completed, as Prefect's UI shows it."""

    def read_state() -> dict[str, Any]:
        state: dict[str, Any] = prefect.get(f"/flow_runs/{flow_run_id}").json()["state"]
        return state

    wait_until(lambda: read_state()["type"] == "COMPLETED")
    return read_state()


def read_page(prefect: httpx.Client, key: str) -> str:
    """The newest page of Markdown under a key in Prefect."""
    asked = {"artifacts": {"key": {"any_": [key]}}}
    (page,) = prefect.post("/artifacts/latest/filter", json=asked).json()
    return str(page["data"])


def test_a_folder_of_heic_previews_has_no_photos_and_says_why(
    event: EventBox, rest: RestApi, prefect: httpx.Client
) -> None:
    put(event, "IMG_1.HEIC", "день 2/IMG_2.heic", "IMG_3.HeiC", ".DS_Store", "Thumbs.db", "день 2/")

    status = sync_by_call(rest, event)

    message = "No photos found in S3; 3 HEIC files were left out"
    assert (status["state"], status["detail"]) == ("completed", message)
    assert (status["result"]["message"], status["result"]["ignored"]) == (message, {"heic": 3})
    assert status["result"]["total_found"] == 0
    state = wait_for_end(prefect, status["task_id"])
    assert state["name"] == "Completed: no photos in S3, 3 ignored"
    assert state["message"] == message
    page = read_page(prefect, f"event-{event.id}-summary")
    assert f"{message}." in page
    assert "| Files left out | 3 HEIC files |" in page
    assert "\n3 HEIC files were left out. " in page


def test_a_second_listing_of_a_prefix_counts_its_files_anew(
    event: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.queries.runs import remember_prefix
    from models.session import open_session
    from tasks.sync import plan

    put(event, "day1/IMG_1.HEIC", "day1/clip.MOV", "day2/IMG_2.cr2")
    event.put("day1/a.jpg", encode_jpeg(read_sample("coffee.png")))
    plan_prefix, planned = plan.plan_prefix, list[str]()

    def plan_and_ask_again(sync: Any, request: Any, *args: Any) -> Any:
        tally = plan_prefix(sync, request, *args)
        planned.append(request.s3_prefix)
        if len(planned) == 1:  # a part, then the whole, while the run works
            event.bucket.client.delete_object(
                Bucket=event.bucket.name, Key=f"{event.prefix}day1/clip.MOV"
            )
            for prefix in (f"{event.prefix}day1/", event.prefix):
                with open_session() as session:
                    remember_prefix(session, sync.flow_run_id, event.id, prefix)
        return tally

    monkeypatch.setattr(plan, "plan_prefix", plan_and_ask_again)
    result = event.sync(f"{event.prefix}day1/").result
    assert len(planned) > 1
    assert result["ignored"] == {"heic": 1, "raw": 1}
    # And a new sync begins at nothing.
    assert event.sync().result["ignored"] == {"heic": 1, "raw": 1}
    assert event.sync(f"{event.prefix}day2/").result["ignored"] == {"raw": 1}


def test_photos_without_an_original_are_in_the_message_for_as_long_as_they_are_there(
    event: EventBox, configure: Callable[..., None]
) -> None:
    configure(webhook_url="http://127.0.0.1:9/hook")
    for index in range(3):
        content = vary(read_sample("coffee.png"), index)
        event.put(f"{index}.jpg", content, original=index == 0)
    put(event, "clip.MOV")

    outcome = event.sync()

    message = "Successfully synced 3 new photos; 2 photos have no original; 1 video was left out"
    assert outcome.result["message"] == message
    assert outcome.state.name == ("Completed: 3 new, 0 skipped, 2 without an original, 1 ignored")
    again = event.sync().result
    assert again["message"] == message.replace("3 new", "0 new")
    (first, _) = event.query(
        "SELECT payload FROM webhook_delivery WHERE event_id = :event ORDER BY id"
    )
    assert first.payload["data"]["detail"] == message
    assert first.payload["data"]["result"]["ignored"] == {"video": 1}

    put(event, "1.jpg", "2.jpg", folder="originals")
    assert event.sync().result["message"] == (
        "Successfully synced 0 new photos; 1 video was left out"
    )


def test_what_gets_no_preview_among_the_originals_is_told(
    event: EventBox, joined_stack: dict[str, str], prefect: httpx.Client
) -> None:
    photo = encode_jpeg(read_sample("coffee.png").resize((300, 200)))
    for name in ("A.JPG", "B.jpg", "E.jfif"):
        key = f"events/{event.id}/originals/{name}"
        event.bucket.client.put_object(Bucket=event.bucket.name, Key=key, Body=photo)
    others = ["A.CR2", "G.MOV", "H.xmp", "I.xmp"]
    put(event, *others, ".DS_Store", "._A.JPG", folder="originals")

    url = f"{joined_stack['FACEPASS_API_URL']}/api/v1/events/{event.uuid}/previews"
    task_id = httpx.post(url, timeout=30).raise_for_status().json()["task_id"]
    state = wait_for_end(prefect, task_id)

    told = "1 RAW file beside its photo, 1 video and 2 other files"
    assert state["message"] == f"Made 3 previews; {told} were left out"
    assert state["name"] == "Completed: 3 made, 0 kept, 4 ignored"
    page = read_page(prefect, f"event-{event.id}-previews")
    assert f"| Files that get no preview | {told} |" in page


def test_a_jpeg_by_another_name_is_a_photo_in_s3_and_for_a_push(
    event: EventBox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("IMG_1.jfif", "IMG_2.JFIF", "IMG_3.jpe", "IMG_4.JIF", "IMG_5.pjpeg")
    for index, name in enumerate(names):
        event.put(name, vary(read_sample("astronaut.png"), index))
        (tmp_path / name).write_bytes(vary(read_sample("coffee.png"), index))
    for name in ("clip.MOV", "a.xmp", "b.xmp", "Thumbs.db", ".DS_Store"):
        (tmp_path / name).write_bytes(b"not read")
    put(event, "D.HEIC")

    result = event.sync().result
    assert (result["new_photos"], result["ignored"]) == (len(names), {"heic": 1})
    assert event.face_counts() == dict.fromkeys(names, 1)

    capsys.readouterr()
    assert main(["push", str(tmp_path), "--event", str(event.uuid)]) == 0
    shown = capsys.readouterr().err
    assert f"Photos    {len(names)}: {len(names)} sent" in shown
    assert "Left out  1 video, 2 other files and 2 hidden files." in shown
    assert "Note      1 HEIC file was left out. " in shown
    assert main(["push", str(tmp_path), "--event", str(event.uuid), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["skipped"] == {"video": 1, "other": 2, "hidden": 2}
    assert told["sync"]["result"]["ignored"] == {"heic": 1}
