"""Errors of the product, all derived from `FacePassError`.

Each message is a sentence for the user or operator, and says what to do if anything can be done.
"""

from datetime import datetime
from typing import ClassVar, Self
from uuid import UUID

from models.vocabulary import ErrorKind, SelfieFace


class FacePassError(Exception):
    """Base of all errors that a user or operator may read."""

    kind: ClassVar[ErrorKind] = ErrorKind.OTHER


class ConfigurationError(FacePassError):
    """A setting is missing or wrong."""

    kind = ErrorKind.SETTINGS


class DatabaseOutdatedError(ConfigurationError):
    """The tables are missing, or older than this release."""


class DatabaseRefusedError(ConfigurationError):
    """PostgreSQL does not take the address, the user or what its role may do."""


class ModelPackError(ConfigurationError):
    """A model pack cannot be had, is damaged, or is unknown."""


class UnknownPackError(ModelPackError):
    """No model pack has this name here."""


class InvalidPrefixError(FacePassError):
    """The S3 prefix does not name previews of this event."""


class EventNotFoundError(FacePassError):
    """No event has this id, or more than one has this name."""


class PhotoNotFoundError(FacePassError):
    """The event has no photo of this id."""


class GuestRequestNotFoundError(FacePassError):
    """The event has no guest's request of this id."""


class GalleryClosedError(FacePassError):
    """The event's gallery was open until `closed_at`, and is no more."""

    def __init__(self, message: str, closed_at: datetime | None = None) -> None:
        super().__init__(message)
        self.closed_at = closed_at


class PinRequiredError(FacePassError):
    """The event's gallery asks its guests for a PIN."""


class MailUnavailableError(FacePassError):
    """The mail server cannot be reached, or takes no mail; trying again may help."""


class AddressDelayedError(MailUnavailableError):
    """The mail server takes no mail for one address now; others' it may take."""


class AddressRefusedError(FacePassError):
    """An address cannot be one, or the mail server refuses it for good."""


class CameraNotFoundError(FacePassError):
    """No photo of the event is by this camera."""


class EventBusyError(FacePassError):
    """Something else has the event now; what is asked for has to wait until that has ended."""


class TooBusyError(FacePassError):
    """So much of one kind of work waits already that no more is taken; trying again helps."""


class EventTakenError(FacePassError):
    """Another event already has this id or UUID."""


class S3AccessError(FacePassError):
    """S3 answers, and the answer will not change by trying again: no such bucket, access denied."""

    kind = ErrorKind.S3


class PhotosForbiddenError(S3AccessError):
    """S3 denied every photo of a batch; it may be the bucket, or these photos alone."""


class S3DownloadError(FacePassError):
    """S3 cannot be reached or is failing; trying again may help."""

    kind = ErrorKind.S3


class S3OutageError(S3DownloadError):
    """S3 has failed so often in a row that this attempt asks it no more."""


class ClusterUnavailableError(FacePassError):
    """The Dask cluster cannot be reached or has no workers; trying again may help."""

    kind = ErrorKind.CLUSTER


class DatabaseUnavailableError(FacePassError):
    """PostgreSQL cannot be reached; trying again may help."""

    kind = ErrorKind.DATABASE


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


class FaceEngineError(FacePassError):
    """The models fail on every picture, also on a plain one; another attempt may find them well."""

    kind = ErrorKind.MODELS


class ResultUnreadableError(FacePassError):
    """A cached result is not what this release keeps."""


class SyncIncompleteError(FacePassError):
    """Some photos have no outcome yet; another attempt takes them up."""


class PhotosUnreachableError(SyncIncompleteError):
    """S3 gave some photos of a batch and not the others; another attempt takes them up."""

    kind = ErrorKind.S3


class SyncSkippedError(FacePassError):
    """A run has nothing to do: another run, `held_by`, has the event, or its faces were erased."""

    def __init__(self, message: str, held_by: UUID | None = None) -> None:
        super().__init__(message)
        self.held_by = held_by


class SyncSupersededError(SyncSkippedError):
    """Another attempt took this event over; what this one still holds must not be stored."""


EVENT_DELETED = "The event was deleted: this run has nothing to do any more."


class EventErasedError(SyncSupersededError):
    """The event's faces were erased, and it takes no syncs until somebody resumes it."""

    def __init__(
        self,
        message: str = "The event's faces were erased: it takes no syncs until "
        "POST /api/v1/events/{event_uuid}/resume.",
    ) -> None:
        super().__init__(message)


class ForeignRunError(FacePassError):
    """A run of another installation, or of two; its event ids are not this database's."""


class ErasureIncompleteError(FacePassError):
    """The faces are out of the database, but a cached copy may be left; asking again is safe."""


class SelfieError(FacePassError):
    """A search cannot be made, for a code; `faces` are those of the selfie number `file`."""

    def __init__(
        self,
        sentence: str,
        code: str = "",
        faces: tuple[SelfieFace, ...] = (),
        file: int | None = None,
    ) -> None:
        super().__init__(sentence)
        self.code = code
        self.faces = faces  # the largest first, where any were found
        self.file = file  # of several selfies, the first being 1

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        """Travel to another process with its code."""
        return type(self), (str(self), self.code, self.faces, self.file)


class InvalidCursorError(FacePassError):
    """A page's cursor is not one of an earlier answer's."""


class InvalidUploadError(FacePassError):
    """A form is damaged, incomplete, or holds a value that cannot be."""


class InvalidNotificationError(FacePassError):
    """A store's notification is damaged or of no known form."""


class NotificationRefusedError(FacePassError):
    """A store's notification is not proven to come from a store of this installation."""


class SnsUnavailableError(FacePassError):
    """Amazon SNS cannot be asked for a certificate or a confirmation; its next try may do."""


class OrchestratorUnavailableError(FacePassError):
    """Prefect's server cannot be reached, or the deployment is not there."""


class StackError(FacePassError):
    """A part of the embedded stack cannot start or died."""


class ApiUnavailableError(FacePassError):
    """FacePass's API cannot be reached or is failing; trying again may help."""


class PushRefusedError(FacePassError):
    """Photos cannot be pushed until the caller changes the command, the folder or the event."""


class DeletionRefusedError(PushRefusedError):
    """More photos would be deleted from S3 than anybody deletes by the way."""


class MeasurementRefusedError(FacePassError):
    """Accuracy cannot be measured, or thresholds chosen, with the photos that are there."""
