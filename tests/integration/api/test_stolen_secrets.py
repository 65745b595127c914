"""Stolen secrets, each tried as a thief would: the table in docs/security.md, cell by cell.

An S3 upload key, a gallery link, a photographer's key, and the environment of a worker.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import boto3
import httpx
import psycopg2
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from deployments.command_line.running_stack import PUSH_ENV_FILE, read_stack
from deployments.names import SYNC_DEPLOYMENT
from models.keys import derive_original_key
from tasks.s3.links import get_link_signer
from tests.support.event_box import EventBox
from tests.support.guests import give_consent, read_token
from tests.support.photos import encode_jpeg, encode_with_exif, read_sample, vary, write_exif
from tests.support.public_api import KEY, PublicApi

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

EVENTS = "/api/v1/events"
SYNC = "/api/v1/faces/sync-s3"
FACE = "astronaut.png"
OPEN = {"/health", "/ready", "/metrics"}


def connect(environment: dict[str, str], service: str = "s3") -> Any:
    return boto3.client(  # type: ignore[call-overload]
        service,
        endpoint_url=environment["FACEPASS_S3_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


@pytest.fixture(scope="module")
def upload_environment(joined_stack: dict[str, str]) -> dict[str, str]:
    """What uploaders get of a running stack."""
    return read_stack(Path(joined_stack["FACEPASS_HOME"]), PUSH_ENV_FILE)


@pytest.fixture(scope="module")
def uploader(upload_environment: dict[str, str]) -> "S3Client":
    client: S3Client = connect(upload_environment)
    return client


@pytest.fixture(scope="module")
def worker(joined_stack: dict[str, str]) -> "S3Client":
    """S3 with the keys of a worker."""
    client: S3Client = connect(joined_stack)
    return client


@pytest.fixture(scope="module")
def events(joined_stack: dict[str, str]) -> tuple[EventBox, EventBox]:
    """The thief's event and another; both synced, of the first one photo erased later."""
    mine, other = EventBox("Мой"), EventBox("Чужой")
    for event in (mine, other):
        for index in range(2):
            event.put(f"{index}.jpg", vary(read_sample(FACE), index))
        event.sync()
    return mine, other


@pytest.fixture
def guest(public_api: PublicApi) -> Iterator[httpx.Client]:
    with public_api.open(key=None) as client:
        yield client


@pytest.fixture
def photographer(public_api: PublicApi) -> Iterator[httpx.Client]:
    with public_api.open() as client:
        yield client


def name_photo(event: EventBox, name: str = "0.jpg") -> str:
    return f"photos/{event.photos()[name].id}"


def require_denied(call: Callable[..., object], **arguments: Any) -> None:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403, arguments


def require_key_refused(client: httpx.Client, key: str) -> None:
    """Every photographer's call answers 401 to this key."""
    client.headers["X-API-Key"] = key
    paths = client.get("/openapi.json").json()["paths"]
    tried = 0
    for path in paths.keys() - OPEN - {"/api/v1/faces/search", "/api/v1/hooks/s3"}:
        url = (
            path.replace("{photo_id}", "1")
            .replace("{form}", "svg")
            .replace("{camera}", "1f3a9c0b")
            .replace("{request_id}", "1")
        )
        for name in ("{event_uuid}", "{task_id}"):
            url = url.replace(name, str(uuid4()))
        bodies = {"name": "x", "event_uuid": str(uuid4()), "s3_prefix": "events/1/previews/"}
        for method in paths[path]:
            answer = client.request(method, url, json={**bodies, "profile": "standard"})
            assert answer.status_code == 401, (method, path)
            tried += 1
    assert tried > 10


# --- an S3 upload key ---


def test_an_upload_key_reads_replaces_and_deletes_the_photos_of_every_event(
    uploader: "S3Client", make_event: Callable[..., EventBox]
) -> None:
    for event in (make_event(), make_event("Другая")):
        key, bucket = event.put("a.jpg", b"before"), event.bucket.name
        for photo in (key, derive_original_key(key, event.folder)):
            assert uploader.get_object(Bucket=bucket, Key=photo)["Body"].read() == b"before"
            uploader.put_object(Bucket=bucket, Key=photo, Body=b"after")
            assert uploader.get_object(Bucket=bucket, Key=photo)["Body"].read() == b"after"
        listed = uploader.list_objects_v2(Bucket=bucket, Prefix=event.prefix)["Contents"]
        assert [item["Key"] for item in listed] == [key]
        uploader.delete_object(Bucket=bucket, Key=key)
        assert uploader.list_objects_v2(Bucket=bucket, Prefix=event.prefix)["KeyCount"] == 0


