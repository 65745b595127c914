"""`make demo` as a newcomer runs it."""

import fcntl
import io
import json
import os
import pty
import re
import select
import stat
import subprocess
import sys
import termios
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from deployments.demo import check_runs
from deployments.sample_photos import SamplePhoto
from deployments.stack.process import die_with_parent
from models.errors import StackError


def test_the_demo_prints_what_the_photos_contain_and_leaves_nothing(
    models_root: Path, tmp_path: Path
) -> None:
    demo = subprocess.run(
        [sys.executable, "-m", "deployments.demo"],
        # Another's servers must not matter; TMPDIR marks what the demo starts.
        env=os.environ
        | {
            "FACEPASS_MODEL_ROOT": str(models_root),
            "PREFECT_API_URL": "http://127.0.0.1:9/api",
            "FACEPASS_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nothing",
            "DEMO_OF_TEST": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        preexec_fn=die_with_parent,  # a demo whose test was killed would go on for minutes
    )
    assert demo.returncode == 0, demo.stderr[-3000:]

    runs = json.loads(demo.stdout.splitlines()[-1])

    assert runs["first"]["new_photos"] > 30
    assert runs["second"]["new_photos"] == 0
    assert runs["second"]["skipped"] == runs["first"]["new_photos"]
    assert "/runs/flow-run/" in demo.stderr
    assert "Selfie file" not in demo.stderr  # nobody is there to look
    assert find_processes(str(tmp_path)) == []


def test_the_demo_in_a_terminal_stays_until_enter(models_root: Path, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if name != "CI"}
    leader, follower = pty.openpty()
    demo = subprocess.Popen(
        [sys.executable, "-m", "deployments.demo"],
        env=kept | {"FACEPASS_MODEL_ROOT": str(models_root), "DEMO_OF_TEST": str(tmp_path)},
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        preexec_fn=sit_at_terminal,
    )
    os.close(follower)
    with demo, os.fdopen(leader, "r+b", buffering=0) as terminal:
        said = read_until(terminal, "Enter stops everything.")
        assert "waiting for " in said
        selfie = Path(re.findall(r"Selfie file +(\S+)", said)[0])
        gallery_url = re.findall(r"Gallery +(\S+)", said)[0]
        assert httpx.get(gallery_url, trust_env=False).status_code == 200
        assert stat.S_IMODE(selfie.stat().st_mode) == 0o600
        with Image.open(selfie) as picture:
            assert min(picture.size) > 200
        assert demo.poll() is None

        terminal.write(b"\n")

        said = read_until(terminal, None)
    assert demo.returncode == 0, said
    assert json.loads(said.splitlines()[-1])["second"]["new_photos"] == 0
    assert find_processes(str(tmp_path)) == []
    assert not selfie.exists()


def sit_at_terminal() -> None:
    """Make the pseudo-terminal this session's own; the demo dies with its test."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    die_with_parent()


def read_until(terminal: io.FileIO, wanted: str | None) -> str:
    """What the terminal shows up to these words, or to its end."""
    said = b""
    while wanted is None or wanted not in said.decode(errors="replace"):
        ready, _, _ = select.select([terminal], [], [], 300)
        assert ready, said.decode(errors="replace")
        try:
            more = terminal.read(65_536)
        except OSError:  # nobody holds the other end any longer
            more = b""
        if not more:
            assert wanted is None, said.decode(errors="replace")
            break
        said += more
    return said.decode(errors="replace")


def find_processes(mark: str) -> list[int]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("DEMO_OF_TEST") == mark:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_the_demo_refuses_numbers_that_the_photos_do_not_contain() -> None:
    photos = [SamplePhoto("a.jpg", b"", b"", 2), SamplePhoto("b.jpg", b"", b"", None)]
    first = {
        "total_found": 2,
        "new_photos": 1,
        "skipped": 0,
        "failed": 1,
        "no_face": 0,
        "faces_found": 2,
        "missing_originals": 0,
    }
    second = first | {"new_photos": 0, "skipped": 1, "faces_found": 0}
    check_runs(photos, first, second)
    for wrong in ({"faces_found": 3}, {"failed": 0}, {"new_photos": 2}):
        with pytest.raises(StackError, match="the photos contain"):
            check_runs(photos, first | wrong, second)
