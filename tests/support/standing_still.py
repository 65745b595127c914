"""Servers that stand still: stopped as by a full machine, not dead, so that their sockets stay."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped]  # publishes no types, and its stubs are not locked
from sqlalchemy import NullPool, create_engine, text

from tests.support.administrator import read_admin_url


@contextmanager
def stand_still(processes: list[psutil.Process]) -> Iterator[None]:
    """Stop these processes until the block ends."""
    try:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGSTOP)
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


def find_listener(url: str) -> list[psutil.Process]:
    """The process that listens at an address of this machine."""
    port = urlsplit(url).port
    pids = {
        line.pid
        for line in psutil.net_connections("tcp")
        if line.status == psutil.CONN_LISTEN and line.laddr.port == port and line.pid
    }
    return [psutil.Process(pid) for pid in pids]


def find_postgresql() -> list[psutil.Process]:
    """All processes of the stack's PostgreSQL, the one that accepts connections first."""
    engine = create_engine(read_admin_url(), poolclass=NullPool)
    with engine.connect() as connection:
        folder = connection.execute(text("SHOW data_directory")).scalar_one()
    first = psutil.Process(int((Path(folder) / "postmaster.pid").read_text().split()[0]))
    return [first, *first.children(recursive=True)]


def count_connections(pid: int, url: str) -> int:
    """Connections of a process to a server's address that are still open at its end."""
    port = urlsplit(url).port
    lines = psutil.Process(pid).net_connections("tcp")
    return sum(1 for line in lines if line.raddr and line.raddr.port == port)
