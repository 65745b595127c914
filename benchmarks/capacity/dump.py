"""A dump of the product's database and its restore, by the embedded PostgreSQL's programs."""

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.capacity.database import Database
from deployments.stack.postgres import SUPERUSER
from models.errors import StackError

RESTORED = "restored"


@dataclass(frozen=True)
class Dump:
    """What `pg_dump --format=custom` and `pg_restore --jobs=2` took."""

    bytes: int
    dump_s: float
    restore_s: float
    dump_cpu_s: float  # of pg_dump itself: it compresses on one core


def measure_dump(database: Database) -> Dump:
    """Dump the whole database, restore it beside itself, and drop what was restored."""
    file = database.folder / "facepass.dump"
    address = database.cluster.database_url
    used = _sum_children()
    dump_s = _run(database, "pg_dump", "--format=custom", f"--file={file}", address)
    dump_cpu_s = _sum_children() - used
    _run(database, "createdb", RESTORED)
    restored = address.replace("/facepass?", f"/{RESTORED}?")
    restore_s = _run(
        database, "pg_restore", "--jobs=2", "--exit-on-error", f"--dbname={restored}", str(file)
    )
    _run(database, "dropdb", RESTORED)
    return Dump(_take_away(file), dump_s, restore_s, dump_cpu_s)


def _sum_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _take_away(file: Path) -> int:
    size = file.stat().st_size
    file.unlink()
    return size


def _run(database: Database, program: str, *arguments: str) -> float:
    began = time.monotonic()
    cluster = database.cluster
    ended = subprocess.run(
        [cluster.programs / program, *arguments],
        env={"PGHOST": str(cluster.sockets), "PGUSER": SUPERUSER, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise StackError(f"{program} failed: {ended.stderr[-1000:]}")
    return time.monotonic() - began
