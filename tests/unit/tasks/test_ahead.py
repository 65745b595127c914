"""Reading ahead changes nothing but when a page is asked for."""

import threading
from collections.abc import Generator

import pytest

from models.errors import S3DownloadError
from tasks.ahead import read_ahead


class Listing:
    """Pages 0, 1, 2, ..., and what became of their generator."""

    def __init__(self, count: int, error_at: int | None = None) -> None:
        self.count, self.error_at = count, error_at
        self.asked: list[int] = []
        self.closed = False

    def pages(self) -> Generator[list[int], None, None]:
        """The pages; S3 goes away at one of them."""
        try:
            for number in range(self.count):
                self.asked.append(number)
                if number == self.error_at:
                    raise S3DownloadError("away")
                yield [number]
        finally:
            self.closed = True


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_the_pages_are_the_same_in_the_same_order(count: int) -> None:
    listing = Listing(count)
    assert list(read_ahead(listing.pages())) == [[number] for number in range(count)]
    assert listing.closed


def test_an_empty_page_is_a_page() -> None:
    empty: list[list[int]] = [[], [], [1]]
    assert list(read_ahead(page for page in empty)) == empty


def test_an_error_comes_where_its_page_would_have_come() -> None:
    listing = Listing(5, error_at=2)
    pages = read_ahead(listing.pages())
    assert [next(pages), next(pages)] == [[0], [1]]
    with pytest.raises(S3DownloadError):
        next(pages)
    assert listing.closed


def test_never_more_than_one_page_ahead_and_closing_leaves_no_thread() -> None:
    listing = Listing(50)
    pages = read_ahead(listing.pages())
    for number in range(3):
        assert next(pages) == [number]
    pages.close()
    assert listing.closed
    assert listing.asked in ([0, 1, 2], [0, 1, 2, 3])
    assert [t.name for t in threading.enumerate() if t.name.startswith("read-ahead")] == []


def test_nothing_is_asked_for_before_the_first_page_is_wanted() -> None:
    listing = Listing(3)
    read_ahead(listing.pages()).close()
    assert listing.asked == []
