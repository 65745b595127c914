"""Pydantic models of the API's requests and answers.

`from_…` constructors build answers from rows and results, so that routes need no tables. The
examples that OpenAPI shows are in examples.json.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from api.reconcile import SyncView
from models.errors import InvalidUploadError
from models.queries.events import MAX_EVENT_ID, EventCounts
from models.queries.photos import MOST_SHIFT_S, PageCursor
from models.tables import Event, GuestRequest, Photo, SyncRun
from models.vocabulary import (
    ErrorCode,
    GuestRequestKind,
    PhotoReason,
    PhotoStatus,
    ProfileName,
    SelfieCode,
    StoredObjects,
    SyncState,
    Visibility,
)

if TYPE_CHECKING:
    from tasks.search import SearchResult

PAGE_LIMIT = 500
MOST_RETENTION_DAYS = 2**15 - 1  # what the column holds
FIRST_YEAR, LAST_YEAR = 2000, 2200  # of what an event's photographer tells
MOST_SELFIES = 3
MOST_ANSWERED = 500  # photos that a guest says of whether they show them

Day = TypeVar("Day", bound=date)


def _require_sane_year(value: Day) -> Day:
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise ValueError(f"the year must be from {FIRST_YEAR} to {LAST_YEAR}")
    return value


EventName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00]*$"),
]
Pin = Annotated[str, StringConstraints(pattern=r"^[0-9]{4,12}$")]
Accent = Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$", to_lower=True)]
Year = AfterValidator(_require_sane_year)  # the database's driver cannot read every year back
DbId = Annotated[int, Field(ge=1, le=2**63 - 1)]
Box = Annotated[
    tuple[float, float, float, float],
    Field(description="x1, y1, x2, y2 as shares of the upright picture's width and height"),
]
TakenAt = Annotated[
    datetime | None,
    Field(
        description="local time in the event's zone, after the camera's shift; it orders the "
        "photos; null where the photo does not tell"
    ),
]


@lru_cache(maxsize=1)
def read_examples() -> dict[str, Any]:
    """The examples by the names of their shapes."""
    file = Path(__file__).parent / "examples.json"
    examples: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return examples


def _add_example(schema: dict[str, Any], shape: type[BaseModel]) -> None:
    if shape.__name__ in read_examples():
        schema["examples"] = [read_examples()[shape.__name__]]


class Shape(BaseModel):
    """A request or an answer."""

    model_config = ConfigDict(json_schema_extra=_add_example)


class ErrorAnswer(Shape):
    """The answer to every error."""

    detail: str = Field(description="a sentence for people; its words may change")
    code: str = Field(
        description="a word for programs that keeps its meaning; docs/errors.md lists them, and "
        "later releases may add more",
        examples=[code.value for code in (ErrorCode.EVENT_NOT_FOUND, ErrorCode.TOO_MANY_CALLS)],
    )


class Health(Shape):
    """The answer while all is well."""

    status: Literal["ok"] = "ok"


class EventLooks(Shape):
    """How an event's gallery looks, who may see it and until when; null takes a value away."""

    visibility: Visibility = Field(
        Visibility.EVERYONE,
        description="own: guests see only the photos that their selfie found, and no count",
    )
    pin: Pin | None = Field(None, description="4 to 12 digits that guests are asked for")
    closes_at: Annotated[AwareDatetime, Year] | None = Field(
        None, description="from then on the guests' link tells that the gallery is closed"
    )
    download_all: bool = Field(False, description="guests may take all photos at once")
    held_on: Annotated[date, Year] | None = Field(None, description="the event's day")
    place: EventName | None = None
    studio: EventName | None = Field(None, description="the photographer's name, as guests see it")
    accent: Accent | None = Field(None, description="the colour of buttons, as #rrggbb")
    retention_days: int | None = Field(
        None,
        ge=0,
        le=MOST_RETENTION_DAYS,
        description="days its faces are kept after it ceased to be active, instead of "
        "FACEPASS_RETENTION_DAYS",
    )
    notices: bool = Field(False, description="guests may ask to be told of new photos of them")

    def list_changes(self) -> dict[str, Any]:
        """What was given, by its column; the PIN as `pin`."""
        return self.model_dump(include=self.model_fields_set & set(_CHANGES))


