"""Originals that are not called as their previews: found where exactly one fits, and offered."""

from collections.abc import Callable
from io import BytesIO
from typing import Any
from unicodedata import normalize
from urllib.parse import unquote
from uuid import uuid4
from zipfile import ZipFile

import httpx
import pytest

from models.keys import ListedPreview, build_image_url
from models.queries.plans import Listing, copy_listing, write_plan
from models.session import open_session
from models.tables import Photo
from tasks.sync.resync import ResyncTarget, has_changed
from tests.support.event_box import EventBox
from tests.support.photos import encode_jpeg, read_sample

BASE_URL = "https://s3.example.org/photos"
NFC, NFD = normalize("NFC", "Ёлка й"), normalize("NFD", "Ёлка й")
# Preview -> its original: of the same moment in a camera's, a phone's, a Mac's and Windows' names.
PAIRS = {
    "IMG_1.jpg": "IMG_1.JPG",
    "IMG_2.jpg": "IMG_2.CR2",
    "IMG_3.jpg": "IMG_3.HEIC",
    "IMG_4.jpeg": "IMG_4.jpg",
    "IMG_5.jpg": "IMG_5.jpeg",
    f"{NFC} 6.jpg": f"{NFD} 6.jpg",
    f"{NFD} 7.jpg": f"{NFC} 7.jpg",
    "day1/IMG_8.jpg": "Day1/IMG_8.jpg",
    "IMG_9.jpg": "IMG_9.jpg",
    "img_10.jpg": "IMG_10.NEF",
    "IMG_11.webp": "IMG_11.tif",
}


def plan(
    event: EventBox, previews: list[str], originals: list[str], below: str = "", part: str = ""
) -> None:
    """Plan a listing of names; of those below a folder of the previews, or of a part of them."""
    prefix = f"{event.prefix}{below}"
    listed = [ListedPreview(f"{prefix}{name}", "e", 1) for name in previews]
    keys = [f"{event.folder}originals/{below}{name}" for name in originals]
    with open_session() as session:
        listing = Listing(event.id, event.folder, prefix + part, [listed], [keys], BASE_URL)
        copy_listing(session, listing)
        write_plan(session, listing, run=uuid4(), pack_ids=[1], first_batch=0, batch_size=100)


def match(event: EventBox) -> dict[str, str | None]:
    """Preview -> its original's name as the address has it; None: it is missing."""
    base = f"{BASE_URL}/{event.folder}originals/"
    return {
        name: None if row.original_missing else unquote(row.image_url).removeprefix(base)
        for name, row in event.photos().items()
    }


def test_each_preview_finds_the_original_of_its_photo(
    event: EventBox, joined_stack: dict[str, str]
) -> None:
    contents = {original: f"bytes of {original}".encode() for original in PAIRS.values()}
    photo = encode_jpeg(read_sample("coffee.png"))
    for number, (preview, original) in enumerate(PAIRS.items()):
        event.put(preview, photo + bytes([number]), original=False)
        event.bucket.client.put_object(
            Bucket=event.bucket.name,
            Key=f"{event.folder}originals/{original}",
            Body=contents[original],
        )

    outcome = event.sync()

    assert outcome.result["new_photos"] == len(PAIRS)
    assert outcome.result["missing_originals"] == 0
    rows = event.photos()
    (token,) = event.query("SELECT gallery_token FROM event WHERE id = :event")[0]
    base = f"{joined_stack['FACEPASS_API_URL']}/gallery/{token}"
    with httpx.Client(base_url=base, timeout=60, trust_env=False) as guest:
        for preview, original in PAIRS.items():
            key = f"{event.folder}originals/{original}"
            assert rows[preview].image_url == build_image_url(event.bucket.public_url, key)
            found = guest.get(f"/photos/{rows[preview].id}/original")
            assert found.content == contents[original]
        answer = guest.post("/zip", data={"photo_ids": [row.id for row in rows.values()]})
    archive = ZipFile(BytesIO(answer.content))
    assert {archive.read(name) for name in archive.namelist()} == set(contents.values())
    target = ResyncTarget(event.id, event.prefix, event.name)
    assert not has_changed(target)
    # A better match that comes later is taken, with nothing read anew.
    event.bucket.client.put_object(
        Bucket=event.bucket.name, Key=f"{event.folder}originals/IMG_2.jpg", Body=b"developed"
    )
    assert has_changed(target)
    again = event.sync().result
    assert (again["new_photos"], again["skipped"]) == (0, len(PAIRS))
    assert event.photos()["IMG_2.jpg"].image_url.endswith("/originals/IMG_2.jpg")
    assert event.photos()["IMG_2.jpg"].original_key is None


