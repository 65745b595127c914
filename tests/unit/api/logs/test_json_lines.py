"""The log for machines: every line of an API that runs is an object, and none holds a secret."""

import json
import logging
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from logging.config import dictConfig
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api.logs.config import build_log_config
from api.logs.json_lines import JsonFormatter
from tests.support.public_api import PublicApi, serve_api

KEY = "a photographer's secret key"
TOKEN = "a-guests-secret-token"  # of a gallery's link
SETTINGS = {
    "FACEPASS_LOG_FORMAT": "json",
    "FACEPASS_API_KEYS": f"anna:{sha256(KEY.encode()).hexdigest()}",
    "FACEPASS_DATABASE_URL": "postgresql://nobody:hidden-password@127.0.0.1:1/none",
    "FACEPASS_S3_BUCKET": "none",
    "PREFECT_API_URL": "http://127.0.0.1:1/api",
}


def format_record(**fields: Any) -> dict[str, Any]:
    """A record's line, read back."""
    record = logging.makeLogRecord(
        {"name": "api.x", "levelname": "INFO", "msg": "Event %d: «ё»\n2", "args": (7,), **fields}
    )
    line = JsonFormatter().format(record)
    assert "\n" not in line
    return dict(json.loads(line))


def test_a_line_says_when_how_grave_who_and_what() -> None:
    line = format_record()
    moment = datetime.fromisoformat(line.pop("time"))
    assert moment.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=5)
    assert line == {"level": "INFO", "logger": "api.x", "message": "Event 7: «ё»\n2"}


def test_what_a_record_is_about_are_fields() -> None:
    line = format_record(fields={"route": "/ready", "status": 200, "event_uuid": uuid4()})
    assert (line["route"], line["status"]) == ("/ready", 200)
    assert isinstance(line["event_uuid"], str)


def test_an_exception_is_one_line_too() -> None:
    try:
        raise ValueError("no number")
    except ValueError:
        line = format_record(exc_info=sys.exc_info())
    assert line["exception"].endswith("ValueError: no number")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_product_and_the_server_are_heard_in_either_format(log_format: Any) -> None:
    config = build_log_config(log_format)
    assert {"api", "models", "tasks", "uvicorn"} < set(config["loggers"])
    root = logging.getLogger()
    before = root.handlers[:]
    dictConfig({**config, "loggers": {}})  # it can be applied; the tests' loggers stay
    assert root.handlers == before


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """All that a served API wrote while it was called in right and wrong ways."""
    event = str(uuid4())
    with serve_api(tmp_path_factory.mktemp("api"), ["api"], SETTINGS) as api:
        call(api, "GET", "/health")
        call(api, "GET", f"/api/v1/events/{event}", headers={"X-API-Key": KEY})
        call(api, "GET", f"/api/v1/events/{event}", headers={"X-API-Key": f"{KEY}!"})
        call(api, "GET", f"/gallery/{TOKEN}", params={"X-Amz-Signature": TOKEN})
        call(api, "POST", "/api/v1/events", content=b"{", headers={"X-API-Key": KEY})
        call(api, "GET", f"/{TOKEN}")
        call(api, "GET", "/ready")
    lines = api.log().splitlines()
    return [dict(json.loads(line)) for line in lines]


def call(api: PublicApi, method: str, path: str, **options: Any) -> None:
    """Call, whatever the answer is."""
    httpx.request(method, f"{api.url}{path}", trust_env=False, timeout=60, **options)


def test_every_line_of_an_api_is_an_object(log: list[dict[str, Any]]) -> None:
    assert len(log) > 10  # its start, seven calls, its end, what failed
    for line in log:
        assert {"time", "level", "logger", "message"} <= set(line)
    calls = [line for line in log if "route" in line]
    assert len(calls) >= 7
    assert all({"method", "status", "ms", "from"} <= set(line) for line in calls)
    (asked,) = [line for line in calls if line.get("key")][:1]
    assert asked["key"] == "anna"
    assert asked["route"] == "/api/v1/events/{event_uuid}"
    assert len(asked["event_uuid"]) == 36


def test_no_line_holds_a_path_or_a_secret(log: list[dict[str, Any]]) -> None:
    text = json.dumps(log, ensure_ascii=False)
    for secret in (KEY, TOKEN, "X-Amz", "hidden-password", SETTINGS["FACEPASS_API_KEYS"]):
        assert secret not in text


def test_the_worker_writes_objects_with_prefects_setting(tmp_path: Path) -> None:
    program = (
        "from prefect.logging.configuration import setup_logging\n"
        "from prefect.logging import get_logger\n"
        "setup_logging()\n"
        "get_logger('flow_runs').warning('Photos of event %d wait', 7)\n"
    )
    name = "PREFECT_LOGGING_HANDLERS_CONSOLE_FORMATTER"
    assert f"`{name}=json`" in (Path(__file__).parents[4] / "docs/operations.md").read_text("utf-8")
    settings = {name: "json", "PREFECT_HOME": str(tmp_path), "PREFECT_LOGGING_TO_API_ENABLED": "0"}
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    (line,) = [json.loads(text) for text in result.stderr.splitlines()]
    assert (line["levelname"], line["args"]) == ("WARNING", [7])