def test_an_upload_key_reaches_no_result_and_no_other_bucket(
    uploader: "S3Client", worker: "S3Client", event: EventBox
) -> None:
    photos, results = event.bucket.name, f"{event.bucket.name}-results"
    if results not in {bucket["Name"] for bucket in worker.list_buckets()["Buckets"]}:
        worker.create_bucket(Bucket=results)
    photo, key = event.put("a.jpg", b"x"), f"results/embed/{event.id}/stolen"
    for bucket in (results, photos):  # the second: of releases that kept results with the photos
        worker.put_object(Bucket=bucket, Key=key, Body=b"faces")
        require_denied(uploader.get_object, Bucket=bucket, Key=key)
        require_denied(uploader.head_object, Bucket=bucket, Key=key)
        require_denied(uploader.put_object, Bucket=bucket, Key=key, Body=b"poison")
        require_denied(uploader.delete_object, Bucket=bucket, Key=key)
        source = f"{bucket}/{key}"
        require_denied(uploader.copy_object, Bucket=photos, Key=f"{photo}2", CopySource=source)
        require_denied(uploader.copy_object, Bucket=bucket, Key=key, CopySource=f"{photos}/{photo}")
        assert worker.get_object(Bucket=bucket, Key=key)["Body"].read() == b"faces"
        worker.delete_object(Bucket=bucket, Key=key)
    require_denied(uploader.list_objects_v2, Bucket=results)


