"""Debian's own PostgreSQL with pgvector, and its PgBouncer before it.

They are those of this machine, or those of the folder into which `.ci/unpack-postgres` unpacks
Debian's packages.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from deployments.stack.process import Part
from models.migrate import VECTOR_VERSION
from tests.support.waiting import wait_until

UNPACKED = Path("/opt/debian-postgres")
NOBODY = "65534"
SERVER_PORT, POOLER_PORT = 5432, 6432  # parts of the sockets' names
SERVERS = 3  # connections that PgBouncer shares out: fewer than a sync opens
SETUP = """
CREATE ROLE facepass LOGIN;
CREATE DATABASE facepass OWNER facepass;
\\connect facepass
CREATE EXTENSION vector;
"""


@dataclass(frozen=True)
class Programs:
    """A root folder, and where PostgreSQL's programs are in it."""

    root: Path
    postgres: Path


def find_programs() -> Programs | str:
    """Debian's programs, or why they cannot be tried."""
    if os.geteuid() != 0:
        return "only root may start programs as another user, in a root folder of their own"
    for root in (UNPACKED, Path("/")):
        for control in sorted(root.glob("usr/share/postgresql/*/extension/vector.control")):
            found = re.search(r"default_version = '([0-9]+)\.([0-9]+)", control.read_text())
            is_new = found is not None and tuple(map(int, found.groups())) >= VECTOR_VERSION
            if is_new and (root / "usr/sbin/pgbouncer").exists():
                return Programs(root, Path("/usr/lib/postgresql", control.parts[-3], "bin"))
    return "no PostgreSQL of Debian's with pgvector 0.7 and PgBouncer: .ci/unpack-postgres"


@dataclass(frozen=True)
class DebianPostgres:
    """Addresses of the product's database: PostgreSQL's own, and through each pool mode."""

    direct: str
    transactions: str


@contextmanager
def open_debian_postgres(programs: Programs) -> Iterator[DebianPostgres]:
    """A new cluster, with PgBouncer in transaction mode; on sockets alone, and gone afterwards."""
    with ExitStack() as exits:
        outside = Path(tempfile.mkdtemp(prefix="fp-", dir=programs.root / "tmp"))
        exits.callback(shutil.rmtree, outside, ignore_errors=True)
        os.chown(outside, int(NOBODY), int(NOBODY))
        inside = Path("/") / outside.relative_to(programs.root)

        def build(name: str, *words: str | Path) -> Part:
            argv = ["chroot", f"--userspec={NOBODY}:{NOBODY}", str(programs.root)]
            env = {"PATH": f"{programs.postgres}:/usr/sbin:/usr/bin:/bin", "LC_ALL": "C"}
            log = outside.parent / f"{outside.name}-{name}.log"
            exits.callback(log.unlink, missing_ok=True)
            # SIGINT is PostgreSQL's fast shutdown, and PgBouncer's too.
            signals = {"stop_signal": signal.SIGINT}
            return Part(name, [*argv, *map(str, words)], env, log, cwd=Path("/"), **signals)

        initdb = ("initdb", "-D", inside / "data", "--username=postgres", "--auth=trust")
        made = build("initdb", programs.postgres / initdb[0], *initdb[1:], "--encoding=UTF8")
        subprocess.run(made.argv, env=made.env, check=True, capture_output=True, timeout=120)
        options = {"listen_addresses": "", "unix_socket_directories": inside, "jit": "off"}
        settings = [word for key, value in options.items() for word in ("-c", f"{key}={value}")]
        server = build("postgres", programs.postgres / "postgres", "-D", inside / "data", *settings)
        start(server, outside / f".s.PGSQL.{SERVER_PORT}", exits)
        psql = build("psql", programs.postgres / "psql", "-h", inside, "-U", "postgres")
        subprocess.run(psql.argv, env=psql.env, input=SETUP.encode(), check=True, timeout=60)
        (outside / "pgbouncer.ini").write_text(
            f"""[databases]
facepass = host={inside} port={SERVER_PORT} user=facepass
[pgbouncer]
listen_addr =
listen_port = {POOLER_PORT}
unix_socket_dir = {inside}
auth_type = any
pool_mode = transaction
default_pool_size = {SERVERS}
"""
        )
        pooler = build("pgbouncer", "/usr/sbin/pgbouncer", inside / "pgbouncer.ini")
        start(pooler, outside / f".s.PGSQL.{POOLER_PORT}", exits)
        address = f"postgresql://facepass@/facepass?host={outside}&port="
        yield DebianPostgres(f"{address}{SERVER_PORT}", f"{address}{POOLER_PORT}")


def start(part: Part, socket: Path, exits: ExitStack) -> None:
    """Start a server and wait until it takes connections."""
    part.start()
    exits.callback(part.stop)

    def answers() -> bool:
        if not part.is_running:
            raise part.describe_death()
        try:
            name = "postgres" if part.name == "postgres" else "facepass"
            port = socket.name.rpartition(".")[2]
            psycopg2.connect(dbname=name, user=name, host=str(socket.parent), port=port).close()
        except psycopg2.OperationalError:
            return False
        return True

    wait_until(answers, 60)
