"""Where one home's PostgreSQL lives, and as whom it runs; nothing is created or changed here."""

import hashlib
import importlib.util
import os
import pwd
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deployments.stack.parts import Identity
from models.errors import StackError

SUPERUSER = "postgres"
PORT = 5432  # only a part of the socket's name
# The kernel holds 108 bytes (104 on macOS) for a socket's path, and says nothing helpful.
MAX_SOCKET_PATH = 100


@dataclass(frozen=True)
class Cluster:
    """Where one home's PostgreSQL lives and as whom it runs."""

    data: Path
    sockets: Path
    programs: Path
    identity: Identity | None

    @property
    def database_url(self) -> str:
        """FacePass's database, for psycopg2 and libpq."""
        return f"postgresql://{SUPERUSER}@/facepass?host={self.sockets}"

    @property
    def prefect_url(self) -> str:
        """Prefect's database; its server speaks asyncpg."""
        return f"postgresql+asyncpg://{SUPERUSER}@/prefect?host={self.sockets}"


def locate_cluster(home: Path) -> Cluster:
    """Find programs, user and socket folder for this home; creates nothing."""
    identity = choose_identity(home)
    return Cluster(home / "postgres", name_socket_folder(home, identity), find_programs(), identity)


def find_programs() -> Path:
    """The folder of postgres and initdb, found without importing the wheel's package."""
    spec = importlib.util.find_spec("pgserver")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        programs = Path(folder) / "pginstall" / "bin"
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
