"""The functions behind `facepass events`, `status`, `link`, `qr`, `report` and `watch`.

Each result is the exit code of its command; errors are one sentence.
"""

import json
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

from rich.console import Console

from deployments.photographer.report import read_report, tell_report, write_csv
from deployments.photographer.target import find_event, open_api
from deployments.push.client import RestApi
from deployments.push.command import ExitCode, name_exit_code
from deployments.push.event import SYNC_ENDS, count_photos, describe_day, wait_for_sync
from deployments.push.report import Screen
from deployments.qr import draw_qr, is_local
from models.errors import FacePassError

PAGE = 100
POLL_S = 1.0
ONLY_HERE = "This link works on this computer only: start the stack with LAN=1 for phones."


def run_command(work: Callable[[RestApi], ExitCode]) -> int:
    """Do a command's work with the API; an error is told and becomes its exit code."""
    try:
        with closing(open_api()) as api:
            return work(api)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except FacePassError as error:
        sys.stderr.write(f"{error}\n")
        return name_exit_code(error)


def list_events(api: RestApi, name: str | None, *, as_json: bool) -> ExitCode:
    """Print every event, the newest first: its day, photos, failures, state and UUID."""
    events = _read_events(api, name)
    if as_json:
        _print_json(events)
        return ExitCode.DONE
    if not events:
        _print("There is no event yet." if name is None else f"No event's name has {name} in it.")
    for event in events:
        photos = event["photos"] or {}
        state = event["last_sync"]["state"] if event["last_sync"] else "never synced"
        state = "erased" if event["erased_at"] else state
        failed = f", {photos['failed']} failed" if photos.get("failed") else ""
        _print(
            f"{event['event_uuid']}  {describe_day(event)}  {event['name']}: "
            f"{count_photos(event)} photos{failed}, {event['faces']} faces; {state}"
        )
    return ExitCode.DONE


def _read_events(api: RestApi, name: str | None) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": PAGE} | ({} if name is None else {"name": name})
    while True:
        page = api.get("events", **query)
        events += page
        if len(page) < PAGE:
            return events
        query["after"] = page[-1]["event_id"]


def show_status(api: RestApi, wanted: str, *, as_json: bool) -> ExitCode:
    """Print an event's day, photos and faces, its newest sync, and the guests' link."""
    event = find_event(api, wanted)
    sync = _read_last_sync(api, event)
    if as_json:
        _print_json({**event, "sync": sync})
        return ExitCode.DONE
    counts = {status: count for status, count in event["photos"].items() if count}
    about = filter(None, [event["name"], describe_day(event), event["event_uuid"]])
    _print(f"Event     {', '.join(about)}")
    listed = ", ".join(f"{count} {status}" for status, count in counts.items()) or "none yet"
    _print(f"Photos    {listed}; {event['faces']} faces")
    if event["erased_at"]:
        _print(f"Erased    {event['erased_at']}: it takes no photos until it is resumed")
    if event.get("open_requests"):
        _print(f"Guests    {event['open_requests']} requests wait for you")
    _print(f"Sync      {_tell_sync(sync)}")
    _print(f"Gallery   {event['gallery_url']}")
    return ExitCode.DONE


def _read_last_sync(api: RestApi, event: dict[str, Any]) -> dict[str, Any] | None:
    last = event["last_sync"]
    return api.get(f"faces/sync-s3/{last['task_id']}") if last else None


def _tell_sync(sync: dict[str, Any] | None) -> str:
    if sync is None:
        return "none yet"
    progress = sync["progress"]
    counted = f"{progress['processed']} of {progress['total']} photos"
    return ", ".join(filter(None, [sync["state"], counted, sync["detail"]]))


def show_link(api: RestApi, wanted: str) -> ExitCode:
    """Print the guests' link alone, for scripts."""
    url = find_event(api, wanted)["gallery_url"]
    _print(url)
    if is_local(url):
        sys.stderr.write(f"{ONLY_HERE}\n")
    return ExitCode.DONE


def show_qr(api: RestApi, wanted: str) -> ExitCode:
    """Print the guests' link as a QR code."""
    url = find_event(api, wanted)["gallery_url"]
    _print(draw_qr(url))
    return show_link(api, wanted)


def show_report(api: RestApi, wanted: str, *, as_json: bool, as_csv: bool) -> ExitCode:
    """Print what became of an event's photos, and the link of the report's page."""
    event = find_event(api, wanted)
    if as_csv:
        write_csv(api, event, sys.stdout)
        return ExitCode.DONE
    report = read_report(api, event, _read_last_sync(api, event))
    if as_json:
        _print_json(report)
    else:
        for line in tell_report(report):
            _print(line)
    return ExitCode.DONE


def watch_sync(api: RestApi, wanted: str) -> ExitCode:
    """Follow an event's sync to its end; INCOMPLETE where it did not complete."""
    event = find_event(api, wanted)
    if event["last_sync"] is None or event["last_sync"]["state"] in SYNC_ENDS:
        last = _tell_sync(_read_last_sync(api, event))
        _print(f"No sync of {event['name']} is under way; the last one: {last}")
        return ExitCode.DONE
    task_id = event["last_sync"]["task_id"]
    screen = Screen(Console(stderr=True, highlight=False, soft_wrap=True))
    with screen.show_sync() as show:
        status = wait_for_sync(
            lambda: api.get(f"faces/sync-s3/{task_id}"),
            lambda status: show(status, event["faces"]),
            pause_s=POLL_S,
        )
    _print(_tell_sync(status))
    return ExitCode.DONE if status["state"] == "completed" else ExitCode.INCOMPLETE


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _print_json(value: object) -> None:
    _print(json.dumps(value, ensure_ascii=False))
