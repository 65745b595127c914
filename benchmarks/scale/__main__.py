"""The command of `make bench-scale`: the cost of a large sync without the face models.

It compares a resync of known photos with a plain S3 listing, then syncs new photos with a model
pack that costs nothing. It ends with one line of JSON: {"resync_vs_listing": ..., "resync_mb": ...,
"sync_mb": ...}. With `--gpu-feed` it measures how fast the job around a model can be: syncs of new
photos with an engine that answers at once, and where the processor time of a photo goes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from benchmarks.ending import run_to_exit_code
from benchmarks.engine.cpu_time import measure_cpu
from benchmarks.engine.small_photos import SmallPhotos
from benchmarks.engine.trivial_pack import write_trivial_pack
from benchmarks.scale.feed import make_preview
from benchmarks.scale.report import SERVERS, Feed, build_feed_table, build_table, take_median
from deployments.stack.prefect import WORKER_SETTINGS
from deployments.stack.stack import EmbeddedStack
from models.errors import StackError
from models.queries.events import create_event
from models.queries.packs import register_pack
from models.session import open_session
from models.settings import Settings, get_settings
from tasks.packs.registry import resolve_pack
from tasks.s3.bucket import get_bucket

ROUNDS = 3
WARM_UP = 300  # photos
# The stack's hourly resync would sync the new photos before they are measured.
NEVER_RESYNCED = {"FACEPASS_EVENT_ACTIVE_DAYS": "0"}
OUTSIDE = ("FACEPASS_", "PREFECT_", "AWS_")

console = Console(stderr=True, highlight=False, soft_wrap=True)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000, help="known photos of the resync")
    parser.add_argument("--new", type=int, default=20_000, help="new photos of the sync")
    parser.add_argument("--gpu-feed", action="store_true", help="syncs without inference alone")
    asked = parser.parse_args()
    for name in [name for name in os.environ if name.startswith(OUTSIDE)]:
        del os.environ[name]  # it would lead to the caller's own servers

    def measure_and_print() -> None:
        with tempfile.TemporaryDirectory(prefix="fp-bench-") as folder:
            home = Path(folder)
            figures = (
                measure_feeds(home, asked.new)
                if asked.gpu_feed
                else measure(home, asked.keys, asked.new)
            )
        sys.stdout.write(json.dumps(figures) + "\n")

    return run_to_exit_code(measure_and_print, console)


def measure(home: Path, keys: int, new: int) -> dict[str, float]:
    """Start a stack in `home`, measure both and print a table; the figures of the last line."""
    with open_stack(home) as environment:
        known, fresh = _add_event("known", keys), _add_event("new", new)
        _remember(known)
        return measure_runs(known, fresh, environment)


@contextmanager
def open_stack(home: Path) -> Iterator[dict[str, str]]:
    """A stack of its own in `home`, joined by this process; the environment for runs in it."""
    console.print("Starting a stack of its own ...")
    write_trivial_pack(home / "trivial")
    settings = Settings(
        home=home / "stack",
        api_port=0,
        prefect_port=0,
        s3_port=0,
        model_pack=str(home / "trivial"),
        make_views=False,
    )
    with EmbeddedStack(settings, lambda line: console.print(f"  {line}", markup=False)) as stack:
        os.environ.update(stack.environment | NEVER_RESYNCED)
        get_settings.cache_clear()
        yield stack.plan.child_environment | WORKER_SETTINGS
        console.print("Stopping ...")


def measure_feeds(home: Path, new: int) -> dict[str, float]:
    """Syncs without inference: of tiny photos, of usual previews, and two of those at a time."""
    kinds = {"tiny": None, "previews": make_preview()}
    with open_stack(home) as environment:
        sync_feeds([_add_event("warm-up", WARM_UP)], environment)
        feeds = {
            kind: sync_feeds([_add_event(kind, new, picture)], environment)
            for kind, picture in kinds.items()
        }
        half = [_add_event(f"half of {new}", new // 2, kinds["previews"]) for _ in range(2)]
        feeds["previews, two runs"] = sync_feeds(half, environment)
    console.print(build_feed_table(feeds))
    return {kind: round(feed.pace, 1) for kind, feed in feeds.items()}


def sync_feeds(events: list[SmallPhotos], environment: dict[str, str]) -> Feed:
    """Sync events side by side, each in a process of its own, with an engine that answers at once.

    Raises StackError unless every photo was read.
    """
    before = measure_cpu()
    with ThreadPoolExecutor(len(events)) as pool:
        runs = list(pool.map(lambda event: _run("feed", event, environment), events))
    servers = measure_cpu() - before
    for event, run in zip(events, runs, strict=True):
        _check("new_photos", event.count, run)
    return Feed(runs, {part: servers[part] for part in SERVERS})


def measure_runs(
    known: SmallPhotos, fresh: SmallPhotos, environment: dict[str, str]
) -> dict[str, float]:
    """Measure in a running stack, print a table and return the figures.

    Raises StackError when a run did not do what it was measured for.
    """
    listings, resyncs = [], []
    for _ in range(ROUNDS):
        listings.append(_run("listing", known, environment))
        resyncs.append(_run("sync", known, environment))
    sync = _run("sync", fresh, environment)
    _check("skipped", known.count, *resyncs)
    _check("new_photos", fresh.count, sync)
    console.print(build_table(known.count, fresh.count, listings, resyncs, sync))
    ratio = take_median(resyncs, "seconds") / take_median(listings, "seconds")
    return {
        "resync_vs_listing": round(ratio, 3),
        "resync_mb": round(take_median(resyncs, "memory_mb"), 1),
        "sync_mb": round(sync["memory_mb"], 1),
    }


def _add_event(name: str, count: int, picture: bytes | None = None) -> SmallPhotos:
    with open_session() as session:
        event = create_event(session, name=name)
    photos = SmallPhotos(event.id or 0, count, picture)
    with Progress(console=console) as progress:
        bar = progress.add_task(f"  uploading {name} photos", total=count)
        photos.upload(get_bucket(), lambda done: progress.update(bar, completed=done))
    return photos


def _remember(photos: SmallPhotos) -> None:
    pack = resolve_pack(get_settings())
    with open_session() as session:
        photos.remember(session, get_bucket(), register_pack(session, pack.identity, pack.licence))


def _run(job: str, photos: SmallPhotos, environment: dict[str, str]) -> dict[str, Any]:
    argv = [sys.executable, "-m", "benchmarks.scale.worker", job, str(photos.event_id)]
    # No `console.status`: two may run at a time.
    ended = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise StackError(f"The measured {job} failed:\n{ended.stderr[-3000:]}")
    measured: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    console.print(f"  {job}: {measured}", markup=False)
    return measured


def _check(name: str, wanted: int, *runs: dict[str, Any]) -> None:
    found = [run["result"][name] for run in runs]
    if set(found) != {wanted}:
        raise StackError(f"The runs say {name} = {found}; it should have been {wanted}.")


if __name__ == "__main__":
    sys.exit(main())
