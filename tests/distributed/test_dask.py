"""One event over several machines: a real Dask cluster of processes of its own."""

import contextvars
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.dask.cluster import DaskCluster
from deployments.result_storage import BLOCK_SLUG, create_result_storage
from models.settings import get_settings
from tasks.results.erasure import erase_event_faces
from tasks.results.storage import load_storage_block
from tests.support.event_box import EventBox
from tests.support.photos import encode_jpeg, read_group, read_sample, vary
from tests.support.poison import make_pickle
from tests.support.waiting import wait_until

PHOTOS = 60
COMPARED = "s3_key, etag, size, status, reason, confidence, original_missing, change, attempts"


class GatedCluster:
    """Two Dask workers, and the folder in which they read what to do and write what they did."""

    def __init__(self, cluster: DaskCluster, gate: Path) -> None:
        self.cluster, self.gate = cluster, gate

    def fill_up(self) -> None:
        """Begin anew: two workers alive, nothing noted, nothing told."""
        for file in self.gate.iterdir():
            if file.name != "loaded":
                file.unlink()
        self.cluster.start_workers(
            2 - len(self.alive),
            *("--nthreads", "2", "--preload", "tests/support/dask_gate.py"),
            DASK_GATE=str(self.gate),
        )

    @property
    def alive(self) -> "list[subprocess.Popen[bytes]]":
        """The workers that run."""
        return [worker for worker in self.cluster.workers if worker.poll() is None]

    def tell(self, what: str) -> Path:
        """Make a file for the workers; it is theirs, or its own remover's, to take away."""
        file = self.gate / what
        file.touch()
        return file

    def count(self, what: str) -> Counter[str]:
        """Process -> how often it noted that."""
        return Counter((self.gate / what).read_text().split())


@pytest.fixture(scope="module")
def started(
    joined_stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatedCluster]:
    """A cluster set up as the stack's own worker is, for all tests here."""
    gate = tmp_path_factory.mktemp("gate")
    create_result_storage(get_settings())
    own = {"FACEPASS_RESULT_STORAGE": BLOCK_SLUG, "FACEPASS_ENGINE_THREADS": "1"}
    with DaskCluster(tmp_path_factory.mktemp("dask"), {**os.environ, **own}).run() as cluster:
        yield GatedCluster(cluster, gate)


@pytest.fixture
def cluster(started: GatedCluster, configure: Callable[..., None]) -> Iterator[GatedCluster]:
    """Two workers, and this process set up to use them."""
    started.fill_up()
    load_storage_block.cache_clear()
    configure(
        task_runner="dask",
        dask_scheduler=started.cluster.address,
        result_storage=BLOCK_SLUG,
        batch_size=6,
    )
    yield started
    load_storage_block.cache_clear()


def fill(event: EventBox, count: int) -> None:
    """Portraits, and among them groups, photos without a face and broken ones."""
    for index in range(count):
        kind = index % 10
        content = vary(read_sample("coffee.png" if kind == 1 else "astronaut.png"), index)
        if kind == 2:
            content = vary(read_group(), index)
        elif kind == 3:
            content = content[:9000]
        event.put(f"фото {index:03}.jpg", content, original=kind != 4)


def read_ledger(event: EventBox) -> list[tuple[Any, ...]]:
    """Everything of the event's photos that does not say when, or where, they were read."""
    rows = event.query(f"SELECT {COMPARED} FROM photo WHERE event_id = :event ORDER BY s3_key")
    return [(key.removeprefix(event.prefix), *rest) for key, *rest in rows]


def read_faces(event: EventBox) -> list[tuple[Any, ...]]:
    """All faces, to the bit."""
    rows = event.query(
        "SELECT s3_key, x1, y1, x2, y2, face.confidence, embedding::text FROM face"
        " JOIN photo ON photo.id = photo_id WHERE face.event_id = :event ORDER BY 1, 2, 3"
    )
    return [(key.removeprefix(event.prefix), *rest) for key, *rest in rows]


