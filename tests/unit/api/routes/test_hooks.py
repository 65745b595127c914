"""The route for stores: who may tell, in which ways, and what is answered."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response

from api.app import create_app
from api.hooks.sns import SnsReceiver
from api.security import _get_rate_limiter
from models.settings import get_settings
from tests.support.local_client import open_local_client
from tests.support.sns_topic import ARN, SnsTopic

PATH = "/api/v1/hooks/s3"
SECRET = "a secret of some length"
RECORDS: dict[str, Any] = {
    "Records": [
        {
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "facepass"}, "object": {"key": "events/1/previews/1.jpg"}},
        },
        {
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "another"}, "object": {"key": "events/1/previews/1.jpg"}},
        },
    ]
}
TAKEN = {"taken": 1, "ignored": 1, "repeated": False}


class Told:
    """The keys that reached the application."""

    def __init__(self, app: FastAPI) -> None:
        self.keys: list[str] = []
        self._metrics = app.state.uploads.metrics
        app.state.uploads.add = self.keys.extend


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setenv("FACEPASS_S3_BUCKET", "facepass")
    get_settings.cache_clear()
    _get_rate_limiter.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    get_settings.cache_clear()
    _get_rate_limiter.cache_clear()


@pytest.fixture
def app() -> FastAPI:
    return create_app()


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    return open_local_client(app)


@pytest.fixture
def told(app: FastAPI) -> Told:
    return Told(app)


@pytest.fixture
def topic(app: FastAPI) -> SnsTopic:
    topic = SnsTopic()
    app.state.sns = SnsReceiver(topic.fetch)
    return topic


def configure(settings: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        settings.setenv(f"FACEPASS_{name.upper()}", value)
    get_settings.cache_clear()


def post(client: TestClient, content: Any = RECORDS, path: str = PATH, **headers: str) -> Response:
    # SNS calls its JSON text.
    headers = {"content-type": "text/plain; charset=UTF-8", **headers}
    response: Response = client.post(path, content=json.dumps(content), headers=headers)
    return response


def test_without_a_setting_no_store_may_tell(
    settings: pytest.MonkeyPatch, client: TestClient, told: Told
) -> None:
    for path in (PATH, f"{PATH}?key=", f"{PATH}?key=x"):
        answer = post(client, path=path, authorization="Bearer ")
        assert answer.status_code == 403
        assert "set FACEPASS_HOOK_SECRET" in answer.json()["detail"]
    assert told.keys == []


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        (f"?key={SECRET}", {}),
        ("", {"authorization": f"Bearer {SECRET}"}),  # MinIO, SeaweedFS
        ("", {"authorization": f"bearer {SECRET}"}),
        ("", {"authorization": "Basic " + base64.b64encode(f"s3:{SECRET}".encode()).decode()}),
        ("", {"x-hook-key": SECRET}),  # EventBridge
        ("?key=wrong", {"x-hook-key": SECRET}),
    ],
)
def test_the_secret_may_come_in_any_way_that_stores_have(
    settings: pytest.MonkeyPatch,
    client: TestClient,
    told: Told,
    query: str,
    headers: dict[str, str],
) -> None:
    configure(settings, hook_secret=SECRET)
    answer = post(client, path=PATH + query, **headers)
    assert (answer.status_code, answer.json()) == (202, TAKEN)
    assert told.keys == ["events/1/previews/1.jpg"]


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {}),
        ("?key=", {}),
        ("?key=wrong", {}),
        (f"?key={SECRET}x", {}),
        (f"?key={SECRET[:-1]}", {}),
        ("?key=%C3%A4%00", {}),
        ("", {"authorization": f"Basic {SECRET}"}),
        ("", {"authorization": "Basic ///"}),
        ("", {"authorization": SECRET}),
        ("", {"authorization": "Bearer"}),
        ("", {"x-hook-key": "ä"}),
        ("", {"x-api-key": SECRET}),
    ],
)
def test_who_has_no_secret_is_refused(
    settings: pytest.MonkeyPatch,
    client: TestClient,
    told: Told,
    query: str,
    headers: dict[str, str],
) -> None:
    configure(settings, hook_secret=SECRET)
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = client.post(PATH + query, json=RECORDS, headers=encoded)
    assert answer.status_code == 401
    assert "lacks the secret" in answer.json()["detail"]
    assert told.keys == []


def test_guessing_is_slow(settings: pytest.MonkeyPatch, client: TestClient) -> None:
    configure(settings, hook_secret=SECRET, guest_rate_limit="5/minute")
    assert {post(client).status_code for _ in range(5)} == {401}
    answer = post(client)
    assert answer.status_code == 429
    assert post(client, **{"x-hook-key": SECRET}).status_code == 202


def test_a_store_is_never_told_to_slow_down(
    settings: pytest.MonkeyPatch, client: TestClient
) -> None:
    configure(settings, hook_secret=SECRET, guest_rate_limit="5/minute", rate_limit="5/minute")
    calls = {post(client, **{"x-hook-key": SECRET}).status_code for _ in range(50)}
    assert calls == {202}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 70_000, b'"x"', b"{}"])
def test_a_bad_body_is_a_sentence(
    settings: pytest.MonkeyPatch, client: TestClient, body: bytes
) -> None:
    configure(settings, hook_secret=SECRET)
    answer = client.post(PATH, content=body, headers={"x-hook-key": SECRET})
    assert answer.status_code == 400
    assert "notification" in answer.json()["detail"]


def test_a_body_has_a_limit(settings: pytest.MonkeyPatch, client: TestClient) -> None:
    configure(settings, hook_secret=SECRET)
    large = b'{"Records": [], "x": "' + b"x" * 900_000 + b'"}'
    assert client.post(PATH, content=large, headers={"x-hook-key": SECRET}).status_code == 202
    larger = b"x" * 1_100_000
    assert client.post(PATH, content=larger, headers={"x-hook-key": SECRET}).status_code == 413


# --- SNS ---


def test_sns_is_believed_by_its_signature_and_its_topic(
    settings: pytest.MonkeyPatch, client: TestClient, told: Told, topic: SnsTopic
) -> None:
    configure(settings, hook_topics=f"arn:aws:sns:us-east-1:123456789012:other,{ARN}")
    answer = post(client, topic.build(Message=json.dumps(RECORDS)))
    assert (answer.status_code, answer.json()) == (202, TAKEN)
    assert told.keys == ["events/1/previews/1.jpg"]


def test_a_message_does_nothing_the_second_time(
    settings: pytest.MonkeyPatch, client: TestClient, told: Told, topic: SnsTopic
) -> None:
    configure(settings, hook_topics=ARN)
    message = topic.build(Message=json.dumps(RECORDS))
    assert post(client, message).json() == TAKEN
    answer = post(client, message)
    # No error: SNS sends a message again whose answer it has not seen.
    assert (answer.status_code, answer.json()["repeated"], answer.json()["taken"]) == (202, True, 0)
    assert len(told.keys) == 1


def test_a_wrong_signature_is_refused_with_or_without_the_secret(
    settings: pytest.MonkeyPatch, client: TestClient, told: Told, topic: SnsTopic
) -> None:
    configure(settings, hook_topics=ARN, hook_secret=SECRET)
    message = topic.build() | {"Message": json.dumps(RECORDS)}
    for headers in ({}, {"x-hook-key": SECRET}):
        answer = post(client, message, **headers)
        assert answer.status_code == 403
        assert "signature does not fit" in answer.json()["detail"]
    assert told.keys == []


def test_without_topics_sns_needs_the_secret(
    settings: pytest.MonkeyPatch, client: TestClient, told: Told, topic: SnsTopic
) -> None:
    configure(settings, hook_secret=SECRET)
    message = topic.build(Message=json.dumps(RECORDS))
    assert post(client, message).status_code == 401
    assert post(client, message, f"{PATH}?key={SECRET}").status_code == 202
    assert topic.asked[1:] == []  # nothing was asked for the refused one


def test_with_topics_alone_nothing_unsigned_is_taken(
    settings: pytest.MonkeyPatch, client: TestClient, told: Told, topic: SnsTopic
) -> None:
    configure(settings, hook_topics=ARN)
    assert post(client).status_code == 401
    stranger = SnsTopic(f"{ARN}-of-a-stranger").build(Message=json.dumps(RECORDS))
    answer = post(client, stranger)
    assert (answer.status_code, topic.asked) == (403, [])
    assert told.keys == []


def test_a_subscription_is_confirmed(
    settings: pytest.MonkeyPatch, client: TestClient, topic: SnsTopic
) -> None:
    configure(settings, hook_topics=ARN)
    message = topic.build("SubscriptionConfirmation")
    assert post(client, message).status_code == 202
    assert post(client, message).json()["repeated"]
    assert topic.asked.count(message["SubscribeURL"]) == 1
    elsewhere = topic.build("SubscriptionConfirmation", SubscribeURL="https://127.0.0.1/internal")
    assert post(client, elsewhere).status_code == 403
    assert post(client, topic.build("UnsubscribeConfirmation")).status_code == 202
    assert topic.asked.count(message["SubscribeURL"]) == 1


def test_what_sns_carries_must_be_a_notification(
    settings: pytest.MonkeyPatch, client: TestClient, topic: SnsTopic
) -> None:
    configure(settings, hook_topics=ARN)
    for carried in ("hello", "{}", json.dumps(topic.build())):
        answer = post(client, topic.build(Message=carried))
        assert answer.status_code == 400, carried


def test_an_unavailable_sns_is_asked_again_by_its_own_next_try(
    settings: pytest.MonkeyPatch, app: FastAPI, client: TestClient, told: Told, topic: SnsTopic
) -> None:
    configure(settings, hook_topics=ARN)
    message = topic.build(Message=json.dumps(RECORDS))
    app.state.sns = SnsReceiver(lambda _url: b"busy")
    assert post(client, message).status_code == 503
    app.state.sns._fetch = topic.fetch
    assert post(client, message).json() == TAKEN