class EventCreate(EventLooks):
    """A new event; the ids register one that another system already knows."""

    name: EventName
    event_uuid: UUID | None = None
    event_id: int | None = Field(None, ge=1, le=MAX_EVENT_ID)
    profile: ProfileName = ProfileName.STANDARD
    s3_prefix: str | None = Field(
        None,
        description="where its previews are, unless in events/{event_id}/previews/: a folder of "
        "its own and /previews/; {uuid} stands for its UUID",
    )


class EventAnswer(Shape):
    """An event, and where its previews go."""

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
                **event.model_dump(warnings=False),
                "event_id": event.id,
                "event_uuid": event.uuid,
                "s3_prefix": event.s3_prefix,
                "gallery_url": gallery_url,
                **details,
            }
        )


class LastSync(Shape):
    """An event's newest sync."""

    task_id: UUID
    state: SyncState
    finished_at: datetime | None

    @classmethod
    def from_row(cls, run: SyncRun) -> Self:
        """The answer about a run."""
        return cls(task_id=run.flow_run_id, state=run.state, finished_at=run.finished_at)


class ListedEvent(EventAnswer):
    """An event in the list, with its days and counts.

    The counts are null in a list of more than 500 events: ask for it in parts, with `limit`.
    """

    created_at: datetime
    held_on: date | None
    closes_at: datetime | None
    active_until: datetime
    erased_at: datetime | None = None
    photos: dict[PhotoStatus, int] | None
    faces: int | None
    last_sync: LastSync | None

    @classmethod
    def from_counts(cls, event: Event, gallery_url: str, counts: EventCounts | None) -> Self:
        """The answer about an event; None where nothing was counted."""
        run = counts and counts.last_run
        return cls.from_row(
            event,
            gallery_url,
            photos=counts and counts.photos,
            faces=counts and counts.faces,
            last_sync=run and LastSync.from_row(run),
        )


class FalseRateAnswer(Shape):
    """Of these pairs of different people, one in 1,000 at most is more similar than that."""

    pairs: int
    per_thousand_above: float = Field(description="cosine")


class EventDetails(EventAnswer):
    """An event with how its gallery looks, and with what is known of its photos."""

    visibility: Visibility
    has_pin: bool
    closes_at: datetime | None
    download_all: bool
    held_on: date | None
    place: str | None
    studio: str | None
    accent: str | None
    cover_photo_id: int | None
    retention_days: int | None
    notices: bool
    has_logo: bool
    consents: int = Field(description="how often a guest has agreed to be searched for")
    open_requests: int = Field(description="guests' requests that wait: GET …/requests lists them")

    photos: dict[PhotoStatus, int]
    faces: int
    active_until: datetime
    erased_at: datetime | None = None  # since when it has no faces and takes no syncs
    last_sync: LastSync | None
    lying_previews: int = Field(description="previews on a side or upside down, to be made anew")
    false_rate: FalseRateAnswer | None = Field(
        description="how alike different people of this event look; null: too few photos to say"
    )


class EventChange(EventLooks):
    """A change of an event: what is left out stays as it is."""

    name: EventName | None = None
    profile: ProfileName | None = None
    cover_photo_id: DbId | None = Field(None, description="a photo of this event, for its cover")

    @model_validator(mode="after")
    def _check_change(self) -> "EventChange":
        if not self.model_fields_set:
            fields = ", ".join(EventChange.model_fields)
            raise ValueError(f"name what is to change, one or more of {fields}")
        if empty := [name for name in ("name", "profile") if self._is_taken_away(name)]:
            raise ValueError(f"{empty[0]} cannot be taken away: leave it out, or give another")
        return self

    def _is_taken_away(self, name: str) -> bool:
        return name in self.model_fields_set and getattr(self, name) is None


_CHANGES = (*EventLooks.model_fields, "name", "cover_photo_id")


class EventChangeAnswer(Shape):
    """The event after the change, and what happens next."""

    event_id: int
    profile: ProfileName
    message: str


