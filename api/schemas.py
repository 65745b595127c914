"""Shapes of requests and answers, with the examples that OpenAPI shows.

An answer is built from rows and results by its own `from_…` constructor, so that routes know no
table.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from api.reconcile import SyncView
from models.errors import InvalidUploadError
from models.keys import default_prefix
from models.queries.events import MAX_EVENT_ID
from models.tables import Event, Photo, SyncRun
from models.vocabulary import PhotoReason, PhotoStatus, ProfileName, SelfieCode, SyncState

if TYPE_CHECKING:
    from tasks.search import Match, SearchResult

PAGE_LIMIT = 500

EventName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00]*$"),
]
Box = Annotated[
    tuple[float, float, float, float],
    Field(description="x1, y1, x2, y2 as shares of the upright picture's width and height"),
]

_UUID = "550e8400-e29b-41d4-a716-446655440000"
_TASK_ID = "a1b2c3d4-e5f6-7890-abcd-ef1234567890"
_PREFIX = "events/1/previews/"
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
_BOX: Any = [0.42, 0.18, 0.51, 0.36]
_SELFIE: Any = {"box": [0.2, 0.15, 0.8, 0.95], "confidence": 0.93}
_ORIGINAL = "https://s3.eu-central-1.amazonaws.com/bucket/events/1/originals/IMG_001.jpg"
_PREVIEW = "https://s3.eu-central-1.amazonaws.com/bucket/events/1/previews/IMG_001.jpg"


def _example(**values: Any) -> ConfigDict:  # noqa: ANN401 (any JSON)
    return ConfigDict(json_schema_extra={"examples": [values]})


class ErrorAnswer(BaseModel):
    """The answer to every error."""

    detail: str


class Health(BaseModel):
    """The answer while all is well."""

    status: Literal["ok"] = "ok"


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

    @classmethod
    def from_row(cls, event: Event, gallery_url: str, **details: object) -> Self:
        """The answer about an event; `details` are what a subclass tells besides."""
        return cls.model_validate(
            {
                "event_id": event.id,
                "event_uuid": event.uuid,
                "name": event.name,
                "s3_prefix": default_prefix(event.id or 0),
                "gallery_url": gallery_url,
                "profile": event.profile,
                "model_pack": event.model_pack,
                **details,
            }
        )


class LastSync(BaseModel):
    """An event's newest sync."""

    task_id: UUID
    state: SyncState
    finished_at: datetime | None

    @classmethod
    def from_row(cls, run: SyncRun) -> Self:
        """The answer about a run."""
        return cls(task_id=run.flow_run_id, state=run.state, finished_at=run.finished_at)


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


class EventChange(BaseModel):
    """A change of an event."""

    model_config = _example(profile="groups")
    profile: ProfileName


class EventChangeAnswer(BaseModel):
    """The event after the change, and what happens next."""

    event_id: int
    profile: ProfileName
    message: str


class GalleryLink(BaseModel):
    """The link an event's guests get from now on."""

    gallery_url: str = Field(examples=["http://127.0.0.1:8000/gallery/3q2-7wAAAAAAAAAAAAAAAAAA"])


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

    @classmethod
    def from_row(cls, photo: Photo, faces: int) -> Self:
        """The answer about a photo with so many faces."""
        return cls.model_validate({**photo.model_dump(), "photo_id": photo.id, "faces": faces})


class PhotoPage(BaseModel):
    """Some of an event's photos; ask again with `next_cursor` for more."""

    model_config = _example(photos=[_PHOTO], next_cursor=7)
    photos: list[PhotoAnswer]
    next_cursor: int | None

    @classmethod
    def from_rows(cls, rows: Sequence[tuple[Photo, int]], limit: int) -> Self:
        """The page of these photos and their numbers of faces; `limit` is what was asked for."""
        photos = [PhotoAnswer.from_row(photo, faces) for photo, faces in rows]
        more = len(photos) == limit
        return cls(photos=photos, next_cursor=photos[-1].photo_id if more else None)


class RequeueAnswer(BaseModel):
    """How many failed photos the next sync takes up again."""

    requeued: int = Field(examples=[3])
    message: str = Field(examples=["3 failed photos wait for the next sync"])


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

    @classmethod
    def from_row(cls, run: SyncRun, view: SyncView, *, processed: int, total: int) -> Self:
        """The answer about a run: its record, its state as Prefect confirms it, its progress."""
        return cls(
            task_id=run.flow_run_id,
            event_id=run.event_id,
            state=view.state,
            progress=Progress(processed=processed, total=total),
            result=run.result,
            detail=view.detail,
        )


class ReembedRequest(BaseModel):
    """The model pack and the profile to find faces by; what is left out stays as it is."""

    model_config = _example(model_pack="opencv_zoo", profile="groups")
    model_pack: str | None = None
    profile: ProfileName | None = None


class ReembedAnswer(BaseModel):
    """The run that was started; GET /api/v1/faces/sync-s3/{task_id} tells how it goes."""

    task_id: UUID
    event_id: int
    message: str


class PreviewsAnswer(BaseModel):
    """The flow run that makes the previews; Prefect's UI shows how it goes."""

    model_config = _example(
        task_id=_TASK_ID,
        event_id=1,
        message="Previews are being made for event Свадьба; its sync follows",
    )
    task_id: UUID
    event_id: int
    message: str


