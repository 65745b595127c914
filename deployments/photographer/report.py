"""The report of an event for its photographer: read through the API, as lines, JSON or CSV."""

import csv
from collections.abc import Iterator
from typing import Any, TextIO

from deployments.push.client import RestApi
from models.findings import advise_left_out, list_kinds

PAGE = 500
COLUMNS = (
    "s3_key", "status", "reason", "faces", "opened", "original_missing", "taken_at", "photo_id",
)  # fmt: skip
_SHOWN = {"indexed", "no_face"}  # to guests
_AWAY = {"gone", "erased"}  # nobody waits for their originals


def read_report(api: RestApi, event: dict[str, Any], sync: dict[str, Any] | None) -> dict[str, Any]:
    """Counts, failures with their full keys and reasons, what was left out and what nobody opened.

    sync: the newest one's status, where there is one.
    """
    result = (sync or {}).get("result") or {}
    return {
        "event": {name: event[name] for name in ("event_id", "event_uuid", "name", "held_on")},
        "photos": event["photos"],
        "faces": event["faces"],
        "failed": [
            {"s3_key": photo["s3_key"], "reason": photo["reason"]}
            for photo in _read_photos(api, event, status="failed")
        ],
        "no_face": [photo["s3_key"] for photo in _read_photos(api, event, status="no_face")],
        "original_missing": [
            photo["s3_key"]
            for photo in _read_photos(api, event, original_missing=True)
            if photo["status"] not in _AWAY
        ],
        "not_opened": [
            photo["s3_key"]
            for photo in _read_photos(api, event, opened=False)
            if photo["status"] in _SHOWN
        ],
        "left_out": result.get("ignored", {}),
        "open_requests": event["open_requests"],
        **api.post(f"events/{event['event_uuid']}/report-link", {}),
    }


def tell_report(report: dict[str, Any]) -> Iterator[str]:
    """The report, a line each."""
    counts = ", ".join(f"{count} {status}" for status, count in report["photos"].items() if count)
    yield f"Event     {report['event']['name']}, {report['event']['event_uuid']}"
    yield f"Photos    {counts or 'none yet'}; {report['faces']} faces"
    for photo in report["failed"]:
        yield f"Failed    {photo['s3_key']} ({photo['reason']})"
    for key in report["original_missing"]:
        yield f"Missing   the original of {key}"
    if left_out := list_kinds(report["left_out"]):
        yield " ".join([f"Left out  {left_out}.", *advise_left_out(report["left_out"])])
    yield f"Opened    {len(report['not_opened'])} photos were opened by no guest yet"
    if report["open_requests"]:
        yield f"Guests    {report['open_requests']} requests wait for you"
    yield f"Page      {report['report_url']} (for an hour)"


def write_csv(api: RestApi, event: dict[str, Any], file: TextIO) -> None:
    """A line for each photo, in the order of taking."""
    table = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(_read_photos(api, event))


def _read_photos(api: RestApi, event: dict[str, Any], **query: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 (a filter's value)
    cursor: str | None = "0"
    while cursor is not None:
        page = api.get(f"events/{event['event_uuid']}/photos", **query, limit=PAGE, cursor=cursor)
        yield from page["photos"]
        cursor = page["next_cursor"]
