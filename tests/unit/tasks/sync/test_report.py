"""What a sync amounts to: the guide's statistics to the letter, and the name of its last state."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tables import SyncRun
from models.vocabulary import SyncState
from tasks.sync import report
from tasks.sync.report import announce_end, build_result, judge_share, name_completion

RUN = UUID("a1b2c3d4-e5f6-7890-abcd-ef1234567890")
PREFIX = "events/1/previews/"
GUIDE_FIELDS = [
    *("event_id", "s3_prefix", "total_found", "new_photos", "skipped", "status", "message"),
    *("updated", "failed", "no_face", "faces_found", "gone", "missing_originals", "seconds"),
    *("ignored", "lying_previews", "false_rate"),
]
NUMBER = st.integers(0, 10**7)
COUNTED = ("new_photos", "updated", "failed", "no_face", "erased", "pending", "faces_found")
TALLIED = (
    *("listed", "existing", "skipped", "resting", "gone"),
    *("missing_originals", "planned"),
)


def make_run(tallies: dict[str, dict[str, Any]], gone: int = 0) -> SyncRun:
    """A run's record."""
    return SyncRun(
        flow_run_id=RUN,
        event_id=1,
        s3_prefix=PREFIX,
        state=SyncState.RUNNING,
        tallies=tallies,
        gone=gone,
    )


def count(names: tuple[str, ...], **values: int) -> dict[str, int]:
    """Counts, 0 where nothing is said."""
    return dict.fromkeys(names, 0) | values


def build(tallies: dict[str, dict[str, Any]], **counts: int) -> dict[str, Any]:
    """The result of a run that took no time."""
    return build_result(make_run(tallies), count(COUNTED, **counts), 0)


def test_the_guides_example_comes_out_to_the_letter() -> None:
    tally = count(TALLIED, listed=150, existing=30, skipped=30, planned=120)
    result = build({PREFIX: tally}, new_photos=120)
    guide = {
        "event_id": 1,
        "s3_prefix": "events/1/previews/",
        "total_found": 150,
        "new_photos": 120,
        "skipped": 30,
        "status": "completed",
        "message": "Successfully synced 120 new photos",
    }
    assert {name: result[name] for name in guide} == guide
    assert list(result) == GUIDE_FIELDS


def test_an_empty_prefix_is_completed_and_says_so() -> None:
    result = build({PREFIX: count(TALLIED)})
    assert (result["status"], result["message"]) == ("completed", "No photos found in S3")
    assert result["total_found"] == 0


def test_nothing_new_is_not_nothing_found() -> None:
    result = build({PREFIX: count(TALLIED, listed=30, skipped=30)})
    assert result["message"] == "Successfully synced 0 new photos"


def test_photos_read_anew_are_told_beside_the_new_ones() -> None:
    result = build({PREFIX: count(TALLIED, listed=147, planned=147)}, updated=147)
    assert result["message"] == "Successfully synced 0 new photos; 147 read anew"
    assert name_completion(result) == "Completed: 0 new, 0 skipped, 147 updated"


def test_what_was_left_out_is_summed_over_the_listings_and_told() -> None:
    day1 = {**count(TALLIED, missing_originals=1), "ignored": {"heic": 2, "hidden": 9}}
    day2 = {**count(TALLIED), "ignored": {"heic": 1, "other": 1}}
    before = count(TALLIED)  # by a release that told of none
    result = build({"a": day1, "b": day2, "c": before}, new_photos=2)
    assert result["ignored"] == {"heic": 3, "other": 1}
    assert result["message"] == (
        "Successfully synced 2 new photos; 1 photo has no original; "
        "3 HEIC files and 1 other file were left out"
    )


def test_a_prefix_of_other_files_alone_has_no_photos_and_tells_why() -> None:
    result = build({PREFIX: {**count(TALLIED), "ignored": {"heic": 3}}})
    assert result["message"] == "No photos found in S3; 3 HEIC files were left out"
    assert (result["status"], result["total_found"]) == ("completed", 0)


