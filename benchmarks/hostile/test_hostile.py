"""Tests of the hostile corpus, of the watched worker and of the audit."""

import random
import sys
from collections.abc import Container, Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from benchmarks.hostile import bombs
from benchmarks.hostile.alone import look_at_files, write_files
from benchmarks.hostile.audit import Audit, FileReport, is_explained, match_rows, tell_verdict
from benchmarks.hostile.corpus import FIXED, build_corpus
from benchmarks.hostile.damage import list_flipped, list_truncated
from benchmarks.hostile.files import HostileFile
from benchmarks.hostile.formats import list_formats
from benchmarks.hostile.report import build_last_line
from benchmarks.hostile.watch import Bounds, WatchedWorker
from models.keys import is_image_key, is_storable

KINDS = {
    "right extension",
    "wrong extension",
    "colours",
    "shapes",
    "animations",
    "names",
    "polyglot",
    "bomb: claimed pixels",
    "bomb: scans",
    "bomb: chunks",
    "bomb: frames",
    "bomb: real pixels",
    "truncated",
    "bit-flipped",
    "zero bytes",
    "empty",
    "mad EXIF",
    "broken profile",
    "no photo",
    "30 MB of noise",
    "signature, then noise",
    "camera files",
    "damaged camera files",
    "bomb: camera files",
}
ROOMY = Bounds(seconds=60, mib=4_096)
# A worker that answers as ours does, and misbehaves at the numbers 1, 2 and 3.
PLANTED = """
import json, os, sys, time
print('"ready"', flush=True)
for line in sys.stdin:
    numbers = json.loads(line)
    if numbers == [1]: os._exit(139)
    if numbers == [2]: time.sleep(600)
    if numbers == [3]: hoard = b"x" * 400_000_000; time.sleep(600)
    print(json.dumps(["not_an_image"] * len(numbers)), flush=True)
"""


def list_hashes(leave_out: Container[object] = ()) -> list[tuple[str, str, str]]:
    """Kind, name and hash of every file; pictures at the pixel limit are small ones here."""
    with pytest.MonkeyPatch.context() as patch:
        for name, size in (("LARGE", (70, 70)), ("HUGE", (90, 60)), ("FRAMES", 300)):
            patch.setattr(bombs, name, size)
        return [
            (file.kind, file.name, sha256(file.content).hexdigest())
            for file in build_corpus(leave_out=leave_out)
        ]


@pytest.fixture(scope="module")
def corpus() -> list[tuple[str, str, str]]:
    return list_hashes()


def test_the_corpus_is_large_and_holds_every_kind_under_names_that_can_be_keys(
    corpus: list[tuple[str, str, str]],
) -> None:
    assert {kind for kind, _, _ in corpus} == KINDS
    names = [name for _, name, _ in corpus]
    assert len(names) == len(set(names)) >= 200
    assert sum(is_image_key(name) for name in names) >= 200
    assert all(is_storable(name) and len(name.encode()) < 900 for name in names)


def test_the_same_seed_gives_the_same_files(corpus: list[tuple[str, str, str]]) -> None:
    seeded = list_hashes(leave_out=FIXED)
    assert corpus[-len(seeded) :] == seeded


def test_another_seed_damages_other_places() -> None:
    for build in (list_truncated, list_flipped):
        one, other = ([f.content for f in build(random.Random(seed))] for seed in (1, 2))
        assert len(one) == len(other)
        assert one != other


def test_every_accepted_format_is_there_under_each_extension() -> None:
    names = {file.name for file in list_formats()}
    for file_format in ("jpeg", "png", "webp", "gif", "bmp", "tiff", "pdf"):
        assert {f"formats/{file_format}.{end}" for end in ("jpg", "png", "webp")} <= names


# --- the watch ---


@pytest.fixture
def planted() -> Iterator[WatchedWorker]:
    with closing(WatchedWorker([sys.executable, "-c", PLANTED])) as worker:
        yield worker


