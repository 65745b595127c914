"""Which files of a folder are photos."""

import os
from pathlib import Path

import pytest

from deployments.push.folder import check_folder, scan_folder
from models.errors import PushRefusedError


def fill(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 3)


def test_photos_are_found_and_the_rest_is_counted_by_kind(tmp_path: Path) -> None:
    photos = {
        "1.jpg", "a/2.JPEG", "a/b/3.png", "а/Ёж.webp", "scan.jfif", "old.JPE",
        "2.dng", "4.heic", "4.HIF", "5.TIF", "5.avif", "a/1.CR3",
    }  # fmt: skip
    fill(tmp_path, *photos)
    fill(
        tmp_path,
        "1.CR3",
        "5.orf",
        "clip.MOV",
        "6.psd",
        "notes.txt",
        "Thumbs.db",
        "noext",
    )
    fill(tmp_path, "._1.jpg", ".hidden.jpg", ".Trashes/5.jpg", "$RECYCLE.BIN/6.jpg", "..7.jpg")

    scan = scan_folder(tmp_path)

    assert {photo.relative for photo in scan.photos} == photos
    assert [photo.size for photo in scan.photos] == [3] * len(photos)
    assert scan.skipped == {
        "raw_pair": 2, "video": 1, "other_picture": 1, "other": 3, "hidden": 5,
    }  # fmt: skip


def test_links_are_not_followed_neither_out_of_the_folder_nor_round_and_round(
    tmp_path: Path,
) -> None:
    fill(tmp_path, "photos/1.jpg", "elsewhere/2.jpg")
    (tmp_path / "photos" / "out").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos" / "round").symlink_to(tmp_path / "photos")
    (tmp_path / "photos" / "again.jpg").symlink_to(tmp_path / "photos" / "1.jpg")
    (tmp_path / "photos" / "lost.jpg").symlink_to(tmp_path / "nowhere")
    scan = scan_folder(tmp_path / "photos")
    assert [photo.relative for photo in scan.photos] == ["1.jpg"]
    assert scan.skipped == {"link": 4}


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    fill(tmp_path, "photos/1.jpg")
    (tmp_path / "card").symlink_to(tmp_path / "photos")
    assert check_folder(tmp_path / "card") == (tmp_path / "photos").resolve()


def test_a_name_that_is_no_text_is_counted(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff\xfe.jpg", "wb"):  # noqa: PTH123 (bytes are meant)
        pass
    scan = scan_folder(tmp_path)
    assert (scan.photos, scan.skipped) == ([], {"unnameable": 1})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_stops_the_push(tmp_path: Path) -> None:
    fill(tmp_path, "locked/1.jpg")
    (tmp_path / "locked").chmod(0)
    with pytest.raises(PushRefusedError, match="locked cannot be read"):
        scan_folder(tmp_path)
    (tmp_path / "locked").chmod(0o700)


def test_a_folder_that_vanishes_stops_the_push(tmp_path: Path) -> None:
    with pytest.raises(PushRefusedError, match=r"cannot be read .* nothing was sent"):
        scan_folder(tmp_path / "card")


def test_what_is_no_folder_of_photos_is_refused_in_a_sentence(tmp_path: Path) -> None:
    fill(tmp_path, "1.jpg", "both/originals/1.jpg", "both/previews/1.jpg")
    for wrong, sentence in (
        ("missing", "does not exist"),
        ("1.jpg", "is a file"),
        ("both", "each photo would be there twice"),
    ):
        with pytest.raises(PushRefusedError, match=sentence):
            check_folder(tmp_path / wrong)