def test_an_upload_key_changes_no_bucket_and_no_right(
    uploader: "S3Client", upload_environment: dict[str, str], event: EventBox
) -> None:
    bucket = event.bucket.name
    require_denied(uploader.create_bucket, Bucket="mine")
    require_denied(uploader.delete_bucket, Bucket=bucket)
    require_denied(uploader.put_bucket_acl, Bucket=bucket, ACL="public-read")
    require_denied(uploader.put_bucket_policy, Bucket=bucket, Policy='{"Statement": []}')
    versions: Any = {"Status": "Enabled"}
    require_denied(uploader.put_bucket_versioning, Bucket=bucket, VersioningConfiguration=versions)
    rule = {"ID": "a", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    require_denied(
        uploader.put_bucket_lifecycle_configuration,
        Bucket=bucket,
        LifecycleConfiguration={"Rules": [rule]},
    )
    require_denied(connect(upload_environment, "iam").create_user, UserName="mine")


def test_an_upload_key_opens_neither_the_api_nor_a_gallery_nor_the_database(
    upload_environment: dict[str, str], joined_stack: dict[str, str], guest: httpx.Client
) -> None:
    assert not {"FACEPASS_DATABASE_URL", "PREFECT_API_URL"} & upload_environment.keys()
    assert not [name for name in upload_environment if "AUTH" in name or "PREFECT" in name]
    address = joined_stack["FACEPASS_DATABASE_URL"]
    for secret in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        value = upload_environment[secret]
        assert value != joined_stack[secret]
        assert guest.get(f"/gallery/{value}").status_code == 404
        require_key_refused(guest, value)
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(address.replace("facepass@", f"{value}@"))


# --- a gallery link ---


def test_a_gallery_link_shows_its_own_events_photos(
    guest: httpx.Client, events: tuple[EventBox, EventBox]
) -> None:
    mine, other = events
    token = read_token(mine)
    page = guest.get(f"/gallery/{token}")
    assert (page.status_code, mine.name in page.text) == (200, True)
    for kind in ("preview", "original"):
        own = guest.get(f"/gallery/{token}/{name_photo(mine)}/{kind}")
        assert (own.status_code, own.headers["content-type"]) == (200, "image/jpeg")
        theirs = guest.get(f"/gallery/{token}/{name_photo(other)}/{kind}")
        assert theirs.status_code == 404
    numbers = [other.photos()["0.jpg"].id]
    assert guest.post(f"/gallery/{token}/zip", data={"photo_ids": numbers}).status_code == 404
    assert other.name not in page.text
    assert read_token(other) not in page.text


def test_a_gallery_link_finds_a_person_in_its_own_event_alone(
    guest: httpx.Client, events: tuple[EventBox, EventBox]
) -> None:
    mine, other = events

    def search(**fields: str) -> httpx.Response:
        files = {"file": ("я.jpg", encode_jpeg(read_sample(FACE)), "image/jpeg")}
        return guest.post("/api/v1/faces/search", data=fields, files=files)

    token = read_token(mine)
    found = search(gallery_token=token, consent=give_consent(guest, token))
    assert found.status_code == 200, found.text
    keys = {match["s3_key"] for match in found.json()["matches"]}
    assert keys == {f"{mine.prefix}{name}" for name in ("0.jpg", "1.jpg")}
    assert "embedding" not in found.text
    assert search(event_uuid=str(other.uuid)).status_code == 401
    assert search(event_uuid=read_token(mine)).status_code in {400, 401}


def test_a_gallery_link_is_no_photographers_key(
    guest: httpx.Client, events: tuple[EventBox, EventBox]
) -> None:
    require_key_refused(guest, read_token(events[0]))


def test_a_gallery_link_changes_nothing_under_its_own_address(
    guest: httpx.Client, events: tuple[EventBox, EventBox]
) -> None:
    mine, _ = events
    before = mine.photos()
    photo = name_photo(mine)
    for path in ("", "/status", f"/{photo}", f"/{photo}/preview", f"/{photo}/original"):
        for method in ("DELETE", "PUT", "PATCH", "POST"):
            answer = guest.request(method, f"/gallery/{read_token(mine)}{path}")
            assert answer.status_code in {404, 405}, (method, path)
    assert mine.photos() == before


def test_a_guests_address_of_a_photo_opens_that_photo_alone(
    events: tuple[EventBox, EventBox],
) -> None:
    """The address in S3, where FACEPASS_PHOTO_DELIVERY=s3 leads a guest to."""
    mine, other = events
    url = get_link_signer().sign_view(f"{mine.prefix}0.jpg")
    with httpx.Client(trust_env=False) as client:
        assert client.get(url).status_code == 200
        assert client.put(url, content=b"x").status_code == 403
        assert client.delete(url).status_code == 403
        for path in (f"{mine.prefix}1.jpg", f"{other.prefix}0.jpg", ""):
            moved = f"/{mine.bucket.name}/{path}"
            assert client.get(url.replace(urlsplit(url).path, moved)).status_code == 403


def test_a_gallery_link_shows_no_erased_photo_and_nothing_once_it_is_rotated(
    guest: httpx.Client, photographer: httpx.Client, make_event: Callable[..., EventBox]
) -> None:
    event = make_event()
    event.put("a.jpg", encode_jpeg(read_sample(FACE)))
    event.put("b.jpg", vary(read_sample(FACE), 1))
    event.sync()
    old, photo = read_token(event), name_photo(event, "a.jpg")
    assert guest.get(f"/gallery/{old}/{photo}/preview").status_code == 200
    assert photographer.delete(f"{EVENTS}/{event.uuid}/{photo}").status_code == 200
    assert guest.get(f"/gallery/{old}/{photo}/preview").status_code == 404
    assert "a.jpg" not in guest.get(f"/gallery/{old}").text
    photographer.post(f"{EVENTS}/{event.uuid}/gallery-token").raise_for_status()
    assert guest.get(f"/gallery/{old}").status_code == 404
    assert guest.get(f"/gallery/{read_token(event)}").status_code == 200


# --- a photographer's key ---


def test_a_photographers_key_reads_every_event_and_its_link(
    photographer: httpx.Client, events: tuple[EventBox, EventBox]
) -> None:
    known = {event["event_uuid"]: event for event in photographer.get(EVENTS).json()}
    for event in events:
        assert known[str(event.uuid)]["name"] == event.name
        assert known[str(event.uuid)]["gallery_url"].endswith(read_token(event))
        files = {"file": ("я.jpg", encode_jpeg(read_sample(FACE)), "image/jpeg")}
        found = photographer.post(
            "/api/v1/faces/search", data={"event_uuid": str(event.uuid)}, files=files
        ).json()
        address = found["matches"][0]["preview_url"]
        assert httpx.get(address, trust_env=False).status_code == 200


def test_a_photographers_key_syncs_and_erases_every_event_and_leaves_the_files(
    photographer: httpx.Client, make_event: Callable[..., EventBox]
) -> None:
    for event in (make_event(), make_event("Другая")):
        photo = encode_with_exif(read_sample(FACE), write_exif("2026:06:20 12:00:00"))
        key = event.put("a.jpg", photo)
        event.sync()
        (camera,) = photographer.get(f"{EVENTS}/{event.uuid}/cameras").json()
        path = f"{EVENTS}/{event.uuid}/cameras/{camera['camera']}"
        assert photographer.put(path, json={"shift_seconds": 60}).status_code == 200
        body = {"event_uuid": str(event.uuid), "s3_prefix": event.prefix}
        assert photographer.post(SYNC, json=body).status_code == 200
        erased = photographer.delete(f"{EVENTS}/{event.uuid}/faces")
        assert erased.status_code == 200, erased.text
        assert event.query("SELECT 1 FROM face WHERE event_id = :event") == []
        event.bucket.client.head_object(Bucket=event.bucket.name, Key=key)


def test_a_photographers_call_chooses_no_code_that_runs(
    photographer: httpx.Client, prefect: httpx.Client, event: EventBox
) -> None:
    more = {
        "job_variables": {"command": "touch /tmp/stolen"},
        "deployment": "other/other",
        "entrypoint": "evil.py:run",
        "parameters": {"event_id": 0},
    }
    body = {"event_uuid": str(event.uuid), "s3_prefix": event.prefix, **more}
    answer = photographer.post(SYNC, json=body)
    assert answer.status_code == 200, answer.text
    run = prefect.get(f"/flow_runs/{answer.json()['task_id']}").json()
    assert not run["job_variables"]
    assert run["parameters"] == {"event_id": event.id, "s3_prefix": event.prefix}
    known = prefect.get(f"/deployments/name/{SYNC_DEPLOYMENT}").json()
    assert run["deployment_id"] == known["id"]


def find_vectors(answer: Any) -> list[Any]:
    """Lists of as many numbers as an embedding may have, and what is called one."""
    if isinstance(answer, dict):
        named = [name for name in answer if name in {"embedding", "vector"}]
        return [*named, *(v for value in answer.values() for v in find_vectors(value))]
    if isinstance(answer, list):
        if len(answer) >= 64 and all(isinstance(value, float) for value in answer):
            return [answer]
        return [v for value in answer for v in find_vectors(value)]
    return []


def test_a_photographers_key_reads_no_embedding_and_no_secret(
    photographer: httpx.Client, events: tuple[EventBox, EventBox], joined_stack: dict[str, str]
) -> None:
    mine, _ = events
    run = photographer.get(f"{EVENTS}/{mine.uuid}").json()["last_sync"]["task_id"]
    read = 0
    for path, calls in photographer.get("/openapi.json").json()["paths"].items():
        if "get" in calls and path not in OPEN:
            url = path.replace("{event_uuid}", str(mine.uuid)).replace("{task_id}", run)
            answer = photographer.get(url.replace("{form}", "svg"))
            assert answer.status_code == 200, url
            if answer.headers["content-type"] == "application/json":
                assert find_vectors(answer.json()) == []
            for secret in ("AWS_SECRET_ACCESS_KEY", "FACEPASS_DATABASE_URL"):
                assert joined_stack[secret] not in answer.text
            read += 1
    assert read >= 4


def test_a_photographers_key_opens_neither_s3_nor_the_database(
    joined_stack: dict[str, str], events: tuple[EventBox, EventBox]
) -> None:
    stolen = {"AWS_ACCESS_KEY_ID": "anna", "AWS_SECRET_ACCESS_KEY": KEY}
    client = connect({**joined_stack, **stolen})
    require_denied(client.list_objects_v2, Bucket=events[0].bucket.name)
    require_denied(client.put_object, Bucket=events[0].bucket.name, Key="a", Body=b"x")
    address = joined_stack["FACEPASS_DATABASE_URL"]
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(address.replace("facepass@", "anna@"))


# --- a worker's environment ---


def test_a_workers_environment_reads_and_writes_all_photos_faces_and_links(
    joined_stack: dict[str, str], worker: "S3Client", events: tuple[EventBox, EventBox]
) -> None:
    with closing(psycopg2.connect(joined_stack["FACEPASS_DATABASE_URL"])) as connection:
        for event in events:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT count(embedding), min(gallery_token) FROM face JOIN event"
                    " ON event.id = face.event_id WHERE event_id = %s",
                    (event.id,),
                )
                assert cursor.fetchall() == [(2, read_token(event))]
                cursor.execute("DELETE FROM face WHERE event_id = %s", (event.id,))
                assert cursor.rowcount == 2
            bucket, key = event.bucket.name, f"{event.prefix}0.jpg"
            content = worker.get_object(Bucket=bucket, Key=key)["Body"].read()
            worker.put_object(Bucket=bucket, Key=key, Body=content)
        connection.rollback()
    bucket = f"stolen-{uuid4().hex[:8]}"
    worker.create_bucket(Bucket=bucket)
    worker.delete_bucket(Bucket=bucket)


