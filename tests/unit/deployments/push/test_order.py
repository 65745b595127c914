"""What goes first: previews before originals, in the order of taking, new photos before known."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from deployments.push.report import Report
from deployments.push.upload import NamedPhoto, UploadResult, send_photos, sort_by_taking
from tests.support.camera_files import build_nef
from tests.support.fake_s3 import FakeClient
from tests.support.photos import encode_jpeg, read_sample
from tests.support.push_sender import KEYS, Heard, aim, put_on_disk

TIME = 0x9003


def shoot(folder: Path, name: str, moment: str | None) -> NamedPhoto:
    """A photo that tells when it was taken, as 14:05:00."""
    picture = read_sample("coffee.png").resize((90, 60))
    exif, file = Image.Exif(), BytesIO()
    if moment is not None:
        exif.get_ifd(0x8769)[TIME] = f"2026:06:20 {moment}"
    picture.save(file, "JPEG", exif=exif)
    return put_on_disk(folder, name, file.getvalue())


def test_new_photos_go_first_in_the_order_of_taking_then_by_name(tmp_path: Path) -> None:
    photos = [
        shoot(tmp_path, "B/1.jpg", None),
        shoot(tmp_path, "A/9.jpg", "14:05:02"),
        shoot(tmp_path, "A/3.jpg", "14:05:00"),
        shoot(tmp_path, "B/2.jpg", "14:05:01"),
        shoot(tmp_path, "A/1.jpg", None),
        shoot(tmp_path, "A/2.jpg", "14:05:00"),
    ]
    lost = put_on_disk(tmp_path, "lost.jpg", b"x")
    lost.file.path.unlink()
    order = [photo.name for photo in sort_by_taking([*photos, lost], {"A/2.jpg"})]
    assert order == ["A/3.jpg", "B/2.jpg", "A/9.jpg", "A/1.jpg", "B/1.jpg", "lost.jpg", "A/2.jpg"]


def test_a_raw_file_tells_its_time_from_its_head(tmp_path: Path) -> None:
    late = shoot(tmp_path, "1.jpg", "23:59:59")
    raw = put_on_disk(tmp_path, "2.NEF", build_nef(late.file.path.read_bytes()) + bytes(300_000))
    assert {photo.name for photo in sort_by_taking([raw, late], ())} == {"1.jpg", "2.NEF"}


def test_every_preview_is_there_before_the_first_original(tmp_path: Path) -> None:
    photos = [shoot(tmp_path, f"{number:02}.jpg", f"14:05:{number:02}") for number in range(20)]
    broken = put_on_disk(tmp_path, "broken.jpg", b"no photo")
    store, heard = FakeClient(), Heard()
    send_photos(aim(store, makes_views=True), [*photos, broken], heard)
    puts = store.get_keys("put_object")
    assert sorted(puts[:20]) == [KEYS.preview(photo.name) for photo in photos]
    # What is no photo stands in for its preview: its whole size, so it is sent behind.
    assert puts.index(KEYS.preview("broken.jpg")) > puts.index(KEYS.original("broken.jpg")) > 19
    assert len(puts) == 20 * 5 + 2
    assert (
        sorted(heard.previews)
        == sorted(heard.originals)
        == [*(p.name for p in photos), "broken.jpg"]
    )


@pytest.mark.parametrize("puts", [0, 1, 7, 12, 20, 21, 30, 59])
def test_a_push_that_ends_anywhere_adds_up_and_the_next_one_finishes_it(
    tmp_path: Path, puts: int
) -> None:
    photos = [shoot(tmp_path, f"{number:02}.jpg", None) for number in range(12)]
    store, left = FakeClient(), puts

    def end(_: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt

    class Reporting(Heard):
        def __init__(self, report: Report) -> None:
            super().__init__()
            self.report = report

        def note_preview(self, result: UploadResult) -> None:
            super().note_preview(result)
            self.report.take([result])

    first, second = Report(photos=12), Report(photos=12)
    store.before_put = end
    with pytest.raises(KeyboardInterrupt):
        send_photos(aim(store, makes_views=True), photos, Reporting(first))
    store.before_put = lambda _: None
    second.take(send_photos(aim(store, makes_views=True), photos, Reporting(second)))

    for report in (first, second):
        assert sum(report.count().values()) == report.photos
    assert first.count()["left"] > 0
    counts = second.count()
    assert counts["left"] == counts["not_sent"] == 0
    assert set(map(KEYS.original, (p.name for p in photos))) <= store.objects.keys()
    assert set(map(KEYS.preview, (p.name for p in photos))) <= store.objects.keys()
    again = Report(photos=12)
    again.take(send_photos(aim(store, makes_views=True), photos, Heard()))
    assert again.count()["unchanged"] == 12


def test_a_store_whose_etags_are_no_digests_keeps_its_previews(tmp_path: Path) -> None:
    photo = put_on_disk(tmp_path, "1.jpg", encode_jpeg(read_sample("coffee.png")))
    store = FakeClient()
    store.make_etag = lambda content: f"{len(content):032x}"
    send_photos(aim(store), [photo], Heard())
    note = store.metadata[KEYS.preview("1.jpg")]["facepass-original"]
    assert note == store.metadata[KEYS.original("1.jpg")]["facepass-md5"]
    store.calls.clear()
    send_photos(aim(store), [photo], Heard())
    assert store.get_keys("put_object") == []