class GuestRequestAnswer(Shape):
    """A guest's request about a photo; nobody knows who the guest was."""

    request_id: int
    photo_id: int
    s3_key: str
    kind: GuestRequestKind = Field(
        description="hide_me: erase the faces found in it (DELETE …/photos/{photo_id}); "
        "remove_photo: take it out of the gallery"
    )
    created_at: datetime
    settled_at: datetime | None = None

    @classmethod
    def from_row(cls, request: GuestRequest, s3_key: str) -> Self:
        """The answer about a request."""
        values = request.model_dump(warnings=False)
        return cls.model_validate(values | {"request_id": request.id, "s3_key": s3_key})


class GalleryLink(Shape):
    """The link an event's guests get from now on."""

    gallery_url: str = Field(examples=["http://127.0.0.1:8000/gallery/3q2-7wAAAAAAAAAAAAAAAAAA"])


class ReportLinkAnswer(Shape):
    """A link to an event's report, for its photographer alone: it opens the page's buttons too."""

    report_url: str
    expires_at: datetime


class PhotoAnswer(Shape):
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
    turned: int = Field(description="degrees clockwise by which the stored preview lies")
    taken_at: TakenAt
    camera: str | None = Field(description="as GET …/cameras names it; null where not known")
    opened: int = Field(description="how often guests looked at it large or saved its original")


class PhotoPage(Shape):
    """Some of an event's photos; ask again with `next_cursor` for more."""

    photos: list[PhotoAnswer]
    next_cursor: str | None

    @classmethod
    def from_rows(
        cls,
        rows: Sequence[tuple[Photo, int, datetime | None]],
        openings: Mapping[int, int],
        after: PageCursor,
        limit: int,
    ) -> Self:
        """The page behind `after`, as `list_photos` gives it; `limit` is what was asked for."""
        photos = [
            PhotoAnswer.model_validate(
                {
                    **row.model_dump(warnings=False),
                    "photo_id": row.id,
                    "faces": faces,
                    "taken_at": taken_at,
                    "opened": openings.get(row.id or 0, 0),
                }
            )
            for row, faces, taken_at in rows
        ]
        more = len(photos) == limit
        end = after.move(photos[-1].photo_id, photos[-1].taken_at) if more else None
        return cls(photos=photos, next_cursor=end and end.encode())


class CameraAnswer(Shape):
    """A camera of an event, and by how much its clock is corrected."""

    camera: str = Field(description="the same for all photos of one camera; no serial number")
    name: str | None
    photos: int
    first_taken_at: datetime = Field(description="on the event's clock, after the shift")
    last_taken_at: datetime
    shift_seconds: int


class CameraShift(Shape):
    """The seconds to add to a camera's times, instead of those of before; 0: as it wrote them."""

    shift_seconds: int = Field(ge=-MOST_SHIFT_S, le=MOST_SHIFT_S, examples=[3600])


class RequeueAnswer(Shape):
    """How many failed photos the next sync takes up again."""

    requeued: int = Field(examples=[3])
    message: str = Field(examples=["3 failed photos wait for the next sync"])


class SyncRequest(Shape):
    """Which event's previews to sync, and where they are."""

    event_uuid: str = Field(json_schema_extra={"format": "uuid"})
    s3_prefix: str


class SyncAnswer(Shape):
    """The sync that was started, or the one that is running."""

    task_id: UUID
    event_id: int
    s3_prefix: str
    message: str


class Progress(Shape):
    """Photos accounted for, of those found so far."""

    processed: int
    total: int


class SyncStatus(Shape):
    """Where a sync is; `result` is null until it is completed."""

    task_id: UUID
    event_id: int
    state: SyncState
    progress: Progress
    result: dict[str, Any] | None = Field(
        description="counts of photos; `ignored`: files that are no photos, by kind (heic, avif, "
        "tiff, raw, video, other_picture, other)"
    )
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


class ReembedRequest(Shape):
    """The model pack and the profile to find faces by; what is left out stays as it is."""

    model_pack: str | None = None
    profile: ProfileName | None = None