def test_a_workers_environment_queues_webhooks_that_the_api_will_sign(
    joined_stack: dict[str, str], events: tuple[EventBox, EventBox]
) -> None:
    with closing(psycopg2.connect(joined_stack["FACEPASS_DATABASE_URL"])) as connection:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO webhook_delivery"
                " (event_id, flow_run_id, payload, attempts, created_at, next_try_at)"
                " VALUES (%s, %s, '{}', 0, now(), now())",
                (events[0].id, str(uuid4())),
            )
            assert cursor.rowcount == 1
        connection.rollback()


def test_a_workers_environment_starts_runs_changes_deployments_and_reads_logs(
    prefect: httpx.Client, events: tuple[EventBox, EventBox]
) -> None:
    known = prefect.get(f"/deployments/name/{SYNC_DEPLOYMENT}").json()
    same = {"description": known["description"]}
    prefect.patch(f"/deployments/{known['id']}", json=same).raise_for_status()
    prefect.post("/logs/filter", json={"limit": 1}).raise_for_status()
    body = {
        "parameters": {"event_id": events[0].id, "s3_prefix": events[0].prefix},
        "state": {"type": "SCHEDULED", "state_details": {"scheduled_time": "2100-01-01T00:00:00Z"}},
    }
    run = prefect.post(f"/deployments/{known['id']}/create_flow_run", json=body)
    run.raise_for_status()
    prefect.delete(f"/flow_runs/{run.json()['id']}").raise_for_status()


