"""Reading ahead: while one page is worked on, the next one is on its way."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

Page = TypeVar("Page")


def read_ahead(pages: Generator[Page, None, None]) -> Generator[Page, None, None]:
    """The same pages in the same order; the next one is fetched in a thread meanwhile.

    One page ahead and no more, so memory stays flat. An error comes where its page would have
    come. Closing ends the thread, after the page that it is fetching, and closes `pages`.
    """
    with closing(pages), ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as thread:
        upcoming = thread.submit(next, pages, None)
        while (page := upcoming.result()) is not None:
            upcoming = thread.submit(next, pages, None)
            yield page
