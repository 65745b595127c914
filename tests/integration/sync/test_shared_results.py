"""Results shared by several workers through the real S3, and pruned."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.filesystems import LocalFileSystem

from deployments.names import SYNC_DEPLOYMENT
from deployments.result_storage import BLOCK_SLUG, build_block, create_result_storage, main
from deployments.stack.prefect import open_prefect_client
from models.settings import get_settings
from tasks.results.erasure import erase_photo_faces
from tasks.results.storage import load_storage_block
from tests.support.event_box import EventBox
from tests.support.photos import read_sample, vary
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]


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
    """Keys under a prefix of the bucket for results, with the moment each was written."""
    bucket = f"{event.bucket.name}-results"
    answer = event.bucket.client.list_objects_v2(Bucket=bucket, Prefix=prefix)
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


class OtherPool:
    """A work pool of the test's own, with the sync deployed to it; its workers share no disk."""

    def __init__(self, prefect: httpx.Client, folder: Path) -> None:
        self.name, self._prefect, self._folder = f"pool-{uuid4().hex[:8]}", prefect, folder
        prefect.post("/work_pools/", json={"name": self.name, "type": "process"})
        known = prefect.get(f"/deployments/name/{SYNC_DEPLOYMENT}").json()
        kept = {key: known[key] for key in ("flow_id", "entrypoint", "path", "pull_steps")}
        mine = kept | {"name": self.name, "work_pool_name": self.name}
        self._deployment = prefect.post("/deployments/", json=mine).raise_for_status().json()["id"]

    @contextmanager
    def run_worker(self, name: str) -> Iterator[Path]:
        """A real worker, killed at the end with all that it started; gives its result folder."""
        home = self._folder / name
        home.mkdir()
        own = {
            "PREFECT_HOME": str(home),
            "PREFECT_LOCAL_STORAGE_PATH": str(home / "results"),
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "TMPDIR": str(home),
        }
        worker = ("worker", "start", "--pool", self.name, "--type", "process", "--name", name)
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "prefect", *worker],
                cwd=ROOT,
                env={**os.environ, **own},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield home / "results"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def sync(self, event: EventBox) -> str:
        """Run the sync there until it is over; its flow run's id."""
        body = {"parameters": {"event_id": event.id, "s3_prefix": event.prefix}}
        url = f"/deployments/{self._deployment}/create_flow_run"
        run: str = self._prefect.post(url, json=body).raise_for_status().json()["id"]
        wait_until(lambda: self._read(run)["type"] in {"COMPLETED", "FAILED", "CRASHED"})
        assert self._read(run)["type"] == "COMPLETED", self._read(run)
        return run

    def _read(self, run: str) -> Any:
        return self._prefect.get(f"/flow_runs/{run}").json()["state"]

    def count_embeddings(self, run: str) -> Counter[str]:
        """Batches of a run by what Prefect says of their embedding: Completed or Cached."""
        mine = {"flow_runs": {"id": {"any_": [run]}}}
        tasks = self._prefect.post("/task_runs/filter", json=mine).json()
        # The name tells how many photos there are: six in each of these runs.
        return Counter(task["state_name"] for task in tasks if task["name"] == "embed 6 photos")


def test_a_real_worker_takes_what_another_one_computed(
    event: EventBox, shared_results: None, joined_stack: dict[str, str], tmp_path: Path
) -> None:
    fill(event, 6)
    with open_prefect_client(joined_stack, timeout_s=30) as prefect:
        pool = OtherPool(prefect, tmp_path)
        with pool.run_worker("first") as results:
            run = pool.sync(event)
            wait_until(lambda: pool.count_embeddings(run) == {"Completed": 1}, 20)
            (key,) = list_keys(event, f"results/embed/{event.id}/")
            assert not results.exists()
        event.query("DELETE FROM photo WHERE event_id = :event RETURNING id")
        with pool.run_worker("second") as results:
            run = pool.sync(event)
            wait_until(lambda: pool.count_embeddings(run) == {"Cached": 1}, 20)
            assert not results.exists()
    assert list(list_keys(event, f"results/embed/{event.id}/")) == [key]
    assert set(event.face_counts().values()) == {1}
    assert len(event.face_counts()) == 6


