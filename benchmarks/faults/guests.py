"""Guests of an event: they open its gallery, search with selfies and download what they find.

Each call ends in a reply, also where nobody answered; benchmarks/faults/audit.py judges it.
"""

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any
from zipfile import BadZipFile, ZipFile

import httpx

from api.gallery.texts import hash_consent
from benchmarks.faults.photographer import EventCase
from tests.support.guests import ASTRONAUT, take_selfie
from tests.support.photos import encode_jpeg

ANSWER_S = 60.0  # nobody waits longer for anything
SEARCH_PAGE = 7  # photos: several pages for everybody
PEOPLE = (ASTRONAUT, 0)  # of the sample photos: alone in some of them, one of six in the others


@dataclass(frozen=True)
class Reply:
    """What one call got. No status: no answer, or one that broke off after `status_sent`."""

    call: str
    seconds: float
    status: int | None
    body: bytes = b""
    error: str = ""
    status_sent: int | None = None

    @property
    def sentence(self) -> str:
        """The words for a person, where the answer is a refusal."""
        if b"<h1" in self.body:
            return "a page"
        return str(self.read_json().get("detail", ""))

    def read_json(self) -> dict[str, Any]:
        """The body; empty where it is no object."""
        with suppress(ValueError):
            found = json.loads(self.body)
            return found if isinstance(found, dict) else {}
        return {}


def call(what: str, method: str, url: str, **request: Any) -> Reply:  # noqa: ANN401 (httpx's own)
    """Call and read to the end, as long as a person has patience."""
    began, sent, pieces = time.monotonic(), None, []
    try:
        with httpx.stream(method, url, timeout=ANSWER_S, trust_env=False, **request) as answer:
            sent = answer.status_code
            for piece in answer.iter_bytes():
                pieces.append(piece)
                if time.monotonic() - began > ANSWER_S:
                    raise httpx.ReadTimeout("the answer does not end")
    except httpx.HTTPError as error:
        took = time.monotonic() - began
        return Reply(what, took, None, error=type(error).__name__, status_sent=sent)
    return Reply(what, time.monotonic() - began, sent, b"".join(pieces), status_sent=sent)


@lru_cache(maxsize=len(PEOPLE))
def make_selfie(person: int) -> bytes:
    """A JPEG of one person's face."""
    return encode_jpeg(take_selfie(person))


class Guest:
    """Somebody with the link of a gallery, at one of the API's processes; `replies` are theirs."""

    def __init__(self, url: str, case: EventCase) -> None:
        self.replies: list[Reply] = []
        self._url = url
        self._token, self._prefix = case.gallery_token, case.s3_prefix

    def look(self) -> list[tuple[int, str]]:
        """The photos of all parts of the list, by id and S3 key; empty where refused."""
        home = f"{self._url}/gallery/{self._token}"
        page = self._note(call("page", "GET", home, headers={"Accept": "text/html"}))
        shown: list[tuple[int, str]] = []
        after: str | None = ""
        while after is not None and page.status == httpx.codes.OK:
            page = self._note(call("photos", "GET", f"{home}/photos?after={after}"))
            answer = page.read_json()
            found = answer.get("photos", [])
            shown += [(int(photo["id"]), f"{self._prefix}{photo['name']}") for photo in found]
            after = answer.get("next_cursor")
        return shown if page.status == httpx.codes.OK else []

    def search(self, person: int, page_size: int = SEARCH_PAGE) -> list[str] | None:
        """S3 keys of a person's photos, page by page, the best first; None where refused."""
        keys: list[str] = []
        form = {"version": hash_consent(), "language": "en"}
        path = f"{self._url}/gallery/{self._token}/consents"
        consent = self._note(call("consent", "POST", path, json=form)).read_json().get("consent")
        if not consent:
            return None
        fields = {"gallery_token": self._token, "limit": str(page_size), "consent": str(consent)}
        while True:
            reply = call(
                "search",
                "POST",
                f"{self._url}/api/v1/faces/search",
                data=fields,
                files={"file": ("selfie.jpg", make_selfie(person), "image/jpeg")},
            )
            if reply.status == httpx.codes.BAD_REQUEST and "cursor" in fields:
                # The photos it began with were changed: begin again, as the gallery's page does.
                del fields["cursor"]
                keys.clear()
                continue
            self._note(reply)
            if reply.status != httpx.codes.OK:
                return None
            answer = reply.read_json()
            keys += [str(match["s3_key"]) for match in answer["matches"]]
            if not answer["next_cursor"]:
                return keys
            fields["cursor"] = str(answer["next_cursor"])

    def download(self, photo_ids: Sequence[int]) -> None:
        """The originals of these photos as one zip."""
        path = f"{self._url}/gallery/{self._token}/zip"
        ids = {"photo_ids": [str(photo_id) for photo_id in photo_ids]}
        self._note(call("zip", "POST", path, data=ids))

    def _note(self, reply: Reply) -> Reply:
        self.replies.append(reply)
        return reply


def count_files(body: bytes) -> int | None:
    """The files of a zip; None for one that is damaged or ends early."""
    try:
        with ZipFile(BytesIO(body)) as archive:
            return None if archive.testzip() else len(archive.namelist())
    except (BadZipFile, EOFError):
        return None
