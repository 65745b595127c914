"""What an operator asks: is it ready, what is away, what has it done; told without a name."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text as sql

from api.app import create_app
from api.metrics import FRESH_S
from api.routes import health
from models.keys import build_reembed_prefix
from models.queries.packs import register_pack
from models.queries.runs import REEMBED, end_run, ensure_run, mark_retrying
from models.queries.statistics import read_statistics
from models.session import open_session
from models.tables import GuestRequest, utc_now
from models.vocabulary import ErrorKind, GuestRequestKind, SyncState
from tests.support.event_box import EventBox
from tests.support.faults import FaultProxy
from tests.support.local_client import open_local_client
from tests.support.monitoring import ADDED, list_asked
from tests.support.photos import encode_jpeg, read_sample
from tests.support.waiting import wait_until

NOWHERE = "http://127.0.0.1:9"
PARTS = ("PostgreSQL", "S3", "Prefect")
NAMES = {
    "facepass_photos_processed",
    "facepass_photo_seconds_sum",
    "facepass_photo_seconds_count",
    "facepass_photos_success_ratio",
    "facepass_photos_skipped",
    "facepass_syncs",
    "facepass_syncs_stopped_by_s3",
    "facepass_photos",
    "facepass_photos_failed",
    "facepass_faces",
    "facepass_database_up",
    "facepass_http_requests_total",
    "facepass_http_request_seconds_bucket",
    "facepass_webhook_waiting",
    "facepass_webhook_attempts_total",
    "facepass_part_up",
    "facepass_guest_requests_waiting",
    "facepass_guest_request_oldest_seconds",
}


def read_metrics() -> tuple[dict[tuple[str, frozenset[tuple[str, str]]], float], str]:
    """Every sample of a new application's first scrape, and the text."""
    with open_local_client(create_app()) as client:
        client.get("/health")
        client.get("/gallery/some-token-of-a-guest")
        text = client.get("/metrics").text
    families = list(text_string_to_metric_families(text))
    samples = [sample for family in families for sample in family.samples]
    return {(s.name, frozenset(s.labels.items())): s.value for s in samples}, text


def test_faces_that_a_change_of_the_model_makes_ready_are_not_counted(event: EventBox) -> None:
    event.put("a.jpg", encode_jpeg(read_sample("astronaut.png")))
    event.sync()
    flow_run_id = uuid4()
    with open_session() as session:
        before = read_statistics(session).faces
        pack = register_pack(session, "another@0123", "MIT")
        run = ensure_run(
            session,
            flow_run_id=flow_run_id,
            event_id=event.id,
            s3_prefix=build_reembed_prefix(event.id),
        )
        run.state, run.tallies = SyncState.RUNNING, {REEMBED: {"photos": 1}}
    event.query(
        "INSERT INTO face (photo_id, event_id, pack_id, x1, y1, x2, y2, confidence, embedding)"
        f" SELECT photo_id, event_id, {pack}, x1, y1, x2, y2, confidence, embedding FROM face"
        " WHERE event_id = :event RETURNING 1"
    )
    assert sum(event.face_counts().values()) == 2
    with open_session() as session:
        assert read_statistics(session).faces == before
        end_run(session, flow_run_id, SyncState.FAILED)
    with open_session() as session:
        assert read_statistics(session).faces == before
        # A completed one leaves none beside: nobody looks for them any more.
        later = ensure_run(
            session,
            flow_run_id=uuid4(),
            event_id=event.id,
            s3_prefix=build_reembed_prefix(event.id),
        )
        later.tallies = {REEMBED: {"photos": 1}}
        later_id = later.flow_run_id
    with open_session() as session:
        end_run(session, later_id, SyncState.COMPLETED)
    with open_session() as session:
        assert read_statistics(session).faces == before + 1


def test_metrics_add_up_and_hold_no_name_and_no_token(event: EventBox) -> None:
    before, _ = read_metrics()
    event.put("a.jpg", encode_jpeg(read_sample("astronaut.png")))
    event.put("b.jpg", encode_jpeg(read_sample("coffee.png")))
    event.put("c.jpg", b"no image")
    event.sync()
    event.sync()
    after, text = read_metrics()

    def grown(name: str, **labels: str) -> float:
        key = (f"facepass_{name}", frozenset(labels.items()))
        return after[key] - before.get(key, 0.0)

    assert {name for name, _ in after} >= NAMES
    assert grown("photos_processed") == 3
    assert grown("photo_seconds_count") == 3
    assert grown("photo_seconds_sum") > 0
    assert grown("photos_skipped") == 2
    assert grown("syncs", state="completed") == 2
    assert grown("photos", status="indexed") == grown("photos", status="no_face") == 1
    assert grown("photos_failed", reason="not_an_image") == 1
    assert grown("faces") == 1
    assert 0 < after["facepass_photos_success_ratio", frozenset()] < 1
    token = event.query("SELECT gallery_token FROM event WHERE id = :event")[0][0]
    for secret in (event.name, str(event.uuid), event.prefix, token, "some-token", "a.jpg"):
        assert secret not in text


