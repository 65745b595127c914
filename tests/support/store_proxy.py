"""A proxy that plays another S3 store: it refuses what that store refuses, and passes the rest on.

The Host that a client signed goes along, so the signature is good for the server behind too.
"""

import http.client
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote, urlsplit

from tests.support.http_server import QuietHandler, serve_http

# Said by two neighbours to each other, never passed on.
HOP = {"connection", "keep-alive", "transfer-encoding"}


@dataclass(frozen=True)
class StoreRequest:
    """One request, as the store sees it; header names are in lower case."""

    method: str
    path: str  # with its query
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Refusal:
    """An answer in the real server's place; `more` is XML beside the code."""

    status: int
    code: str
    message: str = "refused"
    more: str = ""


Rule = Callable[[StoreRequest], Refusal | None]


@dataclass
class StoreProxy:
    """Passes requests on to `target_url` unless one of its rules refuses them."""

    target_url: str
    rules: list[Rule] = field(default_factory=list)
    refused: list[StoreRequest] = field(default_factory=list)
    url: str = ""

    @contextmanager
    def serve(self) -> Iterator[Self]:
        """Serve at `url` until the block ends."""
        with serve_http(_Handler, proxy=self) as self.url:
            yield self

    def judge(self, request: StoreRequest) -> Refusal | None:
        """The first refusal, noted."""
        for rule in self.rules:
            if refusal := rule(request):
                self.refused.append(request)
                return refusal
        return None


def forward(
    target_url: str, method: str, path: str, headers: dict[str, str], body: bytes = b""
) -> tuple[int, list[tuple[str, str]], bytes]:
    """A server's status, headers and body. Raises OSError or HTTPException."""
    address = urlsplit(target_url)
    connection = http.client.HTTPConnection(
        address.hostname or "127.0.0.1", address.port or 80, timeout=30
    )
    try:
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    finally:
        connection.close()


# --- rules ---


def refuse_conditional_writes(status: int, code: str) -> Rule:
    """Backblaze B2, Alibaba OSS, OVH: no If-None-Match and no If-Match of a PUT."""

    def judge(request: StoreRequest) -> Refusal | None:
        conditions = {"if-none-match", "if-match"} & request.headers.keys()
        if request.method != "PUT" or not conditions:
            return None
        return Refusal(status, code, "A header you provided implies functionality that is not "
                       "implemented.")  # fmt: skip

    return judge


def refuse_conditional_reads(request: StoreRequest) -> Refusal | None:
    """No If-Match of a GET."""
    is_refused = request.method == "GET" and "if-match" in request.headers
    return Refusal(501, "NotImplemented") if is_refused else None


def refuse_checksums(request: StoreRequest) -> Refusal | None:
    """Stores before 2025: nothing of AWS's newer checksums, in headers or in the query."""
    words = " ".join([*request.headers, request.path.lower()])
    is_refused = re.search(r"x-amz-(sdk-)?checksum|x-amz-trailer", words)
    return Refusal(400, "InvalidArgument", "Unsupported header") if is_refused else None


def insist_on_region(region: str, *, names_it: bool = True) -> Rule:
    """MinIO, Garage, OVH, AWS: a signature for another region is malformed."""

    def judge(request: StoreRequest) -> Refusal | None:
        header = request.headers.get("authorization", "")
        scope = re.search(r"Credential=[^/]+/\d+/([^/]+)/", header)
        queried = re.search(r"X-Amz-Credential=[^/&]+/\d+/([^/]+)/", unquote(request.path))
        found = scope or queried
        if found is None or found.group(1) == region:
            return None
        code = "AuthorizationHeaderMalformed" if scope else "AuthorizationQueryParametersError"
        return Refusal(
            400,
            code,
            f"The region '{found.group(1)}' is wrong; expecting '{region}'",
            f"<Region>{region}</Region>" if names_it else "",
        )

    return judge


def refuse_keys(ending: str, refusal: Refusal) -> Rule:
    """One answer to every GET and HEAD of keys that end so."""

    def judge(request: StoreRequest) -> Refusal | None:
        is_read = request.method in {"GET", "HEAD"}
        return refusal if is_read and request.path.partition("?")[0].endswith(ending) else None

    return judge


class _Handler(QuietHandler):
    proxy: StoreProxy

    def _serve(self) -> None:
        length = int(self.headers.get("content-length", 0))
        headers = {k.lower(): v for k, v in self.headers.items() if k.lower() not in HOP}
        headers.pop("expect", None)  # answered already; it is not signed
        request = StoreRequest(self.command, self.path, headers, self.rfile.read(length))
        if refusal := self.proxy.judge(request):
            text = (
                f"<Error><Code>{refusal.code}</Code><Message>{refusal.message}</Message>"
                f"{refusal.more}</Error>"
            ).encode()
            self._give(refusal.status, text, [("Content-Type", "application/xml")])
            return
        status, found, content = forward(
            self.proxy.target_url, self.command, self.path, headers, request.body
        )
        kept = [(k, v) for k, v in found if k.lower() not in HOP]
        self._give(status, content, kept)

    def _give(self, status: int, content: bytes, pairs: Iterable[tuple[str, str]]) -> None:
        """Answer; a HEAD's keeps the length of the object and has no body."""
        if self.command != "HEAD":
            kept = [(k, v) for k, v in pairs if k.lower() != "content-length"]
            self.answer(status, content, kept)
            return
        self.send_response(status)
        for name, value in pairs:
            self.send_header(name, value)
        self.end_headers()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - http.server's names
