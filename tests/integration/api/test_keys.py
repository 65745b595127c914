"""Odd keys, all the way: S3's listing, the ledger, GET, the stored address, and back to the key."""

import random
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from urllib.parse import unquote
from uuid import uuid4

import httpx
import pytest
from PIL import Image

from models.keys import ListedPreview, derive_original_key
from models.queries.plans import Listing, copy_listing, write_plan
from models.session import open_session
from tasks.s3.bucket import get_bucket, list_s3_objects
from tests.support.event_box import EventBox
from tests.support.literal_s3 import LiteralS3
from tests.support.photos import vary

NFC, NFD = (unicodedata.normalize(form, "Ёжик й.jpg") for form in ("NFC", "NFD"))
# What every S3 server keeps as it is.
NAMES = [
    *("Свадьба №1.jpg", "a b.jpg", " before.jpg", "after .jpg", "😀👨‍👩‍👧.jpg", NFC, NFD),
    *("a+b.jpg", "100%.jpg", "a%20b.jpg", "a%2Fb.jpg", "a%252Bb.jpg", "a#b.jpg", "a&b.jpg"),
    *("a?b=c.jpg", 'a"b".jpg', "a'b.jpg", "a;b,c.jpg", "<&>.jpg", "*[a]{b}|`^$=@:.jpg", "~a.jpg"),
    *("a\tb.jpg", "a\nb.jpg", "a\rb.jpg", "a\r\nb.jpg", "\x01\x7f.jpg", "a\u2028b.jpg"),
    *("\ufeffbom.jpg", "\u202etfel.jpg", "\ufffd.jpg", "\U0010ffff.jpg", "NULL.jpg", "...jpg"),
    *("Case.jpg", "case.jpg", "CASE.jpg", "case.JPG", "previews/1.jpg", "originals/1.jpg"),
    "д/" * 230 + "ф" * 120 + ".jpg",  # 950 bytes with the prefix, folders and all
]
# What AWS keeps as well, and SeaweedFS changes or refuses.
AWS_NAMES = [
    *("d//e.jpg", "d/e.jpg", "//f.jpg", "f.jpg", "/previews/1.jpg", "previews/1.jpg"),
    *("a\\b.jpg", "a/b.jpg", "\\N.jpg", "\\.\n.jpg", "x\n\\.\ny.jpg", "ф" * 450 + ".jpg"),
]
EMPTY = "empty + нет.jpg"


def make_photos(names: Iterable[str]) -> dict[str, bytes]:
    """A small photo without a face for each name, no two alike."""
    picture = Image.new("RGB", (90, 60), (90, 120, 150))
    return {name: vary(picture, index) for index, name in enumerate(names)}


def follow_addresses(event: EventBox) -> Iterator[tuple[str, bytes]]:
    """Name of each stored photo, and what a guest's signed link to its original brings."""
    bucket = get_bucket()
    with httpx.Client(trust_env=False) as http:
        for name, row in event.photos().items():
            key = unquote(row.image_url, errors="strict").removeprefix(f"{bucket.public_url}/")
            assert key == f"events/{event.id}/originals/{name}"
            link = bucket.client.generate_presigned_url(
                "get_object", Params={"Bucket": bucket.name, "Key": key}
            )
            assert link.startswith(f"{row.image_url}?")
            yield name, http.get(link).raise_for_status().content


def list_names(event: EventBox) -> set[str]:
    """The names of the event's previews as S3 lists them."""
    with closing(list_s3_objects(get_bucket(), event.prefix)) as pages:
        return {item.s3_key.removeprefix(event.prefix) for page in pages for item in page}


def test_odd_keys_make_the_round_trip_through_the_real_s3(event: EventBox) -> None:
    photos = make_photos(NAMES)
    for name, content in photos.items():
        event.put(name, content)
    event.put(EMPTY, b"")
    event.put("album/previews/x.jpg/", b"")
    assert len(f"{event.prefix}{NAMES[-1]}".encode()) > 900

    first, second = event.sync().result, event.sync().result

    assert list_names(event) == {*NAMES, EMPTY} == set(event.photos())
    assert (first["new_photos"], first["failed"]) == (len(NAMES), 1)
    assert (second["new_photos"], second["skipped"], second["failed"]) == (0, len(NAMES), 1)
    assert first["missing_originals"] == second["gone"] == 0
    stored = event.photos()
    assert (stored.pop(EMPTY).reason, {row.status for row in stored.values()}) == (
        "empty",
        {"no_face"},
    )
    assert dict(follow_addresses(event)) == {**photos, EMPTY: b""}


@pytest.fixture
def literal_s3(configure: Callable[..., None]) -> Iterator[LiteralS3]:
    """A server that keeps keys as AWS does."""
    with LiteralS3().serve() as server:
        configure(s3_endpoint_url=server.url)
        yield server


