"""What is said of a selfie: why it cannot be searched with, and which faces are in it."""

from dataclasses import dataclass
from enum import StrEnum


class SelfieCode(StrEnum):
    """Why a selfie cannot be searched with, for programs."""

    NOT_AN_IMAGE = "not_an_image"
    TOO_MANY_BYTES = "too_many_bytes"
    TOO_MANY_PIXELS = "too_many_pixels"
    NO_FACE = "no_face"
    SEVERAL_FACES = "several_faces"  # of similar size: the guest says which
    NO_SUCH_FACE = "no_such_face"
    FACE_TOO_SMALL = "face_too_small"
    FACE_TOO_BLURRED = "face_too_blurred"
    NEEDS_SYNC = "needs_sync"  # the event's faces are another pack's


@dataclass(frozen=True)
class SelfieFace:
    """A face in a selfie; box: x1 y1 x2 y2 in 0..1 of the upright picture."""

    box: tuple[float, float, float, float]
    confidence: float