class ReembedAnswer(Shape):
    """The run that was started; GET /api/v1/faces/sync-s3/{task_id} tells how it goes."""

    task_id: UUID
    event_id: int
    message: str


class HookAnswer(BaseModel):
    """What was taken of a store's notification."""

    taken: int = Field(description="changed previews and originals; syncs of their events follow")
    ignored: int = Field(description="objects of other buckets, or that are no photos")
    repeated: bool = Field(description="true: this message was taken before, and does nothing")


class PreviewsAnswer(Shape):
    """The flow run that makes the previews; Prefect's UI shows how it goes."""

    task_id: UUID
    event_id: int
    message: str


class ErasureAnswer(Shape):
    """The receipt of an erasure; `result_storages` are where cached results were looked for."""

    event_id: int
    faces_erased: int
    photos_affected: int
    cached_results_erased: int
    cached_bytes: int
    views_erased: int
    subscriptions_erased: int = Field(description="guests' addresses, each with a vector")
    syncs_stopped: int
    result_storages: list[str]
    erased_at: datetime


class DeletionAnswer(ErasureAnswer):
    """The receipt of an event's deletion, with that of the erasure it began with.

    Each call counts what it did itself: after one that broke off, the next counts the rest.
    """

    objects: StoredObjects
    folder: str = Field(description="the event's in S3; nothing outside it was touched")
    objects_deleted: int = Field(description="in S3; views are counted in `views_erased`")
    bytes_deleted: int
    photos_deleted: int


class ReturnAnswer(Shape):
    """An event or a photo that may come back, and what happens next."""

    event_id: int
    message: str


def _split_ids(values: object) -> object:
    """Ids that were sent one by one, or several in a field with commas between."""
    if not isinstance(values, list):
        return values
    return [part for value in values for part in str(value).split(",")]


Ids = Annotated[list[DbId], BeforeValidator(_split_ids)]


class SearchForm(Shape):
    """Which event to search, by a photographer's `event_uuid` or a guest's `gallery_token`."""

    event_uuid: str | None = None
    gallery_token: str | None = None
    limit: int = Field(50, ge=1, le=PAGE_LIMIT)
    cursor: str | None = Field(
        None,
        description="an answer's next_cursor, with the same selfies: the page behind it, of the "
        "same search whatever is stored meanwhile; 400 where a face it began with is gone",
    )
    min_similarity: float | None = Field(
        None, ge=0, le=1, description="the least `similarity` to show, instead of the pack's own"
    )
    face: list[Annotated[int, Field(ge=0, le=PAGE_LIMIT)] | None] = Field(
        [],
        max_length=MOST_SELFIES,
        description="which of the selfie's faces, the largest being 0; with several selfies the "
        "field is repeated, once for each, and empty where there is nothing to choose",
    )

    consent: str = Field(
        "", description="with `gallery_token`: what POST /gallery/{gallery_token}/consents answered"
    )
    face_token: str | None = Field(
        None,
        max_length=20_000,
        description="an earlier answer's, instead of `file`: a search without the selfie",
    )
    me: Ids = Field(
        [],
        max_length=MOST_ANSWERED,
        description="ids of photos that the guest says show them: their faces are averaged in "
        "where they are similar enough, which finds more",
    )
    not_me: Ids = Field(
        [], max_length=MOST_ANSWERED, description="ids of photos that do not: they are left out"
    )

    @model_validator(mode="after")
    def _check_event(self) -> "SearchForm":
        if (self.event_uuid is None) == (self.gallery_token is None):
            raise ValueError("name the event by event_uuid or by gallery_token, one of the two")
        return self

    @classmethod
    def from_fields(cls, fields: Sequence[tuple[str, str]]) -> Self:
        """Read the form's fields; empty ones count as left out. Raises InvalidUploadError."""
        values: dict[str, Any] = {name: value for name, value in fields if value}
        faces = [value or None for name, value in fields if name == "face"]
        values["face"] = faces if any(faces) else []
        for answer in ("me", "not_me"):
            values[answer] = [value for name, value in fields if name == answer and value]
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            name = "".join(f"{part}: " for part in first["loc"])
            reason = first["msg"].removeprefix("Value error, ")
            raise InvalidUploadError(f"The form is wrong. {name}{reason}.") from error