def put_literally(server: LiteralS3, event: EventBox, photos: dict[str, bytes]) -> None:
    for name, content in photos.items():
        key = event.prefix + name
        server.objects[key.encode()] = content
        server.objects[derive_original_key(key, event.folder).encode()] = content


def test_keys_that_only_aws_keeps_make_the_round_trip_too(
    event: EventBox, literal_s3: LiteralS3
) -> None:
    photos = make_photos([*AWS_NAMES, *NAMES])
    put_literally(literal_s3, event, {**photos, "x.jpg/": b"", "album/previews/x.jpg/": b""})

    result = event.sync().result

    assert (result["new_photos"], result["failed"]) == (len(photos), 0)
    assert result["missing_originals"] == 0
    assert dict(follow_addresses(event)) == photos


def test_keys_that_no_database_can_hold_do_not_break_the_listing(
    event: EventBox, literal_s3: LiteralS3
) -> None:
    """A zero byte is left out. Bytes that are no text reach us as U+FFFD: no such key, so gone."""
    photos = make_photos(["good.jpg", "also good.jpg", "\ufffdreal.jpg"])
    put_literally(literal_s3, event, photos)
    content = photos["good.jpg"]
    for folder in (b"previews", b"originals"):
        # A zero byte; two keys that become one; a lone surrogate, as bytes.
        for name in (b"z\0.jpg", b"bad\xff.jpg", b"bad\xfe.jpg", b"half\xed\xa0\x80.jpg"):
            literal_s3.objects[b"events/%d/%s/%s" % (event.id, folder, name)] = content

    result = event.sync().result

    outcomes = {name: (row.status, row.reason) for name, row in event.photos().items()}
    assert outcomes == {
        **dict.fromkeys(photos, ("no_face", "no_face_detected")),
        "bad\ufffd.jpg": ("failed", "vanished"),
        "half\ufffd\ufffd\ufffd.jpg": ("failed", "vanished"),
    }
    assert (result["total_found"], result["new_photos"], result["failed"]) == (5, 3, 2)


def test_of_two_versions_of_a_key_only_the_newest_counts(
    event: EventBox, configure: Callable[..., None]
) -> None:
    name = f"versions-{event.id}"
    event.bucket.client.create_bucket(Bucket=name)
    event.bucket.client.put_bucket_versioning(
        Bucket=name, VersioningConfiguration={"Status": "Enabled"}
    )
    configure(s3_bucket=name)
    event.bucket = get_bucket()
    old, new, gone = make_photos(["old", "new", "gone"]).values()
    ids = [event.put("a + ё.jpg", old), event.put("a + ё.jpg", new), event.put("b.jpg", gone)]
    event.remove("b.jpg")
    versions = event.bucket.client.list_object_versions(Bucket=name, Prefix=ids[0])["Versions"]
    assert len(versions) == 2

    result = event.sync().result

    assert (result["total_found"], result["new_photos"]) == (1, 1)
    assert dict(follow_addresses(event)) == {"a + ё.jpg": new}


def invent_names(count: int) -> list[str]:
    """Different names of quotes, breaks, escapes and letters, the same ones every time."""
    pieces = [
        *"\"',;\\\n\r\t %+#&?/\x01\x08\x0b\x1f\x7f\u2028\ufeff\ufffd😀ёé",
        *("\\.", "\\N", "\n\\.\n", '""', '",\n"', "\r\n", "NULL", "%00", "//", NFC, NFD),
        *("previews/", "/previews/", "/originals/", "a", "A", " "),
    ]
    source, names = random.Random(8), dict.fromkeys(["", '"', "\\."])
    while len(names) < count:
        names["".join(source.choices(pieces, k=source.randint(1, 12)))] = None
    return list(names)


def test_copy_brings_every_name_into_the_table_as_it_is(event: EventBox) -> None:
    names = invent_names(200)
    page = [ListedPreview(f"{event.prefix}{name}", f'e"{name}', 7) for name in names]
    originals = [derive_original_key(item.s3_key, event.folder) for item in page]
    base_url = "http://127.0.0.1:1/photos"
    listing = Listing(
        event.id, event.folder, event.prefix, [page[:90], page[90:]], [originals], base_url
    )

    with open_session() as session:
        copy_listing(session, listing)
        tally = write_plan(
            session, listing, run=uuid4(), pack_ids=[1], first_batch=0, batch_size=1000
        )

    rows = event.query("SELECT s3_key, etag, image_url FROM photo WHERE event_id = :event")
    assert {row.s3_key: row.etag for row in rows} == {item.s3_key: item.etag for item in page}
    assert {unquote(row.image_url) for row in rows} == {f"{base_url}/{key}" for key in originals}
    assert (tally.listed, tally.planned, tally.missing_originals) == (200, 200, 0)