class ErasureAnswer(BaseModel):
    """The receipt of an erasure; `result_storages` are where cached results were looked for."""

    model_config = _example(
        event_id=1,
        faces_erased=311,
        photos_affected=150,
        cached_results_erased=3,
        cached_bytes=218000,
        syncs_stopped=0,
        result_storages=["local folder"],
        erased_at="2026-07-20T12:00:00Z",
    )
    event_id: int
    faces_erased: int
    photos_affected: int
    cached_results_erased: int
    cached_bytes: int
    syncs_stopped: int
    result_storages: list[str]
    erased_at: datetime


class ReturnAnswer(BaseModel):
    """An event or a photo that may come back, and what happens next."""

    event_id: int
    message: str


class SearchForm(BaseModel):
    """Which event to search, by a photographer's `event_uuid` or a guest's `gallery_token`."""

    event_uuid: str | None = None
    gallery_token: str | None = None
    limit: int = Field(50, ge=1, le=PAGE_LIMIT)
    cursor: str | None = None
    min_similarity: float | None = Field(None, ge=0, le=1)
    face: int | None = Field(
        None, ge=0, le=PAGE_LIMIT, description="which of the selfie's faces, the largest being 0"
    )

    @model_validator(mode="after")
    def _check_event(self) -> "SearchForm":
        if (self.event_uuid is None) == (self.gallery_token is None):
            raise ValueError("name the event by event_uuid or by gallery_token, one of the two")
        return self

    @classmethod
    def from_fields(cls, fields: dict[str, str]) -> Self:
        """Read the form's fields; empty ones count as left out. Raises InvalidUploadError."""
        try:
            return cls.model_validate({name: value for name, value in fields.items() if value})
        except ValidationError as error:
            first = error.errors()[0]
            name = "".join(f"{part}: " for part in first["loc"])
            reason = first["msg"].removeprefix("Value error, ")
            raise InvalidUploadError(f"The form is wrong. {name}{reason}.") from error


class MatchAnswer(BaseModel):
    """A photo of the person; its links are signed and expire."""

    photo_id: int
    s3_key: str
    image_url: str
    original_url: str | None = Field(description="null where the original is not in S3")
    preview_url: str
    similarity: float = Field(description="cosine")
    box: Box
    band: Literal["surely", "maybe"]

    @classmethod
    def from_match(cls, match: "Match") -> Self:
        """The answer about one match of a search."""
        return cls.model_validate(
            {
                "photo_id": match.photo.photo_id,
                "s3_key": match.photo.s3_key,
                "image_url": match.photo.image_url,
                "original_url": match.original_url,
                "preview_url": match.preview_url,
                "similarity": match.photo.similarity,
                "box": match.photo.box,
                "band": match.band,
            }
        )


class FaceAnswer(BaseModel):
    """A face in the selfie."""

    box: Box
    confidence: float


class ThresholdsAnswer(BaseModel):
    """The similarities that this answer was made by."""

    min_similarity: float
    surely: float


class SearchAnswer(BaseModel):
    """Photos of the person, best first; ask again with `next_cursor` for more."""

    model_config = _example(
        matches=[
            {
                "photo_id": 7,
                "s3_key": "events/1/previews/IMG_001.jpg",
                "image_url": _ORIGINAL,
                "original_url": f"{_ORIGINAL}?X-Amz-Expires=900",
                "preview_url": f"{_PREVIEW}?X-Amz-Expires=900",
                "similarity": 0.81,
                "box": _BOX,
                "band": "surely",
            }
        ],
        selfie=_SELFIE,
        thresholds={"min_similarity": 0.4, "surely": 0.55},
        next_cursor="uB6F61G46r8HAAAAAAAAAA==",
    )
    matches: list[MatchAnswer]
    selfie: FaceAnswer
    thresholds: ThresholdsAnswer
    next_cursor: str | None

    @classmethod
    def from_result(cls, result: "SearchResult") -> Self:
        """The answer that a search's result makes."""
        return cls(
            matches=[MatchAnswer.from_match(match) for match in result.matches],
            selfie=FaceAnswer(box=result.face.box, confidence=result.face.confidence),
            thresholds=ThresholdsAnswer(min_similarity=result.min_similarity, surely=result.surely),
            next_cursor=result.next_cursor and result.next_cursor.encode(),
        )


class SearchRefusal(BaseModel):
    """Why there is no answer; `faces` are the selfie's, the largest first."""

    model_config = _example(
        detail="There are several faces: say with `face` which one is yours.",
        code="several_faces",
        faces=[_SELFIE, {"box": [0.05, 0.1, 0.4, 0.6], "confidence": 0.9}],
    )
    detail: str
    code: SelfieCode
    faces: list[FaceAnswer]


def describe_form() -> dict[str, Any]:
    """The request body for OpenAPI: the form is read by hand, so that it stays in memory."""
    schema = SearchForm.model_json_schema()
    fields = schema["properties"] | {"file": {"type": "string", "format": "binary"}}
    form = {"type": "object", "properties": fields, "required": ["file"]}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}}}