class MatchAnswer(Shape):
    """A photo of the person; its links are signed and expire."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    photo_id: int
    s3_key: str
    image_url: str
    original_url: str | None = Field(description="null where the original is not in S3")
    preview_url: str
    similarity: float = Field(
        description="cosine to what was searched with: the selfie, or where the search was "
        "expanded its mean with the surest finds; it orders the photos and decides their band"
    )
    selfie_similarity: float = Field(
        description="cosine to the selfie alone (of several, to their mean)"
    )
    box: Box
    taken_at: TakenAt
    band: Literal["surely", "maybe"] = Field(
        description="surely: from thresholds.surely on, or one of `me`; maybe: below it"
    )
    name: str = Field(description="of its file")
    version: str = Field(description="new with what the gallery's pictures of it show")
    pass_: str | None = Field(
        None,
        alias="pass",
        description="where guests see only their own photos: what opens it in the gallery",
    )
    width: int | None = Field(description="of the upright picture, pixels; null where not known")
    height: int | None
    colour: str | None = Field(description="its mean, rrggbb, to show while it loads")
    original_bytes: int | None
    view_bytes: int | None = Field(description="of the picture of 2048 pixels, as JPEG")


class FaceAnswer(Shape):
    """A face in the selfie."""

    box: Box
    confidence: float


class ThresholdsAnswer(Shape):
    """The similarities that this answer was made by."""

    min_similarity: float = Field(description="the least similarity that is shown")
    surely: float
    expanded_by: int = Field(
        description="photos whose faces were averaged with the selfie, since they surely show its "
        "person; 0: the search went by the selfie alone, and has other thresholds"
    )


class SearchAnswer(Shape):
    """Photos of the person, best first; ask again with `next_cursor` for more."""

    matches: list[MatchAnswer]
    selfie: FaceAnswer
    selfies: list[FaceAnswer] = Field(description="each selfie's face, as they were sent")
    thresholds: ThresholdsAnswer
    next_cursor: str | None
    face_token: str = Field(
        description="the selfies' vector, encrypted: for two hours it searches like they do, "
        "until the gallery's link is changed or the event's faces are erased"
    )

    @classmethod
    def from_result(
        cls, result: "SearchResult", *, face_token: str, build_pass: Callable[[int], str | None]
    ) -> Self:
        """The answer that a search's result makes."""
        faces = [FaceAnswer.model_validate(vars(face)) for face in result.faces]
        return cls(
            matches=[
                MatchAnswer.model_validate(
                    vars(match.shown)
                    | vars(match.photo)
                    | vars(match)
                    | {
                        "similarity": match.photo.similarity,
                        "selfie_similarity": match.photo.selfie_similarity,
                        "name": match.shown.name,
                        "version": match.shown.version,
                        "pass": build_pass(match.photo.photo_id),
                    }
                )
                for match in result.matches
            ],
            selfie=faces[0],
            selfies=faces,
            thresholds=ThresholdsAnswer(
                min_similarity=result.thresholds.lowest,
                surely=result.thresholds.surely,
                expanded_by=result.expanded_by,
            ),
            next_cursor=result.next_cursor and result.next_cursor.encode(),
            face_token=face_token,
        )


class SearchRefusal(Shape):
    """Why there is no answer; `faces` are the selfie's, the largest first."""

    detail: str
    code: SelfieCode
    faces: list[FaceAnswer]
    file: int | None = Field(
        None, description="of several selfies the one that it is about, the first being 1"
    )


def describe_form() -> dict[str, Any]:
    """The request body for OpenAPI: the form is read by hand, so that it stays in memory."""
    schema = SearchForm.model_json_schema()
    files = {
        "type": "array",
        "items": {"type": "string", "format": "binary"},
        "minItems": 1,
        "maxItems": MOST_SELFIES,
        "description": "the selfie; up to three of one person, from different sides, find more; "
        "needed unless there is a face_token",
    }
    fields = schema["properties"] | {"file": files}
    form = {"type": "object", "properties": fields}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}}}
