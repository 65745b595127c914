"""A PgBouncer in front of the embedded PostgreSQL."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.capacity.database import Database
from deployments.stack.postgres import PORT, SUPERUSER
from deployments.stack.process import PAUSE_S, Part

POOLER_PORT = 6432  # a part of the socket's name; nothing listens on TCP
SERVERS = 2  # connections to PostgreSQL by transactions: few, so that clients do share them
SESSIONS = 8  # by sessions: one for each client of the trial, and some more


@contextmanager
def open_pooler(database: Database, mode: str) -> Iterator[str]:
    """Its address; it runs as PostgreSQL's user, with a socket in the same private folder.

    The program `pgbouncer` must be on PATH. Raises StackError where it ends by itself.
    """
    sockets = database.cluster.sockets
    file = sockets / f"pgbouncer-{mode}.ini"
    file.write_text(
        f"""[databases]
facepass = host={sockets} port={PORT} user={SUPERUSER}
[pgbouncer]
listen_addr =
listen_port = {POOLER_PORT}
unix_socket_dir = {sockets}
auth_type = any
pool_mode = {mode}
default_pool_size = {SERVERS if mode == "transaction" else SESSIONS}
""",
        encoding="utf-8",
    )
    file.chmod(0o644)
    part = Part(
        name="PgBouncer",
        argv=["pgbouncer", str(file)],
        env={"PATH": os.environ["PATH"]},
        log=database.folder / f"pgbouncer-{mode}.log",
        cwd=Path("/"),
        identity=database.cluster.identity,
    )
    part.start()
    try:
        _wait_for(part, sockets / f".s.PGSQL.{POOLER_PORT}")
        yield f"postgresql://{SUPERUSER}@/facepass?host={sockets}&port={POOLER_PORT}"
    finally:
        part.stop()
        file.unlink()


def _wait_for(part: Part, socket: Path) -> None:
    while not socket.exists():
        if not part.is_running:
            raise part.describe_death()
        time.sleep(PAUSE_S)
