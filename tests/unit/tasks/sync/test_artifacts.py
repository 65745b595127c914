"""What Prefect shows of a sync: the metrics, failures with what to do, nothing else."""

import pytest

from models.tables import Photo
from models.vocabulary import PhotoReason, PhotoStatus
from tasks.sync.artifacts import WHAT_TO_DO, build_failure_table, build_summary

RESULT = {
    "event_id": 1,
    "message": "Successfully synced 30 new photos",
    "total_found": 50,
    "new_photos": 30,
    "updated": 10,
    "skipped": 5,
    "failed": 5,
    "no_face": 2,
    "faces_found": 90,
    "gone": 1,
    "missing_originals": 3,
    "seconds": 20.0,
    "ignored": {"video": 1, "heic": 3},
    "lying_previews": 2,
    "false_rate": {"pairs": 9000, "per_thousand_above": 0.47},
}


def read_rows(result: dict[str, object]) -> dict[str, str]:
    lines = build_summary("Свадьба", result).splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return {row[0]: row[1] for row in cells if len(row) == 2}


def test_the_guides_metrics_are_in_the_summary() -> None:
    rows = read_rows(RESULT)
    assert rows["Processed now"] == "40"
    assert rows["Time a photo"] == "0.50 s"
    assert rows["Share that can be found"] == "90.0 %"
    assert rows["Skipped (known already)"] == "5"
    assert build_summary("Свадьба", RESULT).startswith("# Свадьба\n")


def test_a_sync_without_photos_divides_by_nothing() -> None:
    rows = read_rows({**RESULT, "total_found": 0, "new_photos": 0, "updated": 0, "failed": 0})
    assert (rows["Time a photo"], rows["Share that can be found"]) == ("–", "–")


@pytest.mark.parametrize("reason", sorted(set(PhotoReason) - {PhotoReason.NO_FACE_DETECTED}))
def test_every_reason_of_a_failure_says_what_to_do(reason: PhotoReason) -> None:
    photo = Photo(
        event_id=1,
        s3_key="events/1/previews/ё.jpg",
        etag="e",
        size=1,
        image_url="u",
        status=PhotoStatus.FAILED,
        reason=reason,
        change="new",
    )
    assert build_failure_table([photo]) == [
        {"photo": photo.s3_key, "reason": reason.value, "what to do": WHAT_TO_DO[reason]}
    ]


def test_the_summary_tells_the_false_rate_and_what_to_do_about_what_needs_an_eye() -> None:
    assert read_rows(RESULT)["Previews that lie"] == "2"
    assert read_rows(RESULT)["Files left out"] == "3 HEIC files and 1 video"
    assert read_rows({**RESULT, "ignored": {}})["Files left out"] == "0"
    *_, left_out, _, missing, _, lying, _, alike = build_summary("Свадьба", RESULT).splitlines()
    assert left_out.startswith("3 HEIC files and 1 video were left out. ")
    assert missing.startswith("3 photos have no original for guests to download: ")
    assert lying.startswith("2 previews lie on a side or upside down: apply EXIF's orientation")
    assert alike == "In this event 1 pair of different people in 1,000 looks alike above 0.47."
