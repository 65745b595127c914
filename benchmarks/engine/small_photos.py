"""Many small photos of an event: put into S3 quickly, and written into the ledger as known."""

import http.client
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import md5
from threading import local
from urllib.parse import urlsplit

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from PIL import Image
from sqlalchemy import text
from sqlmodel import Session

from models.errors import ConfigurationError, S3DownloadError
from models.keys import build_previews_prefix, default_folder, derive_original_key
from tasks.s3.bucket import Bucket

THREADS = 16
TRIES, PATIENCE_S = 4, 60
SIDE = 16  # pixels


class SmallPhotos:
    """The previews `000000.jpg` and on of one event; every one has bytes and an ETag of its own."""

    def __init__(self, event_id: int, count: int, picture: bytes | None = None) -> None:
        """picture: a JPEG; None for one of a few pixels."""
        self.event_id, self.count = event_id, count
        self.folder = default_folder(event_id)
        self.prefix = build_previews_prefix(self.folder)
        buffer = io.BytesIO()
        Image.new("RGB", (SIDE, SIDE), (90, 120, 150)).save(buffer, "JPEG", quality=60)
        self._picture = picture or buffer.getvalue()

    def name(self, index: int) -> str:
        """The key of a preview."""
        return f"{self.prefix}{index:06}.jpg"

    def draw(self, index: int) -> bytes:
        """A preview: the picture, and behind its end the index, which no decoder reads."""
        return self._picture + index.to_bytes(4, "big")

    def upload(self, bucket: Bucket, tell: Callable[[int], None]) -> None:
        """Put all previews and originals into S3; `tell` gets the number of photos done."""
        uploader = Uploader(bucket)

        def put(index: int) -> None:
            key, content = self.name(index), self.draw(index)
            uploader.put(key, content)
            uploader.put(derive_original_key(key, self.folder), content)

        with ThreadPoolExecutor(THREADS) as pool:
            for done, _ in enumerate(pool.map(put, range(self.count)), start=1):
                if done % 1000 == 0 or done == self.count:
                    tell(done)

    def remember(self, session: Session, bucket: Bucket, pack_id: int) -> None:
        """Write all of them into the ledger as photos that the pack has read."""
        etags = [
            md5(self.draw(index), usedforsecurity=False).hexdigest() for index in range(self.count)
        ]
        keys = [self.name(index) for index in range(self.count)]
        originals = [derive_original_key(key, self.folder) for key in keys]
        session.execute(
            _REMEMBER,
            {
                "event_id": self.event_id,
                "pack_id": pack_id,
                "size": len(self.draw(0)),
                "keys": keys,
                "etags": etags,
                "image_urls": [f"{bucket.public_url}/{key}" for key in originals],
            },
        )
        # PostgreSQL's autovacuum has done that long before anybody syncs an event again.
        session.execute(text("ANALYZE photo"))


_REMEMBER = text("""
INSERT INTO photo (event_id, s3_key, etag, size, image_url, original_missing, status, reason,
                   confidence, attempts, change, pack_id, created_at, processed_at)
SELECT :event_id, s3_key, etag, :size, image_url, false, 'no_face', 'no_face_detected',
       0, 1, 'new', :pack_id, now(), now()
FROM unnest(CAST(:keys AS text[]), CAST(:etags AS text[]), CAST(:image_urls AS text[]))
    AS read (s3_key, etag, image_url)
""")


class Uploader:
    """Puts small objects: one connection a thread, and no more work an object than a signature.

    Hundreds of thousands are put, and two cores are shared with the server that takes them.
    """

    def __init__(self, bucket: Bucket) -> None:
        """Sign with the environment's keys, as the stack gives them."""
        self._bucket = bucket.name
        self._endpoint = bucket.client.meta.endpoint_url
        credentials = boto3.session.Session().get_credentials()
        if credentials is None:
            raise ConfigurationError("The environment holds no keys for S3.")
        self._signer = S3SigV4Auth(credentials, "s3", bucket.client.meta.region_name)
        self._mine = local()

    def put(self, key: str, content: bytes) -> None:
        """Put one object; its key must need no quoting. Raises S3DownloadError."""
        for _ in range(TRIES):
            try:
                status, said = self._send(key, content)
            except (OSError, http.client.HTTPException) as error:
                # A server that all its clients overload may let one of them wait too long.
                self._mine.connection.close()
                status, said = 0, repr(error)
            if status == http.client.OK:
                return
        raise S3DownloadError(f"S3 did not take {key}: {status} {said[:200]}")

    def _send(self, key: str, content: bytes) -> tuple[int, str]:
        """One request; the answer's status and text."""
        request = AWSRequest("PUT", f"{self._endpoint}/{self._bucket}/{key}", data=content)
        self._signer.add_auth(request)
        connection = self._connect()
        connection.request("PUT", f"/{self._bucket}/{key}", content, dict(request.headers.items()))
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")

    def _connect(self) -> http.client.HTTPConnection:
        """This thread's connection; a closed one opens itself again."""
        if not hasattr(self._mine, "connection"):
            address = urlsplit(self._endpoint)
            self._mine.connection = http.client.HTTPConnection(
                str(address.hostname), address.port, timeout=PATIENCE_S
            )
        connection: http.client.HTTPConnection = self._mine.connection
        return connection
