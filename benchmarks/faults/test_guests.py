"""Tests of the campaign's guests: what they read from answers, and from none."""

import json
import time
from collections.abc import Iterator
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from benchmarks.faults import guests
from benchmarks.faults.guests import ASTRONAUT, Guest
from benchmarks.faults.photographer import EventCase
from tests.support.http_server import QuietHandler, serve_http

CASE = EventCase(1, "uuid", "events/1/previews/", "token")
LISTS = {
    "": {"photos": [{"id": 7, "name": "я 1.jpg"}], "next_cursor": "7"},
    "7": {"photos": [{"id": 9, "name": "b.jpg"}], "next_cursor": None},
}
MATCHES = {"": (["a.jpg", "b.jpg"], "next"), "next": (["c.jpg"], None)}


class _Api(QuietHandler):
    """An API of one gallery, whose downloads break off and whose second page may be refused."""

    refused = False

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        after = parse_qs(urlsplit(self.path).query).get("after", [""])[0]
        if after and self.refused:
            self.answer(503, b"<h1>Try again</h1>")
        elif self.path.endswith("/token"):
            self.answer(200, b"<html>", [("Content-Type", "text/html")])
        else:
            self.answer(200, json.dumps(LISTS[after]).encode())

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/zip"):
            self.answer(200, b"PK and no more", missing=5)
            return
        if self.path.endswith("/consents"):
            self.answer(200, b'{"consent": "signed"}')
            return
        names, cursor = MATCHES["next" if b"\r\nnext\r\n" in body else ""]
        matches = [{"s3_key": f"events/1/previews/{name}"} for name in names]
        answer = {"matches": matches, "next_cursor": cursor}
        self.answer(200, json.dumps(answer).encode())


@pytest.fixture
def url() -> Iterator[str]:
    with serve_http(_Api) as url:
        yield url


def test_a_guest_reads_all_pages_of_a_gallery(url: str) -> None:
    shown = Guest(url, CASE).look()
    assert shown == [(7, "events/1/previews/я 1.jpg"), (9, "events/1/previews/b.jpg")]


def test_a_page_that_is_refused_is_noted_with_its_sentence() -> None:
    with serve_http(_Api, refused=True) as url:
        guest = Guest(url, CASE)
        assert guest.look() == []
    assert [(reply.status, reply.sentence) for reply in guest.replies][2] == (503, "a page")


def test_a_guest_reads_all_pages_of_a_search(url: str) -> None:
    names = ["a.jpg", "b.jpg", "c.jpg"]
    assert Guest(url, CASE).search(ASTRONAUT) == [f"events/1/previews/{name}" for name in names]


def test_a_search_whose_beginning_is_gone_begins_again() -> None:
    class Changed(_Api):
        pages_refused: ClassVar[list[str]] = ["a photo it began with is erased"]

        def do_POST(self) -> None:  # noqa: N802 - http.server's name
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.endswith("/consents"):
                self.answer(200, b'{"consent": "signed"}')
                return
            later = b"\r\nnext\r\n" in body
            if later and self.pages_refused:
                detail = {"detail": self.pages_refused.pop()}
                self.answer(400, json.dumps(detail).encode())
                return
            names, cursor = MATCHES["next" if later else ""]
            matches = [{"s3_key": name} for name in names]
            self.answer(200, json.dumps({"matches": matches, "next_cursor": cursor}).encode())

    with serve_http(Changed) as url:
        guest = Guest(url, CASE)
        assert guest.search(ASTRONAUT) == ["a.jpg", "b.jpg", "c.jpg"]
    assert [reply.status for reply in guest.replies] == [200, 200, 200, 200]
    assert Changed.pages_refused == []


def test_a_download_that_breaks_off_has_no_status_but_that_which_was_sent(url: str) -> None:
    guest = Guest(url, CASE)
    guest.download([7, 9])
    assert [(reply.status, reply.status_sent) for reply in guest.replies] == [(None, 200)]


def test_a_guest_whom_nobody_answers_notes_that(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(_Api):
        def do_GET(self) -> None:  # noqa: N802 - http.server's name
            time.sleep(1.0)

    monkeypatch.setattr(guests, "ANSWER_S", 0.2)
    with serve_http(Silent) as url:
        guest = Guest(url, CASE)
        assert guest.look() == []
    assert [(reply.status, reply.error) for reply in guest.replies] == [(None, "ReadTimeout")]
