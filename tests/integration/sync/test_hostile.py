"""The hostile corpus through a real sync in this process: every key once, with a reason."""

from concurrent.futures import ThreadPoolExecutor

from benchmarks.hostile.audit import is_explained, tell_row
from benchmarks.hostile.bombs import list_large_pictures
from benchmarks.hostile.corpus import build_corpus
from benchmarks.hostile.files import HostileFile
from models.keys import is_image_key
from tests.support.event_box import EventBox

SLOW = "scans/20.jpg"  # seconds; `make hostile` has it, and the large pictures
# Of what comes by the dozen, every third.
OFTEN = {"truncated", "bit-flipped", "wrong extension"}


def pick_files() -> list[HostileFile]:
    """A part of the corpus in which every kind is."""
    files = [file for file in build_corpus(leave_out=(list_large_pictures,)) if file.name != SLOW]
    return [file for i, file in enumerate(files) if file.kind not in OFTEN or i % 3 == 0]


def test_every_hostile_file_is_accounted_for_once_and_with_a_reason(event: EventBox) -> None:
    files = pick_files()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda f: event.put(f.name, f.content, original=False), files))

    result = event.sync().result

    rows = event.query("SELECT s3_key, status, reason FROM photo WHERE event_id = :event")
    expected = {event.prefix + file.name for file in files if is_image_key(file.name)}
    assert sorted(row.s3_key for row in rows) == sorted(expected)
    unexplained = {row.s3_key: row for row in rows if not is_explained(tell_row(row._mapping))}
    assert unexplained == {}
    assert result["total_found"] == len(expected)
    counted = ("new_photos", "updated", "skipped", "failed")
    assert sum(result[name] for name in counted) == len(expected)

    reasons = {row.s3_key.removeprefix(event.prefix): row.reason for row in rows}
    assert reasons["noise/thirty.jpg"] == "not_an_image"
    assert reasons["scans/500.jpg"] == "unprocessable"
    assert reasons["pixels/400_megapixels.png"] == "too_many_pixels"
    assert reasons["empty/baseline.jpg"] == "empty"
    assert reasons["names/Свадьба Анны и Ёжи.jpg"] is None
    assert reasons["exif/circle.jpg"] is None

    again = event.sync().result
    assert (again["new_photos"], again["updated"]) == (0, 0)
    assert again["failed"] == result["failed"]
