"""Ranges and ETags: what is asked for is what is sent, and nothing else is believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.gallery.conditional import is_known, read_range

ETAG = '"abc"'


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-", (0, 10)),
        ("bytes=3-5", (3, 6)),
        ("Bytes= 3-5 ", (3, 6)),
        ("bytes=3-999", (3, 10)),
        ("bytes=-4", (6, 10)),
        ("bytes=-999", (0, 10)),
        ("bytes=9-9", (9, 10)),
    ],
)
def test_one_range_is_what_rfc_9110_says(header: str, wanted: tuple[int, int]) -> None:
    assert read_range(header, None, ETAG, 10) == range(*wanted)


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_a_range_beyond_the_end_is_empty(header: str) -> None:
    part = read_range(header, None, ETAG, 10)
    assert part is not None and not part


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=5-3",
        "bytes=0-1,3-4",
        "items=0-1",
        "bytes=a-b",
        "bytes=٣-٥",
        f"bytes=1-{'9' * 30}",
        "bytes=+1-2",
    ],
)
def test_what_is_no_single_range_asks_for_everything(header: str | None) -> None:
    assert read_range(header, None, ETAG, 10) is None


def test_another_version_is_not_continued() -> None:
    assert read_range("bytes=3-5", ETAG, ETAG, 10) == range(3, 6)
    for other in ('"old"', f"W/{ETAG}", "Wed, 21 Oct 2015 07:28:00 GMT", ""):
        assert read_range("bytes=3-5", other, ETAG, 10) is None


@given(st.text(max_size=40) | st.from_regex(r"bytes=\d*-\d*", fullmatch=True), st.integers(0, 99))
def test_no_header_leads_out_of_the_object(header: str, size: int) -> None:
    part = read_range(header, None, ETAG, size)
    if part:
        assert 0 <= part.start < part.stop <= size


@pytest.mark.parametrize("header", [ETAG, f"W/{ETAG}", f'"x", {ETAG}', "*", f'"a,b",W/{ETAG}'])
def test_a_caller_knows_what_it_names(header: str) -> None:
    assert is_known(header, ETAG) and is_known(header, f"W/{ETAG}")


@pytest.mark.parametrize("header", [None, "", '"ab"', "abc", '"*"', '"abcd"'])
def test_a_caller_does_not_know_what_it_does_not_name(header: str | None) -> None:
    assert not is_known(header, ETAG)