@pytest.mark.parametrize(
    "statement",
    [
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "COPY (SELECT 1) TO '/tmp/facepass-stolen'",
        "SELECT pg_read_file('/etc/hostname')",
        "SELECT pg_ls_dir('/')",
        "SELECT rolpassword FROM pg_authid",
        "ALTER SYSTEM SET log_statement = 'all'",
        "CREATE ROLE thief SUPERUSER",
        "CREATE DATABASE thief",
        "ALTER ROLE facepass SUPERUSER",
        "SET ROLE postgres",
        "CREATE LANGUAGE plperlu",
    ],
)
def test_a_workers_environment_is_no_administrator_of_postgresql(
    joined_stack: dict[str, str], statement: str
) -> None:
    with (
        closing(psycopg2.connect(joined_stack["FACEPASS_DATABASE_URL"])) as connection,
        connection.cursor() as cursor,
    ):
        connection.autocommit = True  # CREATE DATABASE refuses a transaction
        with pytest.raises(psycopg2.Error) as refused:
            cursor.execute(statement)
        # 42501: permission denied. 58P01, 0A000: a language that is not there.
        assert refused.value.pgcode in {"42501", "58P01", "0A000"}, refused.value


def test_a_workers_environment_does_not_enter_prefects_database(
    joined_stack: dict[str, str],
) -> None:
    address = joined_stack["FACEPASS_DATABASE_URL"].replace("/facepass?", "/prefect?")
    assert address != joined_stack["FACEPASS_DATABASE_URL"]
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        psycopg2.connect(address)


def test_a_workers_environment_is_no_key_of_a_photographer(
    joined_stack: dict[str, str], guest: httpx.Client
) -> None:
    for secret in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        require_key_refused(guest, joined_stack[secret])
