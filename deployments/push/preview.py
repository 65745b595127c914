"""A photo's preview, made from the file on disk; few are decoded at a time."""

import logging
import threading
from dataclasses import dataclass
from pathlib import Path

from models.errors import PhotoUnavailableError
from models.vocabulary import PhotoReason
from tasks.faces.limits import PixelBudget, count_cores
from tasks.images.preview import make_preview
from tasks.s3.objects import hash_bytes

logger = logging.getLogger(__name__)

MAX_ORIGINAL_BYTES = 200_000_000  # a larger file is sent, but no preview is made of it
PIXELS_AT_A_TIME = 40_000_000  # decoded by all threads together: at most 800 MB


@dataclass(frozen=True)
class Preview:
    """A preview, or the reason why there is none, from the list of the sync."""

    content: bytes | None
    reason: str | None = None


class PreviewMaker:
    """Makes previews whose longest side is at most `side` pixels, from any number of threads."""

    def __init__(self, side: int) -> None:
        self._side = side
        self._turn = threading.Semaphore(count_cores())
        self._budget = PixelBudget(PIXELS_AT_A_TIME)

    def make(self, path: Path, size: int, digest: str) -> Preview | None:
        """The preview of a file; None where it is no longer the one with this MD5.

        Raises OSError.
        """
        if size > MAX_ORIGINAL_BYTES:
            return Preview(None, PhotoReason.TOO_MANY_BYTES.value)
        with self._turn:
            content = path.read_bytes()
            if hash_bytes(content) != digest:
                return None
            try:
                return Preview(make_preview(content, self._side, self._budget.reserve))
            except PhotoUnavailableError as error:
                return Preview(None, str(error.reason))
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001 (one damaged file must not end the push)
                logger.debug("No preview could be made: %s", type(error).__name__)
                return Preview(None, PhotoReason.UNPROCESSABLE.value)
            finally:
                self._budget.release()
