"""Which originals lack a preview: two streams merged are the difference of two sets."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.keys import ListedPreview
from tasks.previews import find
from tasks.previews.find import (
    LONGEST_UPLOAD,
    Census,
    cut,
    list_candidates,
    needs_look,
    pair_listings,
)
from tests.support.fake_s3 import FakeClient, make_bucket

NOON = datetime(2026, 7, 20, 12, tzinfo=UTC)
NAMES = st.text(st.sampled_from("aя/.- 😀\uffff"), min_size=1, max_size=6)


def list_keys(keys: list[str], modified: datetime = NOON) -> list[ListedPreview]:
    return [ListedPreview(key, f"etag of {key}", 7, modified) for key in keys]


def pair(originals: list[str], previews: list[str]) -> list[tuple[str, str | None]]:
    listed = [(item.s3_key, item) for item in list_keys(originals)]
    pairs = pair_listings(listed, list_keys(previews))
    return [(key, found and found.s3_key) for (key, _), found in pairs]


def order_by_bytes(keys: set[str]) -> list[str]:
    return sorted(keys, key=lambda key: key.encode())


def order_by_folders(keys: set[str]) -> list[str]:
    return sorted(keys, key=lambda key: key.split("/"))


@given(st.sets(NAMES), st.sets(NAMES))
def test_a_streamed_merge_is_the_difference_of_the_sets(
    originals: set[str], previews: set[str]
) -> None:
    pairs = pair(order_by_bytes(originals), order_by_bytes(previews))
    assert [key for key, _ in pairs] == order_by_bytes(originals)
    assert {key for key, found in pairs if found is None} == originals - previews
    assert all(found in {None, key} for key, found in pairs)


@given(st.sets(NAMES), st.sets(NAMES))
def test_in_another_order_a_preview_may_be_overlooked_and_is_never_invented(
    originals: set[str], previews: set[str]
) -> None:
    pairs = pair(order_by_folders(originals), order_by_folders(previews))
    assert {key for key, _ in pairs} == originals
    assert {key for key, found in pairs if found is None} >= originals - previews


def test_neither_stream_is_read_ahead_by_more_than_one() -> None:
    read: list[str] = []

    def stream(name: str) -> Iterator[ListedPreview]:
        for item in list_keys([f"{number:03}" for number in range(100)]):
            read.append(name)
            yield item

    pairs = pair_listings(((item.s3_key, item) for item in stream("original")), stream("preview"))
    for _ in range(10):
        next(pairs)
    assert read.count("original") == 10
    assert read.count("preview") <= 11


@pytest.mark.parametrize(
    ("original_age", "preview_age", "expected"),
    [
        (timedelta(0), None, True),
        (timedelta(0), timedelta(hours=1), True),  # replaced after its preview was made
        (timedelta(0), timedelta(0), True),
        (LONGEST_UPLOAD / 2, timedelta(0), True),  # a long upload begun before it was made
        (LONGEST_UPLOAD * 2, timedelta(0), False),
    ],
)
def test_a_preview_is_looked_at_where_its_original_may_be_newer(
    original_age: timedelta, preview_age: timedelta | None, expected: bool
) -> None:
    original = ListedPreview("o", "e", 7, NOON - original_age)
    preview = None if preview_age is None else ListedPreview("p", "e", 7, NOON - preview_age)
    assert needs_look(original, preview) is expected


def test_a_store_that_tells_no_dates_has_each_preview_looked_at() -> None:
    assert needs_look(ListedPreview("o", "e", 7), ListedPreview("p", "e", 7))


@given(st.lists(st.integers(), max_size=30), st.integers(1, 7))
def test_pieces_put_together_are_the_whole(items: list[int], size: int) -> None:
    pieces = list(cut(items, size))
    assert [item for piece in pieces for item in piece] == items
    assert [len(piece) for piece in pieces[:-1]] == [size] * len(pieces[:-1])


def make_client(written: dict[str, datetime]) -> FakeClient:
    """A client whose pages are three photos each."""
    return FakeClient(objects=dict.fromkeys(written, b"photo"), written=written, page_size=3)


def test_every_folder_of_originals_is_held_against_the_previews_beside_it() -> None:
    late, early = NOON, NOON - timedelta(days=1)
    event = "events/1/"
    client = make_client(
        {
            f"{event}originals/готово.jpg": early,
            f"{event}previews/готово.jpg": late,
            f"{event}originals/нет.jpg": early,
            f"{event}originals/новее.png": late,
            f"{event}previews/новее.png": early,
            f"{event}previews/без оригинала.jpg": early,
            f"{event}previews/originals/a.jpg": late,  # a preview, whatever its folder is called
            f"{event}originals/c.cr2": early,
            f"{event}originals/d.MP4": early,
            f"{event}originals/пара.ARW": early,
            f"{event}originals/пара.JPG": early,
            f"{event}originals/пара 2.JPG": early,
            f"{event}originals/пара.1.NEF": early,
            f"{event}originals/{'я' * 500}.cr2": early,  # its preview's key would be too long
            f"{event}previews/пара.JPG": late,
            f"{event}previews/пара 2.JPG": late,
            f"{event}previews/пара.1.NEF.jpg": late,
            f"{event}originals/папка/": early,
            f"{event}день 2/originals/b/c.webp": early,
            f"{event}день 2/previews/b/d.webp": early,
            f"{event}../originals/x.jpg": early,
            f"{event}originals/../../10/x.jpg": early,
            f"{event}notes.txt": early,
            "events/10/originals/z.jpg": early,
        }
    )
    bucket, census = make_bucket(client), Census()
    found = list(list_candidates(bucket, "events/1/", look_at_all=False, census=census))
    assert {item.s3_key: item.preview_key for item in found} == {
        f"{event}originals/c.cr2": f"{event}previews/c.cr2.jpg",
        f"{event}originals/нет.jpg": f"{event}previews/нет.jpg",
        f"{event}originals/новее.png": f"{event}previews/новее.png",
        f"{event}день 2/originals/b/c.webp": f"{event}день 2/previews/b/c.webp",
    }
    assert (census.originals, census.candidates) == (8, 4)
    assert census.ignored == {"raw_pair": 1, "video": 1, "hidden": 1, "other": 3}
    assert census.prefixes == [f"{event}previews/", f"{event}день 2/previews/"]
    everything = list(list_candidates(bucket, "events/1/", look_at_all=True, census=Census()))
    assert len(everything) == 8


@given(st.lists(st.text("ab.", min_size=1, max_size=5), unique=True), st.integers(1, 5))
def test_keys_that_begin_alike_are_looked_at_together_and_none_is_lost(
    names: list[str], most: int
) -> None:
    listed = list_keys(sorted(names))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(find, "MOST_ALIKE", most)
        groups = list(find.group_alike(listed))
    assert [item for group in groups for item in group] == listed
    assert all(len(group) <= most for group in groups)