@pytest.mark.parametrize(
    ("originals", "found"),
    [
        # A pair of RAW and JPEG: what a guest can open.
        (["IMG_1.CR2", "IMG_1.JPG"], "IMG_1.JPG"),
        (["IMG_1.jpeg", "IMG_1.CR2"], "IMG_1.jpeg"),
        (["IMG_1.HEIC", "IMG_1.DNG", "IMG_1.MOV", "IMG_1.xmp"], "IMG_1.HEIC"),
        (["img_1.cr3", "IMG_1.psd"], "img_1.cr3"),
        (["IMG_1.gif"], "IMG_1.gif"),
        # The nearer name wins.
        (["IMG_1.png", "IMG_1.JPG"], "IMG_1.JPG"),
        (["IMG_1.jpg", "IMG_1.JPG", "img_1.jpg"], "IMG_1.jpg"),
        # More than one fits, or none does.
        (["IMG_1.JPG", "img_1.jpg"], None),
        (["IMG_1.JPG", "img_1.jpg", "IMG_1.CR2"], None),
        (["IMG_1.png", "IMG_1.webp", "IMG_1.CR2"], None),
        (["IMG_1.HEIC", "IMG_1.tif"], None),
        (["IMG_1.mov", "IMG_1.xmp", "IMG_1", "._IMG_1.jpg", "IMG_1/"], None),
        (["other/IMG_1.jpg", "IMG_10.jpg", "IMG_1.2.jpg", "IMG_1 (1).jpg"], None),
        ([], None),
    ],
)
def test_of_several_originals_the_one_that_fits_is_taken_or_none(
    event: EventBox, originals: list[str], found: str | None
) -> None:
    plan(event, ["IMG_1.jpg"], originals)
    assert match(event) == {"IMG_1.jpg": found}


@pytest.mark.parametrize(
    ("previews", "originals", "found"),
    [
        # One original is not offered for two photos.
        (["a.jpg", "A.jpg"], ["A.JPG"], {"a.jpg": None, "A.jpg": None}),
        (["a.jpg", "a.png"], ["a.CR2"], {"a.jpg": None, "a.png": None}),
        (["a.jpg", "A.jpg"], ["a.jpg"], {"a.jpg": "a.jpg", "A.jpg": None}),
        (["a.jpg", "A.jpg"], ["a.jpg", "a.JPG"], {"a.jpg": "a.jpg", "A.jpg": "a.JPG"}),
        (["a.jpg", "b.jpg"], ["A.jpg", "B.cr2"], {"a.jpg": "A.jpg", "b.jpg": "B.cr2"}),
        # Previews that are called as a RAW file, and .jpg.
        (["a.CR2.jpg"], ["a.CR2"], {"a.CR2.jpg": "a.CR2"}),
        (["a.CR2.JPG"], ["a.cr2"], {"a.CR2.JPG": "a.cr2"}),
        (["a.CR2.jpg"], ["a.CR2.JPG"], {"a.CR2.jpg": "a.CR2.JPG"}),
        # The one of exactly its name is nearer, and the other is left for a photo that has none.
        (["a.HEIC.jpg"], ["a.HEIC.jpg"], {"a.HEIC.jpg": "a.HEIC.jpg"}),
        (["a.CR2.jpg"], ["a.CR2", "a.CR2.jpg"], {"a.CR2.jpg": "a.CR2.jpg"}),
        (
            ["a.CR2.jpg", "a.jpg"],
            ["a.CR2", "a.CR2.jpg"],
            {"a.CR2.jpg": "a.CR2.jpg", "a.jpg": "a.CR2"},
        ),
        # Both have a preview that was made of them.
        (
            ["a.CR2.jpg", "a.CR2.jpg.jpg"],
            ["a.CR2", "a.CR2.jpg"],
            {"a.CR2.jpg": "a.CR2", "a.CR2.jpg.jpg": "a.CR2.jpg"},
        ),
        (["a.CR2.jpg", "a.jpg"], ["a.CR2", "a.JPG"], {"a.CR2.jpg": "a.CR2", "a.jpg": "a.JPG"}),
    ],
)
def test_several_previews_share_no_original(
    event: EventBox, previews: list[str], originals: list[str], found: dict[str, str | None]
) -> None:
    plan(event, previews, originals)
    assert match(event) == found