def test_what_systems_keep_beside_photos_is_not_told() -> None:
    result = build({PREFIX: {**count(TALLIED), "ignored": {"hidden": 4}}})
    assert (result["message"], result["ignored"]) == ("No photos found in S3", {})


def test_a_photo_that_rests_counts_as_failed() -> None:
    result = build({PREFIX: count(TALLIED, listed=5, resting=2, skipped=1)}, failed=1, new_photos=1)
    assert (result["failed"], result["skipped"], result["total_found"]) == (3, 1, 5)


def test_seconds_are_told_to_a_tenth() -> None:
    assert build_result(make_run({}), count(COUNTED), 64.2499)["seconds"] == 64.2


@given(
    st.dictionaries(
        st.sampled_from([PREFIX, "b", "c"]), st.fixed_dictionaries(dict.fromkeys(TALLIED, NUMBER))
    ),
    st.fixed_dictionaries(dict.fromkeys(COUNTED, NUMBER)),
    NUMBER,
)
def test_the_total_is_the_sum_of_its_parts_whatever_the_counts(
    tallies: dict[str, dict[str, int]], counts: dict[str, int], gone: int
) -> None:
    result = build_result(make_run(tallies, gone), counts, 1.0)
    parts = ("new_photos", "updated", "skipped", "failed")
    assert result["total_found"] == sum(result[part] for part in parts)
    tallied = sum(tally["skipped"] for tally in tallies.values())
    assert result["skipped"] == tallied + counts["erased"]
    assert result["missing_originals"] == sum(
        tally["missing_originals"] for tally in tallies.values()
    )
    assert {name: result[name] for name in ("new_photos", "updated", "no_face", "faces_found")} == {
        name: counts[name] for name in ("new_photos", "updated", "no_face", "faces_found")
    }
    assert result["gone"] == gone
    nothing = result["message"].startswith("No photos found in S3")
    assert nothing == (result["total_found"] == 0)


@pytest.mark.parametrize(
    ("counts", "name"),
    [
        ({"total_found": 0}, "Completed: no photos in S3"),
        ({"total_found": 0, "ignored": {"raw": 2}}, "Completed: no photos in S3, 2 ignored"),
        ({"new_photos": 3, "failed": 2}, "Completed: 3 new, 0 skipped, 2 failed"),
        (
            {"skipped": 1, "updated": 4, "failed": 2, "gone": 5},
            "Completed: 0 new, 1 skipped, 4 updated, 2 failed, 5 gone",
        ),
        ({"skipped": 9, "lying_previews": 7}, "Completed: 0 new, 9 skipped, 7 lying"),
        (
            {"missing_originals": 8, "ignored": {"raw": 2, "heic": 1}},
            "Completed: 0 new, 0 skipped, 8 without an original, 3 ignored",
        ),
    ],
)
def test_the_name_of_a_completed_run_tells_what_needs_an_eye(
    counts: dict[str, Any], name: str
) -> None:
    told = ("new_photos", "skipped", "updated", "failed", "gone", "lying_previews")
    nothing = {**dict.fromkeys((*told, "missing_originals"), 0), "ignored": {}, "total_found": 9}
    assert name_completion(nothing | counts) == name


# --- what Prefect's automations hear ---


@pytest.mark.parametrize(
    ("number", "total", "word"),
    [
        (0, 0, "none"),
        (0, 900, "none"),
        (1, 1, "few"),
        (4, 4, "few"),
        (5, 50, "many"),
        (5, 51, "few"),
        (300, 300, "many"),
    ],
)
def test_a_share_is_a_word_that_a_trigger_can_match(number: int, total: int, word: str) -> None:
    assert judge_share(number, total, 0.1) == word


def test_without_a_server_nothing_is_told_and_none_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[object] = []
    monkeypatch.setattr(report, "emit_event", lambda *args, **_: told.append(args))
    announce_end({"prefect.resource.name": "x"}, {})
    assert told == []
