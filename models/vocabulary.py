"""Enums and small values: fixed words for photos, syncs, errors, profiles of events and selfies.

The database stores these words, or the REST API returns them. The module imports only the
standard library, so that decoding a picture needs no database library.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum


class PhotoStatus(StrEnum):
    """What became of a preview."""

    PENDING = "pending"  # listed, work to do
    INDEXED = "indexed"  # its faces are stored
    NO_FACE = "no_face"  # read, and there is no face in it
    FAILED = "failed"  # cannot be read; `reason` says why; rests until its ETag changes
    GONE = "gone"  # no longer in S3; hidden, restored when it returns
    ERASED = "erased"  # what was found in it was erased


class PhotoReason(StrEnum):
    """Why a photo has no faces: the one fixed list."""

    NOT_AN_IMAGE = "not_an_image"
    TRUNCATED = "truncated"
    EMPTY = "empty"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_MANY_BYTES = "too_many_bytes"
    UNPROCESSABLE = "unprocessable"  # the decoder or the models cannot work on it
    FORBIDDEN = "forbidden"
    ARCHIVED = "archived"  # in a storage class that has to be restored before it can be read
    VANISHED = "vanished"
    NO_FACE_DETECTED = "no_face_detected"


class ErrorKind(StrEnum):
    """Whose fault it is that an attempt failed, for /metrics."""

    S3 = "s3"
    DATABASE = "database"
    CLUSTER = "cluster"  # Dask's
    MODELS = "models"
    SETTINGS = "settings"
    OTHER = "other"


class SyncState(StrEnum):
    """State of a sync as the REST API tells it, never Prefect's own name for it."""

    PENDING = "pending"
    RUNNING = "running"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    CRASHED = "crashed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class ProfileName(StrEnum):
    """What an event's photos mostly show."""

    STANDARD = "standard"  # people near the camera
    GROUPS = "groups"  # many people in one photo, each of them small


class Visibility(StrEnum):
    """The photos that a guest sees."""

    EVERYONE = "everyone"  # all of the event
    OWN = "own"  # only those that the guest's selfie found


class GuestRequestKind(StrEnum):
    """A guest's wish about a photo."""

    HIDE_ME = "hide_me"  # erase my face's data: I am in this photo
    REMOVE_PHOTO = "remove_photo"


class SubscriptionChannel(StrEnum):
    """The way a guest is told of new photos."""

    EMAIL = "email"  # by SMTP
    WEBHOOK = "webhook"  # by the signed webhook; the receiver knows whom the address means


class StoredObjects(StrEnum):
    """What becomes of a deleted event's photos in S3."""

    KEEP = "keep"
    DELETE = "delete"


class ViewKind(StrEnum):
    """The pictures of a photo that are made for people to look at."""

    THUMB = "thumb"  # WebP, 400 px
    VIEW = "view"  # WebP, 2048 px
    VIEW_JPEG = "view.jpg"  # the same as JPEG: to take home, and for browsers without WebP


class ErrorCode(StrEnum):
    """Why a call of the API was not done, for programs; a word keeps its meaning for good.

    A selfie that cannot be searched with has one of `SelfieCode`'s words instead.
    """

    ADDRESS_REFUSED = "address_refused"
    BAD_REQUEST = "bad_request"
    BODY_TOO_LARGE = "body_too_large"
    CAMERA_NOT_FOUND = "camera_not_found"
    DATABASE_OUTDATED = "database_outdated"
    DATABASE_REFUSED = "database_refused"
    DATABASE_UNAVAILABLE = "database_unavailable"
    ERASURE_INCOMPLETE = "erasure_incomplete"
    EVENT_BUSY = "event_busy"
    EVENT_ERASED = "event_erased"
    EVENT_EXISTS = "event_exists"
    EVENT_NOT_FOUND = "event_not_found"
    GALLERY_CLOSED = "gallery_closed"
    GUEST_REQUEST_NOT_FOUND = "guest_request_not_found"
    HOOKS_OFF = "hooks_off"
    HOOK_SECRET_NEEDED = "hook_secret_needed"  # noqa: S105 (a word, no secret)
    INTERNAL_ERROR = "internal_error"
    INVALID_CURSOR = "invalid_cursor"
    INVALID_HOST = "invalid_host"
    INVALID_INPUT = "invalid_input"
    INVALID_LOGO = "invalid_logo"
    INVALID_NOTIFICATION = "invalid_notification"
    INVALID_PREFIX = "invalid_prefix"
    INVALID_UPLOAD = "invalid_upload"
    INVALID_UUID = "invalid_uuid"
    KEY_NEEDED = "key_needed"
    LOCAL_CALLS_ONLY = "local_calls_only"
    MAIL_UNAVAILABLE = "mail_unavailable"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    MODELS_UNAVAILABLE = "models_unavailable"
    NOTICES_OFF = "notices_off"
    NOTIFICATION_REFUSED = "notification_refused"
    NOT_FOUND = "not_found"
    NOT_READY = "not_ready"
    PHOTO_NOT_FOUND = "photo_not_found"
    PIN_NEEDED = "pin_needed"
    PIN_WRONG = "pin_wrong"
    PREFECT_UNAVAILABLE = "prefect_unavailable"
    SNS_UNAVAILABLE = "sns_unavailable"
    SYNC_NOT_FOUND = "sync_not_found"
    TEXT_CHANGED = "text_changed"
    TOO_BUSY = "too_busy"
    TOO_MANY_CALLS = "too_many_calls"
    TOO_SLOW = "too_slow"
    UNAVAILABLE = "unavailable"
    UNKNOWN_PACK = "unknown_pack"


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
    DIFFERENT_PEOPLE = "different_people"  # of several selfies one is not of the others' person
    NEEDS_SYNC = "needs_sync"  # the event's faces are another pack's
    CONSENT_NEEDED = "consent_needed"  # of the guest, to the text as it is now
    SELFIE_NEEDED = "selfie_needed"  # the face token is worth nothing, or nothing any more


@dataclass(frozen=True)
class SelfieFace:
    """A face in a selfie; box: x1 y1 x2 y2 in 0..1 of the upright picture."""

    box: tuple[float, float, float, float]
    confidence: float


# Digital cameras write EXIF since then. A clock that was never set says 1970 or 1980.
FIRST_TAKEN = datetime(1996, 1, 1)  # noqa: DTZ001 (a camera's clock knows no zone)


@dataclass(frozen=True)
class Taking:
    """When and by which camera a photo was taken, as the camera wrote it.

    taken_at: its clock's time, without a zone; utc_offset: minutes, where it wrote one. camera:
    eight hexadecimal digits that are the same for photos of one camera; camera_name: for people.
    """

    taken_at: datetime
    utc_offset: int | None
    camera: str
    camera_name: str | None

    @property
    def is_plausible(self) -> bool:
        """Whether the time is one at which a photo can have been taken."""
        # Any zone's clock, and a little more.
        latest = datetime.now(UTC).replace(tzinfo=None) + timedelta(days=1)
        return FIRST_TAKEN <= self.taken_at <= latest


class PrefectEvent(StrEnum):
    """Names of the events that Prefect is told of; automations listen to them."""

    UPLOADED = "facepass.photos.uploaded"  # photos of an event are there, and a sync is asked for
    SYNCED = "facepass.event.synced"
    FAILED = "facepass.photos.failed"  # a sync ended, and some photos could not be read