def test_an_original_that_a_store_lists_twice_is_one(event: EventBox) -> None:
    plan(event, ["a.jpg"], ["A.CR2", "A.CR2"])
    assert match(event) == {"a.jpg": "A.CR2"}


def test_a_listing_of_a_part_forgets_no_original_that_lies_elsewhere(event: EventBox) -> None:
    plan(event, ["day1/a.jpg", "day1/b.jpg"], ["Day1/a.jpg", "day1/b.CR2"])
    found: dict[str, str | None] = {"day1/a.jpg": "Day1/a.jpg", "day1/b.jpg": "day1/b.CR2"}
    assert match(event) == found
    plan(event, ["a.jpg", "b.jpg"], ["b.CR2"], below="day1/")
    assert match(event) == found
    # What lies in the part and is gone from it is missing.
    plan(event, ["a.jpg", "b.jpg"], [], below="day1/")
    assert match(event) == {**found, "day1/b.jpg": None}
    plan(event, ["day1/a.jpg", "day1/b.jpg"], [])
    assert match(event) == dict.fromkeys(found)


def test_a_sync_of_one_photo_finds_its_raw_original(
    make_event: Callable[..., EventBox],
) -> None:
    event: Any = make_event()
    event.put("IMG_1.jpg", encode_jpeg(read_sample("coffee.png")), original=False)
    event.bucket.client.put_object(
        Bucket=event.bucket.name, Key=f"{event.folder}originals/IMG_1.CR2", Body=b"raw"
    )
    assert event.sync(f"{event.prefix}IMG_1.jpg").result["missing_originals"] == 0
    with open_session() as session:
        photo = session.get_one(Photo, event.photos()["IMG_1.jpg"].id)
        assert photo.original_key == f"{event.folder}originals/IMG_1.CR2"


def test_an_original_of_exactly_the_previews_name_is_the_one_a_guest_gets(event: EventBox) -> None:
    plan(event, ["IMG_1.HEIC.jpg"], ["IMG_1.HEIC.jpg"])
    (row,) = event.query("SELECT original_key FROM photo WHERE event_id = :event")
    assert row == (f"{event.folder}originals/IMG_1.HEIC.jpg",)


@pytest.mark.parametrize(
    ("before", "originals", "added", "found"),
    [
        # A listing of the whole event would refuse them too.
        (["a.png"], [], "a.jpg", None),
        (["A.jpg"], [], "a.jpg", None),
        # What another photo has, it keeps.
        (["a.png"], ["a.CR2"], "a.jpg", None),
        # Nobody else wants it.
        (["b.png", "aa.jpg"], [], "a.jpg", "a.CR2"),
    ],
)
def test_a_sync_of_one_photo_takes_no_original_that_others_may_be_of(
    event: EventBox, before: list[str], originals: list[str], added: str, found: str | None
) -> None:
    plan(event, before, originals)
    kept = match(event)
    plan(event, [added], ["a.CR2"], part=added)
    assert match(event) == {**kept, added: found}
    plan(event, [added], ["a.CR2"], part=added)
    assert match(event) == {**kept, added: found}


def test_names_and_addresses_that_another_release_wrote_are_mended(event: EventBox) -> None:
    plan(event, ["ЁЖ_9.jpg"], ["ЁЖ_9.jpg"])
    written = event.query("SELECT sort_name, image_url FROM photo WHERE event_id = :event")
    # Not read anew, as all that is known.
    rest = "status = 'failed', reason = 'unreadable'"
    event.query(f"UPDATE photo SET {rest} WHERE event_id = :event RETURNING id")
    for wrong in ("sort_name = NULL", "sort_name = lower(s3_key)", "image_url = 'u'"):
        event.query(f"UPDATE photo SET {wrong} WHERE event_id = :event RETURNING id")
        plan(event, ["ЁЖ_9.jpg"], ["ЁЖ_9.jpg"])
        now = event.query("SELECT sort_name, image_url FROM photo WHERE event_id = :event")
        assert now == written
