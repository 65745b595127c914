"""What must hold before PostgreSQL starts: folders, permissions, and nobody left on its data."""

import os
import signal
import stat
import subprocess
from pathlib import Path

from deployments.stack.parts import Identity
from deployments.stack.postgres_cluster import PORT, Cluster
from deployments.stack.processes import (
    find_working_in,
    kill_processes,
    send_signal,
    wait_for_end,
)
from models.errors import StackError

MAJOR_VERSION = "18"


def prepare_cluster(cluster: Cluster) -> list[str]:
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


def _require_runnable(cluster: Cluster) -> None:
    """Try the program as its user: shows unreadable folders and libraries at once."""
    user = cluster.identity
    try:
        subprocess.run(
            [cluster.programs / "postgres", "--version"],
            check=True,
            capture_output=True,
            cwd="/",
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
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
        status = ancestor.stat()
        if not _may_pass(status, identity):
            ancestor.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)
            opened.append(str(ancestor))
    if not opened:
        return []
    return [f"Let the user {identity.name} pass through (o+x): {', '.join(opened)}."]


def _may_pass(status: os.stat_result, identity: Identity) -> bool:
    if status.st_uid == identity.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == identity.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


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
    orphans = find_working_in(data, "postgres")
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
