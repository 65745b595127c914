"""An S3 server that keeps every key exactly as it was sent, as AWS does.

SeaweedFS turns `//` into `/` and a backslash into a slash, and refuses names over 255 bytes; AWS
does neither. Listings come in pages and percent-encoded, the way AWS answers `encoding-type=url`.
Objects are given as bytes by key in bytes, so that keys which are no text can be served too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5
from typing import Self
from urllib.parse import parse_qs, quote_plus, unquote_to_bytes, urlsplit

from tests.support.http_server import QuietHandler, serve_http

PAGE = 7  # keys a page: several pages for a few dozen keys


class LiteralS3:
    """Serves one bucket's objects, listings and GETs only; signatures are not looked at."""

    def __init__(self) -> None:
        self.objects: dict[bytes, bytes] = {}
        self.url = ""

    @contextmanager
    def serve(self) -> Iterator[Self]:
        """Serve at `url` until the block ends."""
        with serve_http(_Handler, store=self) as self.url:
            yield self

    def list_page(self, bucket: str, query: dict[str, list[str]]) -> bytes:
        """ListObjectsV2's answer; the continuation token is a position."""
        prefix = query.get("prefix", [""])[0].encode()
        start = int(query.get("continuation-token", ["0"])[0])
        keys = sorted(key for key in self.objects if key.startswith(prefix))
        page = keys[start : start + PAGE]
        rows = "".join(
            f"<Contents><Key>{quote_plus(key, safe='/')}</Key><ETag>&quot;{self.etag(key)}&quot;"
            f"</ETag><Size>{len(self.objects[key])}</Size></Contents>"
            for key in page
        )
        more = start + PAGE < len(keys)
        token = f"<NextContinuationToken>{start + PAGE}</NextContinuationToken>" if more else ""
        return (
            f"<ListBucketResult><Name>{bucket}</Name><EncodingType>url</EncodingType>"
            f"<KeyCount>{len(page)}</KeyCount><IsTruncated>{str(more).lower()}</IsTruncated>"
            f"{token}{rows}</ListBucketResult>"
        ).encode()

    def etag(self, key: bytes) -> str:
        """An object's ETag, without its quotes."""
        return md5(self.objects[key], usedforsecurity=False).hexdigest()


class _Handler(QuietHandler):
    store: LiteralS3

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        address = urlsplit(self.path)
        bucket, _, key = unquote_to_bytes(address.path[1:]).partition(b"/")
        if not key:
            self.answer(200, self.store.list_page(bucket.decode(), parse_qs(address.query)))
        elif key not in self.store.objects:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        elif self.headers.get("If-Match", etag := self.store.etag(key)).strip('"') != etag:
            self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        else:
            self.answer(200, self.store.objects[key])
