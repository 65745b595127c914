"""Signed result storage: nothing is parsed that this installation did not write for this event.

A record of Prefect's names the code that reads it, so whoever can write one runs code where it is
read. Here each record stands behind an HMAC by the event's `result_key`; any other is not there.
"""

import hmac
import logging
from base64 import b64decode, b64encode
from typing import Any
from uuid import UUID

from prefect.filesystems import WritableFileSystem
from prefect.serializers import Serializer
from pydantic import Field, PrivateAttr, SecretBytes

from tasks.results.storage import CACHE_FOLDER

logger = logging.getLogger(__name__)

# Another number makes all that was kept be computed again: for a change of what is kept.
FORMAT = b"facepass result 1\n"
SIGNATURE_LENGTH = 32  # of SHA-256


class RawBytes(Serializer):
    """A product as it is, in base64: reading it runs no code."""

    type: str = Field(default="facepass-bytes", frozen=True)

    def dumps(self, obj: object) -> bytes:
        """Base64 of a product; nothing for an error, which Prefect would keep as well."""
        return b64encode(obj) if isinstance(obj, bytes) else b""

    def loads(self, blob: bytes) -> bytes:
        """The product."""
        return b64decode(blob, validate=True)


class SignedStorage(WritableFileSystem):
    """A result storage in which one event's results are signed, and others are not found.

    Used for one call of a task. A signature is over path and content, so that no result stands
    in for another.
    """

    _block_type_name = "FacePass signed results"
    # Prefect takes a block only with the id of a document; this one is never saved.
    _block_document_id: UUID | None = UUID(int=0)

    storage: WritableFileSystem
    secret: SecretBytes
    _checked: dict[str, bytes] = PrivateAttr(default_factory=dict)

    # Both are synchronous, where Prefect's type is a coroutine's: Prefect takes either.
    def read_path(self, path: str, **_: object) -> bytes | None:  # type: ignore[override]  # synchronous, as said above
        """The record; None where there is none of this event's making.

        Read once: Prefect asks whether there is one, and then for it, and what lies in storage
        may be another by then.
        """
        if path not in self._checked:
            inner: Any = self.storage  # typed without the argument it takes
            record = self._open(path, inner.read_path(path, _sync=True))
            if record is None:
                logger.warning("A cached result is not this installation's: it is computed again")
                return None
            self._checked[path] = record
        return self._checked[path]

    def write_path(self, path: str, content: bytes, **_: object) -> None:  # type: ignore[override]  # synchronous, as said above
        """Keep a record behind its signature; records of errors, which lie elsewhere, are not."""
        if path.startswith(f"{CACHE_FOLDER}/"):
            inner: Any = self.storage
            inner.write_path(path, FORMAT + self._sign(path, content) + content, _sync=True)

    def _open(self, path: str, signed: bytes) -> bytes | None:
        start = len(FORMAT) + SIGNATURE_LENGTH
        signature, record = signed[len(FORMAT) : start], signed[start:]
        is_ours = hmac.compare_digest(signature, self._sign(path, record))
        return record if is_ours and signed.startswith(FORMAT) else None

    def _sign(self, path: str, record: bytes) -> bytes:
        message = FORMAT + path.encode() + b"\0" + record
        return hmac.digest(self.secret.get_secret_value(), message, "sha256")