def test_a_worker_that_dies_is_a_crash_and_the_next_file_gets_a_new_one(
    planted: WatchedWorker,
) -> None:
    assert planted.look([1], ROOMY).crash == "died"
    look = planted.look([4], ROOMY)
    assert (look.crash, look.verdicts) == (None, ("not_an_image",))


def test_a_worker_that_answers_nothing_is_a_crash(planted: WatchedWorker) -> None:
    planted.look([0], ROOMY)  # it has started: what follows is the file's own time
    assert planted.look([2], Bounds(seconds=0.5, mib=4_096)).crash == "stalled"
    assert planted.look([0], ROOMY).crash is None


def test_a_worker_that_takes_too_much_memory_is_a_crash(planted: WatchedWorker) -> None:
    look = planted.look([3], Bounds(seconds=60, mib=200))
    assert look.crash == "passed the memory bound"
    assert look.peak_mib > 200


def test_what_is_planted_is_counted(tmp_path: Path) -> None:
    files = [HostileFile("planted", f"{number}.jpg", b"x") for number in range(4)]
    reports = write_files(files, tmp_path)
    audit = look_at_files(
        tmp_path,
        reports,
        lambda _: None,
        command=(sys.executable, "-c", PLANTED),
        file_bounds=Bounds(seconds=3, mib=200),
        batch_bounds=ROOMY,
    )
    for file in audit.files:
        file.stored = "failed: not_an_image"
    assert [file.crash for file in audit.files] == [
        None,
        "died",
        "stalled",
        "passed the memory bound",
    ]
    assert audit.count() == {"files": 4, "crashed": 3, "unexplained": 0}
    audit.crashes.append("The worker died at files range(0, 4).")
    assert build_last_line(audit) == '{"files": 4, "crashed": 4, "unexplained": 0}'


# --- the audit ---


@pytest.mark.parametrize(
    ("status", "reason", "explained"),
    [
        ("indexed", None, True),
        ("no_face", "no_face_detected", True),
        ("failed", "truncated", True),
        ("failed", "unprocessable", True),
        ("failed", None, False),
        ("failed", "no_face_detected", False),
        ("failed", "out of luck", False),
        ("pending", None, False),
        ("gone", None, False),
    ],
)
def test_an_outcome_is_final_and_a_failures_reason_is_of_the_list(
    status: str, reason: str | None, explained: bool
) -> None:
    rows = [{"s3_key": "a.jpg", "status": status, "reason": reason}]
    outcome = match_rows(["a.jpg"], rows)["a.jpg"]
    assert is_explained(outcome) == explained
    file = FileReport("kind", "a.jpg", found=outcome, stored=outcome)
    assert (file.unexplained is None) == explained


def test_a_key_that_is_lost_doubled_or_judged_otherwise_is_unexplained() -> None:
    row = {"s3_key": "a.jpg", "status": "indexed", "reason": None}
    assert match_rows(["a.jpg"], []) == {}
    assert match_rows(["a.jpg"], [row, row]) == {"a.jpg": "several rows"}
    unexplained = [
        FileReport("kind", "a.jpg", found="indexed", stored=None),
        FileReport("kind", "a.jpg", found="indexed", stored="several rows"),
        FileReport("kind", "a.jpg", found="indexed", stored="no_face"),
        FileReport("kind", "a.gif", found="indexed", stored="indexed"),
    ]
    assert all(file.unexplained for file in unexplained)
    audit = Audit(unexplained, failures=["The sync ended as failed: S3 unreachable."])
    assert audit.count() == {"files": 4, "crashed": 0, "unexplained": 5}


def test_other_files_are_ignored_as_long_as_the_ledger_does_not_know_them() -> None:
    assert match_rows(["a.gif"], []) == {"a.gif": "ignored"}
    assert FileReport("kind", "a.gif", found="indexed", stored="ignored").unexplained is None


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [("", "indexed"), ("no_face_detected", "no_face"), ("empty", "failed: empty")],
)
def test_a_verdict_is_told_as_the_ledger_tells_it(verdict: str, outcome: str) -> None:
    assert tell_verdict(verdict) == outcome
