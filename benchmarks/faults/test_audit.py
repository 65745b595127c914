"""Tests of the campaign's audit: it finds every error that is planted."""

from dataclasses import replace
from typing import Any

from benchmarks.faults.audit import (
    Finding,
    Reference,
    audit_photos,
    audit_quiet,
    audit_rerun,
    audit_result,
    count_verdicts,
)
from benchmarks.faults.kinds import FAULTS
from benchmarks.faults.ledger import FaceRow, PhotoRow
from benchmarks.faults.recovery import Outcome
from benchmarks.faults.report import build_line, build_table

FACE: FaceRow = (0.1, 0.2, 0.3, 0.4, 0.9, "[0.6,0.8]")
OTHER: FaceRow = (0.5, 0.2, 0.7, 0.4, 0.8, "[0.8,0.6]")
PHOTOS = [
    PhotoRow("a.jpg", "indexed", None, (FACE, OTHER)),
    PhotoRow("b.jpg", "no_face", "no_face_detected", ()),
    PhotoRow("c.jpg", "failed", "truncated", ()),
]
KEYS = [photo.name for photo in PHOTOS]
RESULT = {
    "total_found": 3,
    "new_photos": 2,
    "updated": 0,
    "skipped": 0,
    "failed": 1,
    "gone": 0,
    "faces_found": 2,
}
RERUN = RESULT | {"new_photos": 0, "skipped": 2, "faces_found": 0}
REFERENCE = Reference({photo.name: photo for photo in PHOTOS}, RESULT)


def judge(photos: list[PhotoRow], keys: list[str] = KEYS) -> list[str]:
    return [finding.verdict for finding in audit_photos(REFERENCE, keys, photos)]


def test_an_undisturbed_event_passes() -> None:
    assert judge(PHOTOS) == []
    assert audit_result(REFERENCE, RESULT) == audit_rerun(REFERENCE, RERUN) == []
    assert audit_quiet([]) == []


def test_a_lost_photo_is_found() -> None:
    assert judge(PHOTOS[1:]) == ["lost"]


def test_a_doubled_photo_is_found() -> None:
    assert judge([*PHOTOS, PHOTOS[0]]) == ["doubled"]


def test_a_photo_that_s3_does_not_have_is_found() -> None:
    assert judge(PHOTOS, KEYS[1:]) == ["doubled"]


def test_a_lost_and_a_doubled_face_are_found() -> None:
    assert judge([replace(PHOTOS[0], faces=(FACE,)), *PHOTOS[1:]]) == ["lost"]
    assert judge([replace(PHOTOS[0], faces=(FACE, FACE, OTHER)), *PHOTOS[1:]]) == ["doubled"]


def test_another_vector_or_box_is_both() -> None:
    for wrong in ((*FACE[:5], "[0.6,0.79]"), (0.11, *FACE[1:])):
        photo = replace(PHOTOS[0], faces=(wrong, OTHER))
        assert judge([photo, *PHOTOS[1:]]) == ["lost", "doubled"]


def test_a_photo_left_pending_or_failed_for_another_reason_is_lost() -> None:
    pending = replace(PHOTOS[1], status="pending", reason=None)
    assert judge([PHOTOS[0], pending, PHOTOS[2]]) == ["lost"]
    assert judge([*PHOTOS[:2], replace(PHOTOS[2], reason="vanished")]) == ["lost"]


def verdicts(findings: list[Finding]) -> set[str]:
    return {finding.verdict for finding in findings}


def change(result: dict[str, Any], **counts: int) -> dict[str, Any]:
    return result | counts


def test_counters_that_do_not_add_up_are_found() -> None:
    assert verdicts(audit_result(REFERENCE, change(RESULT, new_photos=1))) == {"lost"}
    assert verdicts(audit_result(REFERENCE, change(RESULT, total_found=2))) == {"lost"}
    assert verdicts(audit_result(REFERENCE, change(RESULT, skipped=1))) == {"doubled"}
    assert verdicts(audit_result(REFERENCE, change(RESULT, new_photos=1, failed=2))) == {"lost"}
    assert verdicts(audit_result(REFERENCE, change(RESULT, gone=1))) == {"lost"}


def test_a_rerun_that_works_is_found() -> None:
    assert "doubled" in verdicts(audit_rerun(REFERENCE, change(RERUN, updated=1, skipped=1)))
    assert verdicts(audit_rerun(REFERENCE, change(RERUN, faces_found=1))) == {"doubled"}
    assert "lost" in verdicts(audit_rerun(REFERENCE, change(RERUN, skipped=1)))


def test_a_stuck_run_is_found() -> None:
    assert audit_quiet(["Prefect's run 1 is Running"]) == [
        Finding("stuck", "Prefect's run 1 is Running")
    ]


def test_the_report_counts_faults_outcomes_and_findings() -> None:
    killed, cancelled = FAULTS[0], FAULTS[-1]
    hit = [(killed, Outcome.BY_ITSELF), (killed, Outcome.NOT), (cancelled, Outcome.BY_NEXT_SYNC)]
    findings = [Finding("lost", "a"), Finding("stuck", "b"), Finding("lost", "c")]
    assert build_line(hit, findings) == {"faults": 3, "lost": 2, "doubled": 0, "stuck": 1}
    assert list(count_verdicts([])) == ["lost", "doubled", "stuck"]
    columns = {str(column.header): list(column.cells) for column in build_table(hit).columns}
    assert columns["times"][0] == "2"
    assert [cells[-1] for cells in columns.values()] == ["all", "3", "1", "1", "1"]
