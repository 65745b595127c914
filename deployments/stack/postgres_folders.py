"""The folders around PostgreSQL: who may pass, who may enter, who still works in them."""

import os
import signal
import stat
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from deployments.stack.parts import Identity, kill_processes
from models.errors import StackError


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
    orphans = [process for process in psutil.process_iter() if _works_in(process, data)]
    if not orphans:
        return []
    parents = {process.pid for process in orphans}
    for process in orphans:
        if process.ppid() not in parents:
            process.send_signal(signal.SIGINT)  # the server itself: a fast, clean shutdown
    _gone, alive = psutil.wait_procs(orphans, timeout=15)
    kill_processes(alive)
    how = "killed" if alive else "stopped"
    return [f"A PostgreSQL left over on {data} (pid {min(parents)}) was {how}."]


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return bool(process.cwd() == str(folder) and process.name().startswith("postgres"))
    except (psutil.Error, OSError):
        return False
