"""The command of `make bench-dask`: syncs of one event on Dask clusters of growing size.

First it measures opencv_zoo with threads and with one and two workers, on this machine's cores.
Then it runs up to 64 workers that fetch, decode and store photos but wait instead of computing,
which shows the limits of everything else. It prints tables and one line of JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.dask.cluster import DaskCluster
from benchmarks.dask.report import Run, build_cpu_table, build_table, draw_plot
from benchmarks.ending import run_to_exit_code
from benchmarks.engine.cpu_time import measure_cpu
from benchmarks.engine.pairs import make_pairs
from benchmarks.engine.small_photos import SmallPhotos
from benchmarks.engine.trivial_pack import write_trivial_pack
from benchmarks.s3_client import open_client
from benchmarks.scale.__main__ import NEVER_RESYNCED, OUTSIDE
from deployments.result_storage import BLOCK_SLUG, create_result_storage
from deployments.stack.prefect import WORKER_SETTINGS
from deployments.stack.stack import EmbeddedStack
from models.errors import StackError
from models.queries.events import create_event
from models.session import open_session
from models.settings import Settings, get_settings
from tasks.s3.bucket import get_bucket

# A photo of `make bench` on one core, in seconds: two cores do one in 147 and in 31 ms.
WAITS = {"buffalo_l": 0.294, "opencv_zoo": 0.062}
WORKERS = (1, 4, 16, 64)
WORKERS_A_PROCESS = 8  # of those that wait: 64 processes would not fit into 16 GB
PHOTOS_A_WORKER = 400  # two batches for each of a worker's two threads
REAL_PHOTOS = 400  # and as many for each number of threads and workers
WARM_UP = 20
# Not `-m`: what lies in __main__ cannot travel to Dask's processes.
MEASURED = "import sys; from benchmarks.scale.worker import main; sys.exit(main())"

console = Console(stderr=True, highlight=False, soft_wrap=True, width=110)


class Bench:
    """A running stack with a Dask scheduler; measures syncs in it."""

    def __init__(self, cluster: DaskCluster, environment: dict[str, str]) -> None:
        """environment: what a run of the sync gets."""
        self.cluster, self.environment = cluster, environment

    def add_event(self, count: int, photos: Sequence[bytes] = ()) -> int:
        """An event with real previews, or with so many small ones."""
        with open_session() as session:
            event_id = create_event(session, name=f"{count} photos").id or 0
        if not photos:
            SmallPhotos(event_id, count).upload(get_bucket(), lambda _: None)
            return event_id
        client = open_client(self.environment)
        for number in range(count):
            key = f"events/{event_id}/previews/{number:05}.jpg"
            body = photos[number % len(photos)] + number.to_bytes(8, "big")
            client.put_object(Bucket=self.environment["FACEPASS_S3_BUCKET"], Key=key, Body=body)
        return event_id

    def sync(self, what: str, workers: int, event_id: int, **more: str) -> Run:
        """Sync an event in a process of its own. Raises StackError unless every photo is read."""
        before = measure_cpu()
        ended = subprocess.run(
            [sys.executable, "-c", MEASURED, "sync", str(event_id)],
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            raise StackError(f"The measured sync failed:\n{ended.stderr[-3000:]}")
        cpu = measure_cpu() - before
        measured: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
        photos = measured["result"]["new_photos"]
        if photos != measured["result"]["total_found"]:
            raise StackError(f"The measured sync left photos out: {measured['result']}")
        cpu["flow"] = measured["cpu_seconds"]
        each = {part: 1000 * seconds / photos for part, seconds in cpu.items()}
        run = Run(what, workers, photos, measured["seconds"], each)
        shown = {part: round(cost, 1) for part, cost in each.items()}
        console.print(
            f"  {what}, {workers} workers: {photos} photos in {run.seconds:.1f} s, {shown}"
        )
        return run


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", default=",".join(map(str, WORKERS)), help="that wait")
    parser.add_argument("--photos", type=int, default=PHOTOS_A_WORKER, help="for each of those")
    parser.add_argument("--real", type=int, default=REAL_PHOTOS, help="real photos a sync")
    parser.add_argument("--picture", type=Path, help="where to draw the plot, as SVG")
    asked = parser.parse_args()
    for name in [name for name in os.environ if name.startswith(OUTSIDE)]:
        del os.environ[name]  # it would lead to the caller's own servers
    counts = [int(count) for count in asked.workers.split(",")]

    def measure_and_print() -> None:
        with tempfile.TemporaryDirectory(prefix="fp-bench-") as folder:
            real, waiting = measure(Path(folder), asked.real, counts, asked.photos)
        console.print(build_table(real + waiting))
        console.print(build_cpu_table(real + waiting))
        if asked.picture:
            asked.picture.write_text(draw_plot(waiting, WAITS), "utf-8")
        runs = [asdict(run) | {"photos_a_second": round(run.pace, 1)} for run in real + waiting]
        sys.stdout.write(json.dumps(runs) + "\n")

    return run_to_exit_code(measure_and_print, console)


def measure(
    home: Path, real: int, counts: Sequence[int], photos: int
) -> tuple[list[Run], list[Run]]:
    """Both parts on one stack: real photos, and photos for each worker that waits."""
    console.print("Starting a stack of its own ...")
    write_trivial_pack(home / "trivial")
    settings = Settings(
        home=home / "stack",
        api_port=0,
        prefect_port=0,
        s3_port=0,
        model_pack="opencv_zoo",
        make_views=False,
    )
    with EmbeddedStack(settings, lambda line: console.print(f"  {line}", markup=False)) as stack:
        with open_bench(stack, home, engine_threads="1") as bench:
            computed = measure_real(bench, real)
        with open_bench(stack, home, model_pack=str(home / "trivial")) as bench:
            waited = measure_waiting(bench, home / "wait", counts, photos)
        console.print("Stopping ...")
    return computed, waited


@contextmanager
def open_bench(stack: EmbeddedStack, home: Path, **settings: str) -> Iterator[Bench]:
    """A scheduler beside the stack, and everything set up to use it."""
    own = {f"FACEPASS_{name.upper()}": value for name, value in settings.items()}
    own |= {**NEVER_RESYNCED, "FACEPASS_RESULT_STORAGE": BLOCK_SLUG}
    os.environ.update(stack.environment | own)
    get_settings.cache_clear()
    create_result_storage(get_settings())
    environment = stack.plan.child_environment | WORKER_SETTINGS | own
    with DaskCluster(home, environment).run() as cluster:
        dask = {"FACEPASS_TASK_RUNNER": "dask", "FACEPASS_DASK_SCHEDULER": cluster.address}
        yield Bench(cluster, environment | dask)


def measure_real(bench: Bench, count: int) -> list[Run]:
    """Threads and workers on this machine's cores, one core each."""
    console.print("Real photos, opencv_zoo:")
    photos = make_pairs(count)
    runs = []
    for threads in ("1", "2"):
        event = bench.add_event(count, photos)
        more = {"FACEPASS_TASK_RUNNER": "threads", "FACEPASS_ENGINE_THREADS": threads}
        runs.append(bench.sync(f"threads, cores: {threads}", 0, event, **more))
    for workers in (1, 2):
        bench.cluster.start_workers(1, "--nthreads", "2")
        bench.sync("warm-up", workers, bench.add_event(WARM_UP * workers, photos))
        event = bench.add_event(count, photos)
        runs.append(bench.sync("opencv_zoo, a core each", workers, event))
    return runs


def measure_waiting(bench: Bench, wait_file: Path, counts: Sequence[int], photos: int) -> list[Run]:
    """Every pack's wait with every number of workers."""
    console.print("Workers that wait:")
    runs, joined = [], 0
    for count in counts:
        while joined < count:
            each = min(WORKERS_A_PROCESS, count - joined)
            argv = ("benchmarks.dask.worker", bench.cluster.address, str(each))
            bench.cluster.add(*argv, WAIT_FILE=str(wait_file))
            joined += each
        wait_file.write_text("0")
        bench.cluster.wait_for_workers(joined)
        bench.sync("warm-up", count, bench.add_event(WARM_UP * count))
        for pack, wait in WAITS.items():
            wait_file.write_text(str(wait))
            runs.append(bench.sync(f"waits as {pack}", count, bench.add_event(photos * count)))
    return runs


if __name__ == "__main__":
    sys.exit(main())
