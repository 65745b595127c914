"""Results shared by several workers through the real S3, and pruned."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.filesystems import LocalFileSystem

from deployments.result_storage import BLOCK_SLUG, build_block, create_result_storage, main
from models.settings import get_settings
from tasks.result_storage import load_storage_block
from tests.event_box import EventBox
from tests.photos import read_sample, vary

ROOT = Path(__file__).parents[2]
# Another worker's process: it must find what the first one left, and compute nothing.
SYNC_WITHOUT_ENGINE = """
import json, sys
from tasks import embed

def refuse(*_):
    raise AssertionError("computed again")

embed.embed_photos = refuse
from flows.sync_event_photos import sync_event_photos

state = sync_event_photos(int(sys.argv[1]), sys.argv[2], return_state=True)
sys.stdout.write(json.dumps(state.result()))
"""


def run_python(*arguments: str, **environment: str) -> str:
    """Run a Python process that joins the stack as this one does; its standard output."""
    process = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout


@pytest.fixture
def shared_results(configure: Callable[..., None]) -> Iterator[None]:
    """Results in S3, in the block that the command makes."""
    load_storage_block.cache_clear()
    create_result_storage(get_settings())
    configure(result_storage=BLOCK_SLUG)
    yield
    load_storage_block.cache_clear()


def list_keys(event: EventBox, prefix: str) -> dict[str, Any]:
    """Keys under a prefix, with the moment each was written."""
    answer = event.bucket.client.list_objects_v2(Bucket=event.bucket.name, Prefix=prefix)
    return {item["Key"]: item["LastModified"] for item in answer.get("Contents", [])}


def fill(event: EventBox, count: int) -> None:
    for index in range(count):
        event.put(f"{index}.jpg", vary(read_sample("astronaut.png"), index))


def find_local_results(environment: dict[str, str], event: EventBox) -> list[Path]:
    folder = Path(environment["PREFECT_LOCAL_STORAGE_PATH"]) / "embed" / str(event.id)
    return list(folder.rglob("*"))


def test_the_command_says_what_to_set_and_keeps_no_secret(joined_stack: dict[str, str]) -> None:
    printed = run_python("-m", "deployments.result_storage")

    assert f"FACEPASS_RESULT_STORAGE={BLOCK_SLUG}\n" in printed
    load_storage_block.cache_clear()
    block: Any = load_storage_block(BLOCK_SLUG)
    # Each worker uses AWS's usual chain, as for the photos.
    assert block.credentials.aws_secret_access_key is None
    assert joined_stack["AWS_SECRET_ACCESS_KEY"] not in printed + repr(block)


def test_another_worker_finds_the_results_of_the_first(
    event: EventBox, shared_results: None, joined_stack: dict[str, str], tmp_path: Path
) -> None:
    fill(event, 3)
    first = event.sync().result
    (key,) = list_keys(event, f"results/embed/{event.id}/")
    assert find_local_results(joined_stack, event) == []
    event.query("DELETE FROM photo WHERE event_id = :event RETURNING id")

    second = json.loads(
        run_python(
            *("-c", SYNC_WITHOUT_ENGINE, str(event.id), event.prefix),
            PREFECT_LOCAL_STORAGE_PATH=str(tmp_path),
        )
    )

    assert first["new_photos"] == second["new_photos"] == second["faces_found"] == 3
    assert set(event.face_counts().values()) == {1}
    assert list(tmp_path.iterdir()) == []
    assert list(list_keys(event, f"results/embed/{event.id}/")) == [key]


def test_credentials_of_a_block_stay_in_the_new_block_as_secrets(
    joined_stack: dict[str, str], configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx
    from prefect_aws import AwsCredentials

    secret = joined_stack["AWS_SECRET_ACCESS_KEY"]
    AwsCredentials(
        aws_access_key_id=joined_stack["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=secret,
        region_name=joined_stack["AWS_DEFAULT_REGION"],
    ).save("facepass-photos", overwrite=True)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    configure(aws_credentials_block="facepass-photos")
    load_storage_block.cache_clear()

    create_result_storage(get_settings())

    block: Any = load_storage_block(BLOCK_SLUG)
    block.write_path("check", b"written")
    assert block.read_path("check") == b"written"
    shown = httpx.post(f"{joined_stack['PREFECT_API_URL']}/block_documents/filter", json={}).text
    assert BLOCK_SLUG.partition("/")[2] in shown
    assert secret not in shown
    load_storage_block.cache_clear()


def test_a_bucket_that_cannot_be_written_is_refused_with_a_sentence(
    configure: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    configure(s3_bucket="no-such-bucket")
    assert main() == 1
    assert "no-such-bucket/results/ cannot be written (NoSuchBucket)" in capsys.readouterr().err


def test_a_block_that_is_not_there_ends_the_sync_with_a_sentence(
    event: EventBox, configure: Callable[..., None]
) -> None:
    fill(event, 1)
    configure(result_storage="s3-bucket/nothing-there")

    state = event.sync().state

    assert (state.type.value, state.name) == ("CRASHED", "Failed")
    (run,) = event.query("SELECT state, detail FROM sync_run WHERE event_id = :event")
    assert run.state == "failed"
    assert "python -m deployments.result_storage" in run.detail


def test_a_storage_that_fails_costs_no_photo(
    event: EventBox, configure: Callable[..., None]
) -> None:
    lost: Any = build_block(get_settings()).model_copy(update={"bucket_name": "lost-bucket"})
    lost.save("facepass-lost", overwrite=True)
    configure(result_storage="s3-bucket/facepass-lost")
    fill(event, 2)

    assert event.sync().result["new_photos"] == 2


def test_the_flow_prunes_what_has_expired_from_both_storages_and_nothing_else(
    event: EventBox,
    shared_results: None,
    joined_stack: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flows.prune_results import prune_results
    from tasks import prune

    block: Any = load_storage_block(BLOCK_SLUG)
    local: Any = LocalFileSystem(basepath=joined_stack["PREFECT_LOCAL_STORAGE_PATH"])
    photo = event.put("a.jpg", b"x")
    old, fresh = f"embed/{event.id}/old", f"embed/{event.id}/fresh"
    block.write_path("other/old", b"not ours")
    local.write_path(f"other-{event.id}", b"not ours")
    for storage in (block, local):
        storage.write_path(old, b"12345")
    time.sleep(4)
    for storage in (block, local):
        storage.write_path(fresh, b"12345")
    monkeypatch.setattr(prune, "CACHE_LIFETIME", timedelta(seconds=3))

    state = prune_results(return_state=True)

    counts = state.result()
    assert counts["deleted"] >= 2
    assert (counts["kept"], counts["failed"]) == (2, 0)
    assert state.name == f"Completed: {counts['deleted']} deleted, 2 kept"
    assert list(list_keys(event, "results/embed/")) == [f"results/{fresh}"]
    assert list_keys(event, "results/other/")
    assert photo in list_keys(event, event.prefix)
    assert [file.name for file in find_local_results(joined_stack, event)] == ["fresh"]
    assert local.read_path(f"other-{event.id}") == b"not ours"