def test_credentials_of_a_block_stay_in_the_new_block_as_secrets(
    joined_stack: dict[str, str],
    prefect: httpx.Client,
    configure: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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
    shown = prefect.post("block_documents/filter", json={}).raise_for_status().text
    assert BLOCK_SLUG.partition("/")[2] in shown
    assert secret not in shown
    load_storage_block.cache_clear()


def test_a_bucket_that_cannot_be_made_is_refused_with_a_sentence(
    joined_stack: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main("No.Such_Bucket") == 1
    told = capsys.readouterr().err
    assert told.startswith("No.Such_Bucket/results/ cannot be written (")
    assert "make this bucket, or name another with --bucket" in told


def test_results_have_a_bucket_of_their_own_and_the_photos_only_if_it_is_named(
    configure: Callable[..., None], event: EventBox, capsys: pytest.CaptureFixture[str]
) -> None:
    from deployments.facepass import main as run_facepass

    client, photos = event.bucket.client, event.bucket.name
    assert main() == 0
    capsys.readouterr()

    assert run_facepass(["result-storage", "--bucket", photos]) == 0
    in_the_photos = capsys.readouterr().out
    load_storage_block.cache_clear()
    block: Any = load_storage_block(BLOCK_SLUG)
    assert (block.bucket_name, block.bucket_folder) == (photos, "results/")
    assert "Whoever may read the photos' bucket can read faces there" in in_the_photos
    assert f"aws s3 rm --recursive s3://{photos}-results/results/" in in_the_photos

    assert main() == 0
    moved = capsys.readouterr().out
    load_storage_block.cache_clear()
    block = load_storage_block(BLOCK_SLUG)
    assert block.bucket_name == f"{photos}-results"
    assert f"aws s3 rm --recursive s3://{photos}/results/" in moved
    assert "can read faces" not in moved
    assert main() == 0
    assert "aws s3 rm" not in capsys.readouterr().out
    assert f"{photos}-results" in {found["Name"] for found in client.list_buckets()["Buckets"]}


def test_a_block_that_is_not_there_ends_the_sync_with_a_sentence(
    event: EventBox, configure: Callable[..., None]
) -> None:
    fill(event, 1)
    configure(result_storage="s3-bucket/nothing-there")

    state = event.sync().state

    assert (state.type.value, state.name) == ("FAILED", "Failed")
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


def test_an_erasure_sweeps_its_events_results_from_both_storages_and_no_others(
    make_event: Callable[..., EventBox], shared_results: None, joined_stack: dict[str, str]
) -> None:
    event, other = make_event(), make_event("Другая")
    local: Any = LocalFileSystem(basepath=joined_stack["PREFECT_LOCAL_STORAGE_PATH"])
    for box in (event, other):
        fill(box, 2)
        box.sync()
        # Of before results were shared.
        local.write_path(f"embed/{box.id}/before", b"12345")
    # What begins with its number is not its own.
    neighbour = f"embed/{event.id}0/cached"
    local.write_path(neighbour, b"12345")
    load_storage_block(BLOCK_SLUG).write_path(neighbour, b"12345")
    (photo,) = [row for name, row in event.photos().items() if name == "1.jpg"]

    receipt = erase_photo_faces(event.id, photo.id)

    assert receipt.result_storages == ["local folder", BLOCK_SLUG]
    assert receipt.cached_results_erased == 2
    assert list_keys(event, f"results/embed/{event.id}/") == {}
    assert find_local_results(joined_stack, event) == []
    assert len(list_keys(other, f"results/embed/{other.id}/")) == 1
    assert len(find_local_results(joined_stack, other)) == 1
    assert local.read_path(neighbour) == b"12345"
    assert list_keys(event, f"results/{neighbour}")
    assert event.face_counts() == {"0.jpg": 1, "1.jpg": 0}


def test_the_flow_prunes_what_has_expired_from_both_storages_and_nothing_else(
    event: EventBox,
    shared_results: None,
    joined_stack: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flows.prune_results import prune_results
    from tasks.results import prune

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
    # Other tests' results may be younger than that, too.
    assert counts["deleted"] >= 2
    assert counts["kept"] >= 2
    assert counts["failed"] == 0
    assert state.name == f"Completed: {counts['deleted']} deleted, {counts['kept']} kept"
    assert list(list_keys(event, f"results/embed/{event.id}/")) == [f"results/{fresh}"]
    assert list_keys(event, "results/other/")
    event.bucket.client.head_object(Bucket=event.bucket.name, Key=photo)
    assert [file.name for file in find_local_results(joined_stack, event)] == ["fresh"]
    assert local.read_path(f"other-{event.id}") == b"not ours"
