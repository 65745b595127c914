"""An S3 server that keeps every key exactly as it was sent, as AWS does.

SeaweedFS turns `//` into `/` and a backslash into a slash, and refuses names over 255 bytes; AWS
does neither. Listings come in pages and percent-encoded, the way AWS answers `encoding-type=url`.
Objects are given as bytes by key in bytes, so that keys which are no text can be served too.
"""

import threading
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, quote_plus, unquote_to_bytes, urlsplit

PAGE = 7  # keys a page: several pages for a few dozen keys


class LiteralS3:
    """Serves one bucket's objects, listings and GETs only; signatures are not looked at."""

    def __init__(self) -> None:
        self.objects: dict[bytes, bytes] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._make_handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

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

    def _make_handler(self) -> type[BaseHTTPRequestHandler]:
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # headers and body in one packet: two cost 40 ms

            def do_GET(self) -> None:  # the name http.server asks for
                address = urlsplit(self.path)
                bucket, _, key = unquote_to_bytes(address.path[1:]).partition(b"/")
                if not key:
                    self._answer(200, store.list_page(bucket.decode(), parse_qs(address.query)))
                elif key not in store.objects:
                    self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
                elif self.headers.get("If-Match", store.etag(key)).strip('"') != store.etag(key):
                    self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
                else:
                    self._answer(200, store.objects[key])

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Be quiet."""

        return Handler
