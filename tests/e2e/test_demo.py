"""`make demo` as a newcomer runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

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
    assert find_processes(str(tmp_path)) == []


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
