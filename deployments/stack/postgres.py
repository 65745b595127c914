"""PostgreSQL from the wheel's programs: initdb, the server, its databases.

The wheel's own process management is not used: it outlives a killed parent, takes a reused pid
for a running server, and as root opens every folder above the data to everybody.
"""

import os
import shutil
import signal
from contextlib import closing
from pathlib import Path

import psycopg2
from psycopg2 import sql

from deployments.stack.parts import Part
from deployments.stack.postgres_cluster import PORT, SUPERUSER, Cluster
from deployments.stack.waiting import NotReadyError

NAME = "PostgreSQL"
DATABASES = {"facepass": "vector", "prefect": "pg_trgm"}


def build_initdb(cluster: Cluster, log: Path) -> Part:
    """The program that makes the data folder, under another name until it is complete."""
    new = name_new_data(cluster)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    if cluster.identity:
        os.chown(new, cluster.identity.uid, cluster.identity.gid)
    options = [
        *("--username", SUPERUSER, "--encoding", "UTF8", "--auth", "trust"),
        # The same order of text on every machine, without its locales.
        *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
        "--no-instructions",
    ]
    return Part(
        name="initdb",
        argv=[str(cluster.programs / "initdb"), "--pgdata", str(new), *options],
        env=_build_environment(cluster),
        log=log,
        cwd=Path("/"),
        identity=cluster.identity,
        ends=True,
    )


def name_new_data(cluster: Cluster) -> Path:
    """Where initdb works: a kill in the middle leaves no half data folder behind."""
    return cluster.data.with_name("postgres.new")


def build_postgres(cluster: Cluster, log: Path) -> Part:
    """The server; reachable through its socket alone."""
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(cluster.sockets),
        "unix_socket_permissions": "0700",
        "port": str(PORT),
        "max_connections": "200",
        "shared_buffers": "256MB",
    }
    settings = [word for key, value in options.items() for word in ("-c", f"{key}={value}")]
    return Part(
        name=NAME,
        argv=[str(cluster.programs / "postgres"), "-D", str(cluster.data), *settings],
        env=_build_environment(cluster),
        log=log,
        cwd=Path("/"),
        identity=cluster.identity,
        stop_signal=signal.SIGINT,  # fast shutdown; SIGTERM would wait for clients
        stop_timeout_s=30.0,
    )


def _build_environment(cluster: Cluster) -> dict[str, str]:
    """Nothing of the caller's: it may be another user's, and PG* would change the server."""
    return {"PATH": f"{cluster.programs}:/usr/bin:/bin", "LC_ALL": "C"}


def create_databases(cluster: Cluster) -> None:
    """Create what is missing. Raises NotReadyError until the server answers."""
    try:
        rows = _execute(cluster, SUPERUSER, sql.SQL("SELECT datname FROM pg_database"))
    except psycopg2.OperationalError as error:
        raise NotReadyError(str(error).strip()) from error
    there = {str(name) for (name,) in rows}
    for name, extension in DATABASES.items():
        if name not in there:
            create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
            _execute(cluster, SUPERUSER, create)
        create = sql.SQL("CREATE EXTENSION IF NOT EXISTS {}").format(sql.Identifier(extension))
        _execute(cluster, name, create)


def _execute(
    cluster: Cluster, database: str, statement: sql.Composable
) -> list[tuple[object, ...]]:
    with closing(
        psycopg2.connect(host=str(cluster.sockets), port=PORT, user=SUPERUSER, dbname=database)
    ) as connection:
        connection.autocommit = True  # CREATE DATABASE refuses a transaction
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []


def remove_socket_folder(cluster: Cluster) -> None:
    """Leave nothing in the temporary folder; the server took its socket away when it stopped."""
    shutil.rmtree(cluster.sockets, ignore_errors=True)
