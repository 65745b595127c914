"""Shapes of requests and answers, with the examples that OpenAPI shows."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from models.queries.events import MAX_EVENT_ID
from models.vocabulary import PhotoReason, PhotoStatus, ProfileName, SyncState

_UUID = "550e8400-e29b-41d4-a716-446655440000"
_TASK_ID = "a1b2c3d4-e5f6-7890-abcd-ef1234567890"
_PREFIX = "events/1/previews/"
RESULT_EXAMPLE = {
    "event_id": 1,
    "s3_prefix": _PREFIX,
    "total_found": 150,
    "new_photos": 120,
    "skipped": 30,
    "status": "completed",
    "message": "Successfully synced 120 new photos",
    "updated": 0,
    "failed": 0,
    "no_face": 4,
    "faces_found": 311,
    "gone": 0,
    "missing_originals": 0,
    "seconds": 64.2,
}

EventName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00]*$"),
]

_EVENT = {
    "event_id": 1,
    "event_uuid": _UUID,
    "name": "Свадьба",
    "s3_prefix": _PREFIX,
    "gallery_url": "http://127.0.0.1:8000/gallery/3q2-7wAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "profile": "standard",
    "model_pack": "opencv_zoo",
}
_PHOTO = {
    "photo_id": 7,
    "s3_key": "events/1/previews/IMG_001.jpg",
    "image_url": "https://s3.eu-central-1.amazonaws.com/bucket/events/1/originals/IMG_001.jpg",
    "status": "no_face",
    "reason": "no_face_detected",
    "confidence": 0.0,
    "faces": 0,
    "original_missing": False,
    "erased_alone": False,
}


def _example(**values: Any) -> ConfigDict:  # noqa: ANN401 (any JSON)
    return ConfigDict(json_schema_extra={"examples": [values]})


class ErrorAnswer(BaseModel):
    """What every error answers."""

    detail: str


class EventCreate(BaseModel):
    """A new event; the ids register one that another system already knows."""

    model_config = _example(name="Свадьба")
    name: EventName
    event_uuid: UUID | None = None
    event_id: int | None = Field(None, ge=1, le=MAX_EVENT_ID)
    profile: ProfileName = ProfileName.STANDARD


class EventAnswer(BaseModel):
    """An event, and where its previews go."""

    model_config = _example(**_EVENT)
    event_id: int
    event_uuid: UUID
    name: str
    s3_prefix: str
    gallery_url: str
    profile: ProfileName
    model_pack: str | None  # null: the one that FACEPASS_MODEL_PACK names


class LastSync(BaseModel):
    """An event's newest sync."""

    task_id: UUID
    state: SyncState
    finished_at: datetime | None


class EventDetails(EventAnswer):
    """An event with what is known of its photos."""

    model_config = _example(
        **_EVENT,
        photos={"pending": 0, "indexed": 146, "no_face": 4, "failed": 0, "gone": 0, "erased": 0},
        faces=311,
        active_until="2026-07-20T12:00:00Z",
        last_sync={
            "task_id": _TASK_ID,
            "state": "completed",
            "finished_at": "2026-06-20T18:30:00Z",
        },
    )
    photos: dict[PhotoStatus, int]
    faces: int
    active_until: datetime
    erased_at: datetime | None = None  # since when it has no faces and takes no syncs
    last_sync: LastSync | None


class RequeueAnswer(BaseModel):
    """How many photos the next sync reads again."""

    model_config = _example(event_id=1, requeued=3)
    event_id: int
    requeued: int


class SyncRequest(BaseModel):
    """Which event's previews to sync, and where they are."""

    model_config = _example(event_uuid=_UUID, s3_prefix=_PREFIX)
    event_uuid: str = Field(json_schema_extra={"format": "uuid"})
    s3_prefix: str


class SyncAnswer(BaseModel):
    """The sync that was started, or the one that is running."""

    model_config = _example(
        task_id=_TASK_ID,
        event_id=1,
        s3_prefix=_PREFIX,
        message="Sync task started for event Свадьба",
    )
    task_id: UUID
    event_id: int
    s3_prefix: str
    message: str


class Progress(BaseModel):
    """Photos accounted for, of those found so far."""

    processed: int
    total: int


class SyncStatus(BaseModel):
    """Where a sync is; `result` is null until it is completed."""

    model_config = _example(
        task_id=_TASK_ID,
        event_id=1,
        state="completed",
        progress={"processed": 150, "total": 150},
        result=RESULT_EXAMPLE,
        detail="Successfully synced 120 new photos",
    )
    task_id: UUID
    event_id: int
    state: SyncState
    progress: Progress
    result: dict[str, Any] | None
    detail: str | None


class PhotoAnswer(BaseModel):
    """What became of one preview."""

    photo_id: int
    s3_key: str
    image_url: str
    status: PhotoStatus
    reason: PhotoReason | None
    confidence: float
    faces: int
    original_missing: bool
    erased_alone: bool


class PhotoPage(BaseModel):
    """Some of an event's photos; ask again with `next_cursor` for more."""

    model_config = _example(photos=[_PHOTO], next_cursor=7)
    photos: list[PhotoAnswer]
    next_cursor: int | None