def test_a_cluster_finds_what_threads_find(
    make_event: Callable[..., EventBox],
    cluster: GatedCluster,
    prefect: httpx.Client,
    configure: Callable[..., None],
) -> None:
    here, there = make_event("Здесь"), make_event("Там")
    fill(here, PHOTOS)
    fill(there, PHOTOS)

    outcome = there.sync()
    done_by = cluster.count("stored")
    configure(task_runner="threads")
    expected = here.sync().result

    assert {**outcome.result, **dict.fromkeys(("event_id", "s3_prefix", "seconds"))} == {
        **expected,
        **dict.fromkeys(("event_id", "s3_prefix", "seconds")),
    }
    assert read_ledger(there) == read_ledger(here)
    assert read_faces(there) == read_faces(here)
    # Both workers had their share, and load the models once for all that this module gives them.
    assert done_by.keys() == {str(worker.pid) for worker in cluster.alive}
    assert cluster.count("stored") == done_by
    assert set(cluster.count("loaded").values()) == {1}
    # All faces went through the storage that an erasure sweeps.
    (run,) = there.query("SELECT processed FROM sync_run WHERE event_id = :event")
    assert run.processed == PHOTOS
    assert len(list_results(there)) == -(-(PHOTOS - 6) // 6) + 1
    bar = {
        "artifacts": {
            "flow_run_id": {"any_": [str(outcome.task_id)]},
            "type": {"any_": ["progress"]},
        }
    }
    (progress,) = prefect.post("/artifacts/filter", json=bar).json()
    assert progress["data"] == 100

    configure(task_runner="dask")
    again = there.sync().result
    assert (again["skipped"], again["new_photos"], again["failed"]) == (54, 0, 6)


def list_results(event: EventBox) -> list[str]:
    """Keys of the event's results in the storage that all workers share."""
    prefix = f"results/embed/{event.id}/"
    bucket = f"{event.bucket.name}-results"
    answer = event.bucket.client.list_objects_v2(Bucket=bucket, Prefix=prefix)
    return [item["Key"] for item in answer.get("Contents", [])]


def test_a_worker_that_is_killed_in_a_batch_costs_nothing(
    event: EventBox, cluster: GatedCluster, configure: Callable[..., None]
) -> None:
    configure(batch_size=12)  # a slice of ten is stored, two are not
    for index in range(40):
        event.put(f"{index:02}.jpg", vary(read_sample("astronaut.png"), index))
    workers = cluster.alive
    cluster.tell("die")

    result = event.sync().result

    assert {worker.poll() for worker in workers} == {None, -signal.SIGKILL}
    assert (result["new_photos"], result["faces_found"]) == (40, 40)
    assert set(event.face_counts().values()) == {1}
    assert len(event.face_counts()) == 40
    assert event.sync().result["skipped"] == 40


def test_a_poisoned_result_runs_nothing_on_a_worker(
    event: EventBox, cluster: GatedCluster, tmp_path: Path
) -> None:
    for index in range(4):
        event.put(f"{index:02}.jpg", vary(read_sample("astronaut.png"), index))
    assert event.sync().result["new_photos"] == 4
    (key,) = list_results(event)
    where = {"Bucket": f"{event.bucket.name}-results", "Key": key}
    event.bucket.client.put_object(**where, Body=make_pickle(tmp_path / "ran"))
    event.query("DELETE FROM photo WHERE event_id = :event RETURNING id")

    assert event.sync().result["new_photos"] == 4

    assert not (tmp_path / "ran").exists()
    assert set(event.face_counts().values()) == {1}
    kept = event.bucket.client.get_object(**where)["Body"].read()
    assert kept.startswith(b"facepass result ")


def test_an_erasure_reaches_what_workers_hold(event: EventBox, cluster: GatedCluster) -> None:
    for index in range(20):
        event.put(f"{index:02}.jpg", vary(read_sample("astronaut.png"), index))
    hold = cluster.tell("hold")
    ends: list[Any] = []
    settings = contextvars.copy_context()  # Prefect's, as this test has them
    sync = threading.Thread(target=settings.run, args=(lambda: ends.append(event.sync().state),))
    sync.start()
    try:
        wait_until((cluster.gate / "held").exists)
        assert list_results(event)
        erase_event_faces(event.id)
    finally:
        hold.unlink()
        sync.join(60)

    assert [(state.type.value, state.name) for state in ends] == [("CANCELLED", "Cancelled")]
    assert set(event.face_counts().values()) == {0}
    assert list_results(event) == []


def test_a_worker_that_is_set_up_otherwise_refuses_the_sync(
    event: EventBox, cluster: GatedCluster, configure: Callable[..., None]
) -> None:
    event.put("портрет.jpg", encode_jpeg(read_sample("astronaut.png")))
    configure(max_pixels=1_000_000)

    state = event.sync().state

    assert (state.type.value, state.name) == ("FAILED", "Failed")
    (run,) = event.query("SELECT state, detail FROM sync_run WHERE event_id = :event")
    assert run.state == "failed"
    assert "FACEPASS_MAX_PIXELS" in run.detail
    assert event.photos()["портрет.jpg"].status == "pending"


def test_a_worker_with_a_profiler_that_could_stop_it_refuses_the_sync(
    event: EventBox, started: GatedCluster, cluster: GatedCluster
) -> None:
    if sys.version_info >= (3, 12):
        pytest.skip("from Python 3.12 on the profiler is harmless")
    event.put("портрет.jpg", encode_jpeg(read_sample("astronaut.png")))
    started.cluster.stop_workers()
    started.cluster.start_workers(1, DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED="true")
    try:
        event.sync()
    finally:
        started.cluster.stop_workers()
    (run,) = event.query("SELECT state, detail FROM sync_run WHERE event_id = :event")
    assert run.state == "failed"
    assert "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED=false" in run.detail