def test_what_alerts_and_dashboard_ask_for_is_in_a_real_answer(event: EventBox) -> None:
    event.put("a.jpg", b"no image")
    event.sync()
    told, _ = read_metrics()
    labels: dict[str, set[str]] = {}
    for name, pairs in told:
        labels.setdefault(name, set()).update(label for label, _ in pairs)
    selectors = [selector for asked in list_asked() for selector in asked.selectors]
    # What no store has told of has no sample yet; `up` is Prometheus's own.
    named = [s for s in selectors if not str(s.name).startswith("facepass_hook_")]
    assert len(named) > 40
    for selector in named:
        if selector.name != "up":
            wanted = {matcher.name for matcher in selector.matchers.matchers} - ADDED
            assert wanted <= labels[str(selector.name)], selector.prettify()
    assert {told["facepass_part_up", frozenset({("part", p)})] for p in PARTS} == {1.0}


def test_the_part_that_is_away_is_told_to_prometheus(configure: Callable[..., None]) -> None:
    configure(s3_bucket="no-such-bucket")

    def read_parts() -> dict[str, float]:
        told, _ = read_metrics()
        return {dict(pairs)["part"]: v for (name, pairs), v in told.items() if "part" in name}

    # On a busy machine a part that is well may not answer in time at first.
    wait_until(lambda: read_parts() == {"PostgreSQL": 1.0, "S3": 0.0, "Prefect": 1.0})


def test_a_guests_request_is_counted_until_it_is_settled(event: EventBox) -> None:
    event.put("a.jpg", b"no image")
    event.sync()
    with open_session() as session:
        before = read_statistics(session)
        photo = session.execute(
            sql("SELECT id FROM photo WHERE event_id = :event"), {"event": event.id}
        ).scalar_one()
        session.add(
            GuestRequest(
                event_id=event.id,
                photo_id=photo,
                kind=GuestRequestKind.REMOVE_PHOTO,
                created_at=utc_now() - timedelta(days=400),
            )
        )
        session.flush()
        after = read_statistics(session)
        assert after.requests_waiting == before.requests_waiting + 1
        assert after.oldest_request_s > timedelta(days=399).total_seconds()
        session.execute(sql("UPDATE guest_request SET settled_at = now()"))
        assert read_statistics(session).requests_waiting == 0
        assert read_statistics(session).oldest_request_s == 0
        session.rollback()


def test_syncs_that_wait_for_s3_are_counted(event: EventBox) -> None:
    from uuid import uuid4

    with open_session() as session:
        before = read_statistics(session).stopped_by_s3["retrying"]
        for detail, kind in (
            ("S3 unreachable (EndpointConnectionError).", ErrorKind.S3),
            ("The database is away.", ErrorKind.DATABASE),
        ):
            run = ensure_run(
                session, flow_run_id=uuid4(), event_id=event.id, s3_prefix=event.prefix
            )
            mark_retrying(
                session, run.flow_run_id, detail=detail, error_kind=kind, next_try_at=utc_now()
            )
        assert read_statistics(session).stopped_by_s3["retrying"] == before + 1
        session.rollback()


def test_metrics_outlive_the_database(configure: Callable[..., None]) -> None:
    configure(database_url="postgresql://nobody@127.0.0.1:9/nothing")
    samples, _ = read_metrics()
    assert samples["facepass_database_up", frozenset()] == 0
    assert not any(name == "facepass_photos" for name, _ in samples)
    assert FRESH_S < 10


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({}, ""),
        ({"database_url": "postgresql://nobody@127.0.0.1:9/nothing"}, "PostgreSQL"),
        ({"s3_bucket": "no-such-bucket"}, "S3"),
        (
            {"s3_bucket": "no-such-bucket", "database_url": "postgresql://u@127.0.0.1:9/x"},
            "PostgreSQL, S3",
        ),
    ],
)
def test_readiness_names_what_is_missing_and_no_address(
    configure: Callable[..., None], settings: dict[str, str], missing: str
) -> None:
    configure(**settings)
    detail = f"Not ready, no answer from: {missing}; the API's log says why."
    expected = (
        (503, {"detail": detail, "code": "not_ready"}) if missing else (200, {"status": "ok"})
    )
    with open_local_client(create_app()) as client:
        # On a busy machine a part that is well may not answer in time at first.
        wait_until(lambda: read_readiness(client) == expected)


def read_readiness(client: TestClient) -> tuple[int, object]:
    answer = client.get("/ready")
    return answer.status_code, answer.json()


def test_prefect_away_is_named(joined_stack: dict[str, str]) -> None:
    settings = {PREFECT_API_URL: f"{NOWHERE}/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(settings), open_local_client(create_app()) as client:
        wait_until(lambda: "no answer from: Prefect;" in client.get("/ready").json()["detail"])


def test_an_s3_that_never_answers_is_missing_after_a_while_and_takes_no_thread_of_the_others(
    s3_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PATIENCE_S", 0.5)
    s3_proxy.hang.set()
    with open_local_client(create_app()) as client:
        for _ in range(4):  # more than it has threads
            answer = client.get("/ready")
            assert (answer.status_code, "S3" in answer.json()["detail"]) == (503, True)
        assert client.get("/api/v1/events").status_code == 200
