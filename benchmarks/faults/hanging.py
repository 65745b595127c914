"""Servers that stand still while syncs run and people ask, as stopped processes do, and go on."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import cycle, islice

import httpx
import psutil  # type: ignore[import-untyped]  # publishes no types, and its stubs are not locked
from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.faults.audit import audit_replies, audit_zips
from benchmarks.faults.guests import ANSWER_S, Guest, Reply, call
from benchmarks.faults.moment import Moment
from benchmarks.faults.photographer import EventCase, build_request
from benchmarks.faults.scene import Scene
from deployments.stack import postgres, prefect, s3
from deployments.stack.process import collect_descendants

QUICK_S = 10.0  # for what needs nothing that hangs, on a machine that is busy
FELT_S = 1.0  # a server that has not answered after this hangs
PREFECT_S, S3_S, DATABASE_S = (5.0, 45.0), (3.0, 20.0), (3.0, 15.0)
CROWD = 44  # calls of one kind at one process: more than it has threads


@contextmanager
def hang(scene: Scene, name: str) -> Iterator[None]:
    """Have all processes of a part stand still while the block runs."""
    part = scene.parts[name].process
    processes = [psutil.Process(part.pid), *collect_descendants(part.pid)] if part else []
    try:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        yield
    finally:
        for process in reversed(processes):
            with suppress(psutil.NoSuchProcess):
                process.resume()


def hang_prefect(moment: Moment) -> bool:
    """Stop Prefect's server under many requests for syncs; galleries need it for nothing."""
    scene = moment.scene
    urls = scene.api_urls
    with ThreadPoolExecutor(2 * CROWD) as threads:
        with hang(scene, prefect.SERVER):
            end = time.monotonic() + moment.chance.uniform(*PREFECT_S)
            is_felt = _is_silent(lambda: scene.prefect.get("health", timeout=FELT_S))
            cases = islice(cycle(moment.cases), CROWD)
            asked = [threads.submit(_ask_for_sync, urls[0], case) for case in cases]
            time.sleep(FELT_S)
            quick = _look_around(threads, moment)
            time.sleep(max(0.0, end - time.monotonic()))
        replies = [future.result() for future in asked]
    moment.findings.extend(audit_replies(quick, QUICK_S))
    moment.findings.extend(audit_replies(replies, ANSWER_S))
    return is_felt


def hang_s3(moment: Moment) -> bool:
    """Stop S3's server under downloads that have begun, and others that begin meanwhile."""
    scene, case = moment.scene, moment.reference.case
    photo_ids = [photo_id for photo_id, _ in Guest(scene.api_urls[0], case).look()]
    with ThreadPoolExecutor(2 * CROWD) as threads:
        begun = _download(threads, moment, photo_ids)
        time.sleep(moment.chance.uniform(0.0, 0.5))
        with hang(scene, s3.NAME):
            end = time.monotonic() + moment.chance.uniform(*S3_S)
            address = scene.stack.environment["FACEPASS_S3_ENDPOINT_URL"]
            is_felt = _is_silent(lambda: httpx.get(address, timeout=FELT_S, trust_env=False))
            begun += _download(threads, moment, photo_ids)
            time.sleep(FELT_S)
            quick = _look_around(threads, moment)
            time.sleep(max(0.0, end - time.monotonic()))
        zips = [reply for future in begun for reply in future.result()]
    moment.findings.extend(audit_replies(quick, QUICK_S))
    moment.findings.extend(audit_replies(zips, ANSWER_S, may_break=True))
    moment.findings.extend(audit_zips(zips, len(photo_ids)))
    return is_felt


def hang_database(moment: Moment) -> bool:
    """Stop PostgreSQL under guests' pages; /health needs it for nothing."""
    scene = moment.scene
    with ThreadPoolExecutor(2 * CROWD) as threads:
        with hang(scene, postgres.NAME):
            end = time.monotonic() + moment.chance.uniform(*DATABASE_S)
            is_felt = _is_silent(lambda: _connect(scene))
            guests = [
                Guest(url, moment.reference.case) for url in islice(cycle(scene.api_urls), CROWD)
            ]
            pages = [threads.submit(guest.look) for guest in guests]
            time.sleep(FELT_S)
            quick = [threads.submit(_check_health, url) for url in scene.api_urls]
            moment.findings.extend(audit_replies([one.result() for one in quick], QUICK_S))
            time.sleep(max(0.0, end - time.monotonic()))
        for page in pages:
            page.result()
    for guest in guests:
        moment.findings.extend(audit_replies(guest.replies, ANSWER_S))
    return is_felt


def _is_silent(ask: Callable[[], object]) -> bool:
    """Whether a server takes a call and does not answer."""
    try:
        ask()
    except (httpx.TimeoutException, SQLAlchemyError):
        return True
    return False


def _ask_for_sync(url: str, case: EventCase) -> Reply:
    path = f"{url}/api/v1/faces/sync-s3"
    return call("request for a sync", "POST", path, json=build_request(case))


def _check_health(url: str) -> Reply:
    return call("health", "GET", f"{url}/health")


def _look_around(threads: ThreadPoolExecutor, moment: Moment) -> list[Reply]:
    """What a gallery and /health of both API processes answer now."""
    urls = moment.scene.api_urls
    guests = [Guest(url, moment.reference.case) for url in urls]
    health = [threads.submit(_check_health, url) for url in urls]
    for page in [threads.submit(guest.look) for guest in guests]:
        page.result()
    pages = [reply for guest in guests for reply in guest.replies]
    return [*pages, *(answer.result() for answer in health)]


def _download(
    threads: ThreadPoolExecutor, moment: Moment, photo_ids: Sequence[int]
) -> list[Future[list[Reply]]]:
    """Begin downloads at both API processes."""

    def download(url: str) -> list[Reply]:
        guest = Guest(url, moment.reference.case)
        guest.download(photo_ids)
        return guest.replies

    urls = islice(cycle(moment.scene.api_urls), CROWD)
    return [threads.submit(download, url) for url in urls]


def _connect(scene: Scene) -> None:
    """Greet PostgreSQL. Raises OperationalError when it does not greet back in two seconds."""
    patience = {"connect_timeout": 2}
    create_engine(scene.database.url, poolclass=NullPool, connect_args=patience).connect().close()
