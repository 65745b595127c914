"""The result storage emptied or damaged, or its disk full, under a running sync."""

import shutil
import subprocess
import time
from pathlib import Path

from benchmarks.faults.scene import Scene
from tasks.results.storage import CACHE_FOLDER

WAIT_S = 6.0
FLIPPED = 40  # bytes
DISK = "size=64k,mode=777"


def empty_results(scene: Scene, event_id: int) -> bool:
    """Delete every result, once the event has one; whether there was one."""
    if scene.spoilt:
        return False  # the disk is full: there are none
    folder = scene.results / CACHE_FOLDER
    deadline = time.monotonic() + WAIT_S
    while not any((folder / str(event_id)).glob("*")):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    # What is being written meanwhile may stay.
    shutil.rmtree(folder, ignore_errors=True)
    return True


def damage_results(scene: Scene, event_id: int) -> bool:
    """Change bytes in the middle of each of the event's results; whether there was one."""
    damaged = 0
    for file in (scene.results / CACHE_FOLDER / str(event_id)).glob("*"):
        content = bytearray(file.read_bytes())
        start = len(content) // 2
        content[start : start + FLIPPED] = bytes(x ^ 1 for x in content[start : start + FLIPPED])
        file.write_bytes(content)
        damaged += 1
    return damaged > 0


def fill_results(scene: Scene) -> bool:
    """Let no result be written from now on, until mended."""
    folder = scene.results
    folder.mkdir(parents=True, exist_ok=True)
    if _mount(folder):
        scene.spoilt.append(lambda: _unmount(folder))
        _fill(folder / "filler")
        return True
    # Without the right to mount: a file where the folder was refuses every write as well.
    away = folder.with_name("results.away")
    folder.rename(away)
    folder.touch()
    scene.spoilt.append(lambda: _put_back(folder, away))
    return True


def _mount(folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", DISK, "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _unmount(folder: Path) -> None:
    # Lazily: a flow process may have a file open.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(file: Path) -> None:
    with file.open("wb", buffering=0) as filler:
        try:
            while filler.write(bytes(4096)):
                pass
        except OSError:
            return  # full, which is what was wanted


def _put_back(folder: Path, away: Path) -> None:
    folder.unlink()
    away.rename(folder)
