"""The API as the public meets it: real servers, keys, and every line they log."""

from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.support.public_api import KEY, PublicApi, serve_api

EVENTS = "/api/v1/events"
NOBODYS = "a1b2c3d4-e5f6-4890-abcd-ef1234567890"  # the same in every process that runs tests


def add_event(client: httpx.Client, name: str = "Свадьба") -> dict[str, str]:
    answer = client.post(EVENTS, json={"name": name})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", EVENTS),
        ("POST", EVENTS),
        ("GET", f"{EVENTS}/{NOBODYS}"),
        ("GET", f"{EVENTS}/{NOBODYS}/photos"),
        ("POST", f"{EVENTS}/{NOBODYS}/photos/requeue"),
        ("POST", f"{EVENTS}/{NOBODYS}/gallery-token"),
        ("POST", "/api/v1/faces/sync-s3"),
        ("GET", f"/api/v1/faces/sync-s3/{NOBODYS}"),
    ],
)
def test_nothing_of_a_photographers_is_there_without_the_header(
    public_api: PublicApi, method: str, path: str
) -> None:
    body = {"name": "x", "event_uuid": str(uuid4()), "s3_prefix": "events/1/previews/"}
    with public_api.open(key=None) as stranger:
        for query in ("", "?X-API-Key=", "?x_api_key=", "?api_key="):
            url = f"{path}{query}{query and 'k'}"
            answer = stranger.request(method, url, json=body, headers={"Authorization": "Bearer k"})
            assert (answer.status_code, answer.json()) == (
                401,
                {"detail": "Missing or unknown X-API-Key", "code": "key_needed"},
            )


def test_every_route_but_three_asks_for_the_key(public_api: PublicApi) -> None:
    with public_api.open(key=None) as stranger:
        paths = stranger.get("/openapi.json").json()["paths"]
        for path, calls in paths.items():
            for method in calls:
                url = path.replace("{event_uuid}", str(uuid4())).replace("{task_id}", str(uuid4()))
                status = stranger.request(method, url).status_code
                is_open = path in {"/health", "/ready", "/metrics"}
                # A body that is missing is told before a key that is; so is a guests' form. Stores
                # have a secret of their own, which is not set.
                own = {"/api/v1/faces/search": {400}, "/api/v1/hooks/s3": {403}}
                expected = own.get(path, {401, 422})
                assert status in ({200} if is_open else expected), (method, path, status)


def test_a_rotated_gallery_link_is_new_and_no_log_or_metric_holds_a_token_or_a_key(
    public_api: PublicApi,
) -> None:
    with public_api.open() as client:
        event = add_event(client)
        path = f"{EVENTS}/{event['event_uuid']}"
        links = [event["gallery_url"]]
        links += [client.post(f"{path}/gallery-token").json()["gallery_url"] for _ in range(2)]
        tokens = [link.rpartition("/gallery/")[2] for link in links]
        for token in tokens:
            client.get(f"/gallery/{token}", params={"X-Amz-Signature": token})
            client.get(f"{EVENTS}/{token}")
            client.get(f"/{token}%0aforged", headers={"X-API-Key": token, "Referer": token})
        assert client.get(path).json()["gallery_url"] == links[-1]
        metrics = client.get("/metrics").text
    log = public_api.log()
    assert len(set(tokens)) == 3
    assert all(len(token) == 32 for token in tokens)
    assert "GET /api/v1/events/{event_uuid} 200" in log
    assert f"event_uuid={event['event_uuid']} key=anna from=127.0.0.1" in log
    for secret in (*tokens, KEY, "Amz", "forged"):
        assert secret not in log
        assert secret not in metrics


def test_another_server_on_every_address_and_without_keys_answers_this_machine_alone(
    joined_stack: dict[str, str], tmp_path: Path
) -> None:
    argv = ["uvicorn", "api.app:create_app", "--factory", "--host", "0.0.0.0", "--port", "{port}"]  # noqa: S104 (what must be safe)
    with serve_api(tmp_path, argv, joined_stack) as api, api.open(key=None) as client:
        event = add_event(client)
        token = event["gallery_url"].rpartition("/gallery/")[2]
        client.get(f"/gallery/{token}")
        assert client.get(EVENTS, headers={"Host": "evil.example"}).status_code == 403
        assert client.get(EVENTS, headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 403
        assert client.get("/metrics", headers={"Origin": "https://evil.example"}).status_code == 403
        log = api.log()
    assert token not in log
    assert "/api/v1" not in log  # no access log at all, but ours where logging is configured


def test_the_wire_itself_is_read_with_care(public_api: PublicApi) -> None:
    with public_api.open() as client:
        chunks = (b"x" * 4096 for _ in range(64))
        large = client.post(EVENTS, content=chunks, headers={"Content-Type": "application/json"})
        assert large.status_code == 413
        for path in (
            "/%00",
            "/api/v1/events/%00",
            "/api/v1/events/%ff%fe/photos",
            "/%2e%2e/%2e%2e",
        ):
            assert client.get(path).status_code in {400, 404}
        photos = f"{EVENTS}/{uuid4()}/photos"
        for query in ("cursor=1&cursor=2", f"cursor={'9' * 400}", "limit=1e9", "status=%00", "%ff"):
            assert client.get(f"{photos}?{query}").status_code in {404, 422}
    assert "Traceback" not in public_api.log()
