"""Tests of the times that `make bench-live` computes."""

from benchmarks.latency.live import compute_waits, make_photos


def test_a_photo_is_shown_when_the_count_reaches_it() -> None:
    sent = [10.0, 11.0, 12.0]
    counts = [[10.5, 0], [13.0, 2], [14.0, 3]]
    assert compute_waits(sent, counts) == [3.0, 2.0, 2.0]


def test_what_the_page_never_showed_has_no_time() -> None:
    assert compute_waits([1.0, 2.0], [[3.0, 1]]) == [2.0]
    assert compute_waits([1.0], []) == []


def test_photos_have_names_of_their_own_and_can_all_be_read() -> None:
    photos = make_photos(100)
    assert len({photo.name for photo in photos}) == 100
    assert all(photo.faces is not None for photo in photos)
