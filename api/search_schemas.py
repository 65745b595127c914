"""Shapes of a search: its form, its answer, its refusals."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.errors import InvalidUploadError
from models.vocabulary import SelfieCode

PAGE_LIMIT = 500
Box = Annotated[
    tuple[float, float, float, float],
    Field(description="x1, y1, x2, y2 as shares of the upright picture's width and height"),
]
_BOX: Any = [0.42, 0.18, 0.51, 0.36]
_SELFIE: Any = {"box": [0.2, 0.15, 0.8, 0.95], "confidence": 0.93}
_ORIGINAL = "https://s3.eu-central-1.amazonaws.com/bucket/events/1/originals/IMG_001.jpg"
_PREVIEW = "https://s3.eu-central-1.amazonaws.com/bucket/events/1/previews/IMG_001.jpg"


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


def read_fields(fields: dict[str, str]) -> SearchForm:
    """The form's fields; empty ones count as left out. Raises InvalidUploadError."""
    try:
        return SearchForm.model_validate({name: value for name, value in fields.items() if value})
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

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "matches": [
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
                    "selfie": _SELFIE,
                    "thresholds": {"min_similarity": 0.4, "surely": 0.55},
                    "next_cursor": "uB6F61G46r8HAAAAAAAAAA==",
                }
            ]
        }
    )
    matches: list[MatchAnswer]
    selfie: FaceAnswer
    thresholds: ThresholdsAnswer
    next_cursor: str | None


class SearchRefusal(BaseModel):
    """Why there is no answer; `faces` are the selfie's, the largest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "detail": "There are several faces: say with `face` which one is yours.",
                    "code": "several_faces",
                    "faces": [_SELFIE, {"box": [0.05, 0.1, 0.4, 0.6], "confidence": 0.9}],
                }
            ]
        }
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
