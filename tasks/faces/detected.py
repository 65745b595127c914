"""Detected faces of photos, and the compact file format of a batch's faces in result storage."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt

from models.errors import ResultUnreadableError
from models.vocabulary import PhotoReason

_ARRAYS = ("boxes", "scores", "embeddings")
# Verdicts that are not the photo's last word: it stays pending.
UNREACHABLE = "unreachable"
CHANGED = "changed"


@dataclass(frozen=True)
class DetectedFaces:
    """All faces of one photo, best detection first.

    boxes: float32 (F, 4), x1 y1 x2 y2 in 0..1 of the photo; scores: float32 (F,) in 0..1;
    embeddings: float32 (F, dim), each of length 1; turned: degrees clockwise, 0 to 270, that the
    photo has to be turned by to stand upright, as most of its faces say.
    """

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    embeddings: npt.NDArray[np.float32]
    turned: int = 0


@dataclass(frozen=True)
class PhotoFaces:
    """One photo's faces; or none, and the reason, UNREACHABLE or CHANGED."""

    faces: DetectedFaces | None
    verdict: str = ""

    @property
    def reason(self) -> PhotoReason | None:
        """The reason to store, None for a photo with faces."""
        return PhotoReason(self.verdict) if self.verdict else None

    @property
    def is_final(self) -> bool:
        """Whether this is an outcome to store."""
        return self.verdict not in {UNREACHABLE, CHANGED}


def pack_faces(photos: Sequence[PhotoFaces]) -> bytes:
    """A batch's faces as one .npz: no pickle, so that reading it runs no code."""
    found = [photo.faces for photo in photos if photo.faces is not None]
    counts = [0 if photo.faces is None else len(photo.faces.scores) for photo in photos]
    stacked = {
        name: np.concatenate([getattr(faces, name) for faces in found]) if found else np.zeros(0)
        for name in _ARRAYS
    }
    buffer = BytesIO()
    np.savez(
        buffer,
        counts=np.array(counts, dtype=np.int64),
        turns=np.array([photo.faces.turned if photo.faces else 0 for photo in photos], np.int16),
        verdicts=np.array([photo.verdict for photo in photos], dtype=np.str_),
        allow_pickle=False,
        **stacked,
    )
    return buffer.getvalue()


def unpack_faces(product: bytes, count: int) -> list[PhotoFaces]:
    """The `count` photos that `pack_faces` was given, in the same order.

    Raises ResultUnreadableError for what this release's `pack_faces` did not make.
    """
    try:
        photos = _unpack(product)
        [photo.reason for photo in photos if photo.is_final]  # a ValueError for an unknown one
    except Exception as error:  # (NumPy's and zipfile's errors have no base)
        raise ResultUnreadableError("A cached result is of another release.") from error
    if len(photos) != count:
        raise ResultUnreadableError("A cached result is of another batch.")
    return photos


def _unpack(product: bytes) -> list[PhotoFaces]:
    with np.load(BytesIO(product), allow_pickle=False) as arrays:
        boxes, scores, embeddings = arrays["boxes"], arrays["scores"], arrays["embeddings"]
        ends = np.cumsum(arrays["counts"])
        starts, turns = ends - arrays["counts"], arrays["turns"]
        parts = zip(starts, ends, turns, arrays["verdicts"], strict=True)
        return [
            PhotoFaces(DetectedFaces(boxes[i:end], scores[i:end], embeddings[i:end], int(turn)))
            if end > i
            else PhotoFaces(None, str(verdict))
            for i, end, turn, verdict in parts
        ]
