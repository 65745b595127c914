"""The embedded PostgreSQL alone, as the stack starts it, with the product's tables."""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, create_engine

from deployments.stack import postgres
from deployments.stack.postgres import PostgresCluster, locate_cluster
from deployments.stack.process import PAUSE_S, Part, wait_until
from models.migrate import upgrade_database

PATIENCE_S = 120.0


@dataclass(frozen=True)
class Database:
    """A running cluster: where it is, what runs its programs, and the product's database in it."""

    engine: Engine
    cluster: PostgresCluster
    folder: Path


@contextmanager
def open_database() -> Iterator[Database]:
    """A new cluster in a folder that goes with it. Raises StackError when it does not start."""
    with tempfile.TemporaryDirectory(prefix="fp-bench-") as name:
        home = Path(name)
        cluster = locate_cluster(home)
        postgres.prepare_cluster(cluster)
        _run_to_end(postgres.build_initdb(cluster, home / "initdb.log"))
        cluster.new_data.rename(cluster.data)
        server = postgres.build_postgres(cluster, home / "postgres.log")
        server.start()
        try:
            ready = wait_until(lambda: postgres.create_databases(cluster), timeout_s=PATIENCE_S)
            asyncio.run(ready)
            upgrade_database(cluster.database_url)
            engine = create_engine(name_driver(cluster.database_url), hide_parameters=True)
            yield Database(engine, cluster, home)
            engine.dispose()
        finally:
            server.stop()
            postgres.remove_socket_folder(cluster)


def name_driver(url: str) -> str:
    """The address with the product's driver in it."""
    return url.replace("postgresql", "postgresql+psycopg2", 1)


def _run_to_end(part: Part) -> None:
    part.start()
    while part.is_running:
        time.sleep(PAUSE_S)
    if part.exit_code:
        raise part.describe_death()
