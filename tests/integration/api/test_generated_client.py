"""A generated client of the API's document, and the story of docs/api.md with it."""

import importlib
import json
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import httpx
import pytest
from openapi_python_client import generate
from openapi_python_client.config import Config, ConfigFile, MetaType

from tasks.s3.bucket import get_bucket
from tests.support.guests import ASTRONAUT, take_selfie
from tests.support.photos import encode_jpeg, read_sample
from tests.support.public_api import PublicApi, name_keys, serve_api
from tests.support.waiting import wait_until

PACKAGE = "facepass_client"
KEY = "a-photographers-key"  # as `openssl rand` makes one: ASCII
PATIENCE_S = 60
# Pictures are bytes to the generator.
BYTES = "application/octet-stream"
PICTURES = {"image/*": BYTES, "image/svg+xml": BYTES, "application/pdf": BYTES}


class GeneratedClient:
    """The package, and a client of it with a photographer's key."""

    def __init__(self, url: str) -> None:
        self.models: Any = importlib.import_module(f"{PACKAGE}.models")
        self.types: Any = importlib.import_module(f"{PACKAGE}.types")
        connections: Any = importlib.import_module(f"{PACKAGE}.client")
        self.connection = connections.AuthenticatedClient(
            url,
            token=KEY,
            prefix="",
            auth_header_name="X-API-Key",
            timeout=httpx.Timeout(PATIENCE_S),
            httpx_args={"trust_env": False},
        )

    def call(self, tag: str, operation: str, *path: object, **arguments: object) -> Any:
        """What an operation answers, as an object of the client's."""
        module: ModuleType = importlib.import_module(f"{PACKAGE}.api.{tag}.{operation}")
        return module.sync(*path, client=self.connection, **arguments)


@pytest.fixture(scope="module")
def api(
    joined_stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PublicApi]:
    """The stack's API, with a key."""
    settings = {**joined_stack, "FACEPASS_API_KEYS": name_keys(anna=KEY)}
    with serve_api(tmp_path_factory.mktemp("api"), ["api"], settings) as served:
        yield served


@pytest.fixture(scope="module")
def client(api: PublicApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GeneratedClient]:
    """Generated without a network, and without a warning."""
    folder = tmp_path_factory.mktemp("client")
    document = folder / "openapi.json"
    with api.open(key=None) as stranger:
        document.write_text(json.dumps(stranger.get("/openapi.json").json()), "utf-8")
    config = Config.from_sources(
        ConfigFile(post_hooks=[], content_type_overrides=PICTURES),
        meta_type=MetaType.NONE,
        document_source=document,
        file_encoding="utf-8",
        overwrite=False,
        output_path=folder / PACKAGE,
    )
    assert [f"{error.header} {error.detail}" for error in generate(config=config)] == []
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield GeneratedClient(api.url)
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


def test_every_operation_of_the_document_is_there(client: GeneratedClient, api: PublicApi) -> None:
    with api.open(key=None) as stranger:
        paths = stranger.get("/openapi.json").json()["paths"]
    for calls in paths.values():
        for operation in calls.values():
            name = f"{PACKAGE}.api.{operation['tags'][0]}.{operation['operationId']}"
            assert callable(importlib.import_module(name).sync_detailed)


def test_the_client_tells_the_readmes_story(client: GeneratedClient) -> None:
    models = client.models
    event = client.call("events", "add_event", body=models.EventCreate(name="Свадьба"))
    assert event.s3_prefix.endswith("/previews/")

    bucket = get_bucket()
    photos = {"astronaut.jpg": "astronaut.png", "coffee.jpg": "coffee.png"}
    for name, sample in photos.items():
        picture = encode_jpeg(read_sample(sample))
        key = f"{event.s3_prefix}{name}"
        bucket.client.put_object(Bucket=bucket.name, Key=key, Body=picture)

    wanted = models.SyncRequest(event_uuid=event.event_uuid, s3_prefix=event.s3_prefix)
    sync = client.call("sync", "start_sync", body=wanted)

    def is_over() -> bool:
        status = client.call("sync", "read_sync", str(sync.task_id))
        return str(status.state) in {"completed", "failed", "crashed"}

    wait_until(is_over, 120)
    assert str(client.call("sync", "read_sync", str(sync.task_id)).state) == "completed"

    page = client.call("events", "list_photos", event.event_uuid)
    assert {Path(photo.s3_key).name for photo in page.photos} == set(photos)

    selfie = BytesIO(encode_jpeg(take_selfie(ASTRONAUT)))
    form = models.SearchPhotosBody(
        event_uuid=str(event.event_uuid),
        file=[client.types.File(selfie, "selfie.jpg", "image/jpeg")],
    )
    found = client.call("guests", "search_photos", body=form)
    assert [Path(match.s3_key).name for match in found.matches] == ["astronaut.jpg"]


def test_an_error_is_an_object_with_its_code(client: GeneratedClient) -> None:
    refusal = client.call("events", "read_event", uuid4())
    assert isinstance(refusal, client.models.ErrorAnswer)
    assert (refusal.code, refusal.detail) == ("event_not_found", "Event not found")
