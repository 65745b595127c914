"""Tests of the campaign's audit: it finds every error that is planted."""

from dataclasses import replace
from io import BytesIO
from typing import Any
from zipfile import ZipFile

from benchmarks.faults.audit import (
    Finding,
    Reference,
    audit_deadlocks,
    audit_photos,
    audit_quiet,
    audit_replies,
    audit_rerun,
    audit_result,
    audit_shown,
    audit_zips,
    count_verdicts,
)
from benchmarks.faults.guests import Reply
from benchmarks.faults.kinds import FAULTS
from benchmarks.faults.ledger import FaceRow, PhotoRow
from benchmarks.faults.photographer import EventCase
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
PREFIX = "events/1/previews/"
CASE = EventCase(1, "uuid", PREFIX, "token")
REFERENCE = Reference(CASE, {photo.name: photo for photo in PHOTOS}, RESULT)


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


def test_a_photo_that_a_guest_lacks_sees_twice_or_must_not_see_is_found() -> None:
    shown = [f"{PREFIX}a.jpg", f"{PREFIX}b.jpg"]

    def look(wanted: set[str] | None, *keys: str) -> list[str]:
        return [finding.verdict for finding in audit_shown("the page", wanted, keys, PREFIX)]

    assert look({"a.jpg", "b.jpg"}, *shown) == look(None, *shown[:1]) == []
    assert look({"a.jpg", "b.jpg"}, shown[0]) == ["lost"]
    assert look({"a.jpg"}, *shown) == ["doubled"]
    assert look(None, *shown, shown[0]) == ["doubled"]
    # Another event's, also one whose number only begins alike.
    assert look(None, "events/11/previews/a.jpg", "events/2/previews/a.jpg") == ["foreign"] * 2


def judge_reply(reply: Reply, *, may_break: bool = False) -> list[str]:
    return [finding.verdict for finding in audit_replies([reply], 10.0, may_break=may_break)]


def test_whoever_gets_neither_an_answer_nor_a_sentence_is_found() -> None:
    told = b'{"detail": "S3 cannot be reached: try again."}'
    assert judge_reply(Reply("page", 1.0, 200, b"<html>")) == []
    assert judge_reply(Reply("consent", 1.0, 201, b"{}")) == []
    for status in (422, 429, 503):
        assert judge_reply(Reply("search", 1.0, status, told)) == []
        assert judge_reply(Reply("page", 1.0, status, b"<h1>Try again</h1>")) == []
        for wordless in (b"", b"{}", b"Service Unavailable", b"[]"):
            assert judge_reply(Reply("search", 1.0, status, wordless)) == ["unanswered"]
    for status in (500, 404):
        assert judge_reply(Reply("page", 1.0, status, told)) == ["unanswered"]
    assert judge_reply(Reply("page", 1.0, None, error="ReadTimeout")) == ["unanswered"]
    assert judge_reply(Reply("page", 11.0, 200)) == ["unanswered"]


def test_only_a_download_may_break_off_once_it_has_begun() -> None:
    broken = Reply("zip", 1.0, None, error="RemoteProtocolError", status_sent=200)
    assert judge_reply(broken) == ["unanswered"]
    assert judge_reply(broken, may_break=True) == []
    assert judge_reply(replace(broken, status_sent=None), may_break=True) == ["unanswered"]


def test_a_zip_that_looks_whole_and_is_not_is_found() -> None:
    file = BytesIO()
    with ZipFile(file, "w") as archive:
        archive.writestr("a.jpg", b"a")
        archive.writestr("b.jpg", b"b")
    whole = Reply("zip", 1.0, 200, file.getvalue())
    cut, refused = replace(whole, body=whole.body[:-30]), Reply("zip", 1.0, 503)
    assert audit_zips([whole, refused], 2) == []
    assert verdicts(audit_zips([whole], 3)) == verdicts(audit_zips([cut], 2)) == {"lost"}


def test_a_deadlock_is_found_also_after_the_count_began_anew() -> None:
    assert audit_deadlocks(3, 3) == audit_deadlocks(3, 0) == []
    assert verdicts(audit_deadlocks(3, 4)) == verdicts(audit_deadlocks(3, 1)) == {"stuck"}


def test_the_report_counts_faults_outcomes_and_findings() -> None:
    killed, cancelled = FAULTS[0], FAULTS[-1]
    hit = [(killed, Outcome.BY_ITSELF), (killed, Outcome.NOT), (cancelled, Outcome.BY_NEXT_SYNC)]
    findings = [Finding("lost", "a"), Finding("stuck", "b"), Finding("lost", "c")]
    line = {"faults": 3, "lost": 2, "doubled": 0, "stuck": 1, "unanswered": 0, "foreign": 0}
    assert build_line(hit, findings) == line
    assert list(count_verdicts([])) == ["lost", "doubled", "stuck", "unanswered", "foreign"]
    columns = {str(column.header): list(column.cells) for column in build_table(hit).columns}
    assert columns["times"][0] == "2"
    assert [cells[-1] for cells in columns.values()] == ["all", "3", "1", "1", "1"]
