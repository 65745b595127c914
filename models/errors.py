"""Every error the product raises on purpose; each message is one sentence that says what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class FacePassError(Exception):
    """Base of all errors that a user or operator may read."""


class ConfigurationError(FacePassError):
    """A setting is missing or wrong."""


class DatabaseOutdatedError(ConfigurationError):
    """The tables are missing, or older than this release."""


class ModelPackError(ConfigurationError):
    """A model pack cannot be had, is damaged, or is unknown."""


class InvalidPrefixError(FacePassError):
    """The S3 prefix does not name previews of this event."""


class EventNotFoundError(FacePassError):
    """No event has this id."""


class PhotoNotFoundError(FacePassError):
    """The event has no such photo."""


class EventTakenError(FacePassError):
    """Another event already has this id or UUID."""


class S3AccessError(FacePassError):
    """S3 answers, and the answer will not change by trying again: no such bucket, access denied."""


class S3DownloadError(FacePassError):
    """S3 cannot be reached or is failing; trying again may help."""


class DatabaseUnavailableError(FacePassError):
    """PostgreSQL cannot be reached; trying again may help."""


class PhotoUnavailableError(FacePassError):
    """One photo cannot be read, for a reason of the fixed list; the rest of its batch can."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"This photo cannot be read: {reason}.")
        self.reason = reason

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        """Travel to another process by its reason."""
        return type(self), (self.reason,)


class PhotoChangedError(FacePassError):
    """A photo was replaced after it was listed; another listing brings its new ETag."""


class SyncIncompleteError(FacePassError):
    """Some photos have no outcome yet; another attempt takes them up."""


class SyncSupersededError(FacePassError):
    """Another attempt took this event over; what this one still holds must not be stored."""


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

    box: Sequence[float]
    confidence: float


class SelfieError(FacePassError):
    """A search cannot be made; `faces` are the selfie's, largest first, as far as found."""

    def __init__(self, code: SelfieCode, sentence: str, faces: Sequence[SelfieFace] = ()) -> None:
        super().__init__(sentence)
        self.code = code
        self.faces = faces


class InvalidCursorError(FacePassError):
    """A page's cursor is not one of an earlier answer's."""


class InvalidUploadError(FacePassError):
    """A form is damaged, incomplete, or holds a value that cannot be."""


class OrchestratorUnavailableError(FacePassError):
    """Prefect's server cannot be reached, or the deployment is not there."""


class StackError(FacePassError):
    """A part of the embedded stack cannot start or died."""
