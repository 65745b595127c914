"""Pictures kept in memory: bounded, by version, the latest first."""

from api.gallery.pictures import KeptPictures


def test_the_bytes_are_bounded_and_those_of_long_ago_go_first() -> None:
    kept = KeptPictures(most_bytes=10)
    kept.put("a", "1", b"aaaa")
    kept.put("b", "1", b"bbbb")
    assert kept.get("a", "1") == b"aaaa"
    kept.put("c", "1", b"cccc")
    assert kept.get("b", "1") is None
    assert (kept.get("a", "1"), kept.get("c", "1")) == (b"aaaa", b"cccc")
    for _ in range(9):
        kept.put("c", "1", b"cccc")
    assert kept.get("a", "1") == b"aaaa"


def test_another_version_is_another_picture() -> None:
    kept = KeptPictures(most_bytes=10)
    kept.put("a", "1", b"old")
    assert kept.get("a", "2") is None
