"""The guests' search: a selfie in, photos out. Neither the selfie nor its vector is kept."""

from typing import TYPE_CHECKING, Annotated

import anyio
from fastapi import APIRouter, Header, Request
from starlette.datastructures import UploadFile

from api.deps import parse_uuid, require_api_key
from api.engine_waits import get_engine_waits
from api.errors import describe_errors
from api.search_schemas import (
    SearchAnswer,
    SearchForm,
    SearchRefusal,
    describe_form,
    read_fields,
)
from api.uploads import read_form
from models.errors import InvalidUploadError
from models.packs import PackChoice, choose_pack
from models.queries.events import find_event, find_gallery
from models.queries.search import Place
from models.session import open_session
from models.settings import get_settings

if TYPE_CHECKING:
    from tasks.search import SearchResult

router = APIRouter(prefix="/api/v1/faces", tags=["guests"])


@router.post(
    "/search",
    responses=describe_errors(400, 404, 503) | {422: {"model": SearchRefusal}},
    openapi_extra=describe_form(),
)
async def search_photos(
    request: Request, x_api_key: Annotated[str | None, Header()] = None
) -> SearchAnswer:
    """Photos of the selfie's person in one event, best first; a refusal has a `code`.

    A photographer names the event by `event_uuid` and shows a key where keys are set; a guest has
    the `gallery_token` of the link.
    """
    form = await read_form(request, get_settings().max_upload_bytes)
    texts = {name: value for name, value in form.items() if isinstance(value, str)}
    file = form.get("file")
    fields = read_fields(texts)
    if fields.event_uuid is not None:
        await require_api_key(request, x_api_key)
    if not isinstance(file, UploadFile):
        raise InvalidUploadError("The form has no `file`: send the selfie as a file.")
    selfie = await file.read()
    await form.close()
    event_id, choice, is_ready = await anyio.to_thread.run_sync(_find_event, fields)
    if not is_ready:
        await get_engine_waits(request.app.state).wait(choice.model_pack)
    limiter = _get_limiter(request)
    return await anyio.to_thread.run_sync(
        _search, fields, selfie, event_id, choice, limiter=limiter
    )


def _get_limiter(request: Request) -> anyio.CapacityLimiter:
    """As many searches at a time as there are cores; the rest wait, and no other call does."""
    state = request.app.state
    if not hasattr(state, "searches"):
        from tasks.faces.limits import count_cores

        cores = get_settings().engine_threads or count_cores()
        state.searches = anyio.CapacityLimiter(cores)
    limiter: anyio.CapacityLimiter = state.searches
    return limiter


def _search(fields: SearchForm, selfie: bytes, event_id: int, choice: PackChoice) -> SearchAnswer:
    from tasks.search import SearchRequest, search_faces

    return _describe(
        search_faces(
            SearchRequest(
                event_id=event_id,
                selfie=selfie,
                limit=fields.limit,
                choice=choice,
                after=Place.decode(fields.cursor) if fields.cursor else None,
                min_similarity=fields.min_similarity,
                face=fields.face,
            )
        )
    )


def _find_event(fields: SearchForm) -> tuple[int, PackChoice, bool]:
    """The event's id, by what its faces are found, and whether the engine for that is loaded."""
    from tasks.faces.cache import has_own_engine

    with open_session() as session:
        if fields.gallery_token is not None:
            event = find_gallery(session, fields.gallery_token)
        else:
            event = find_event(session, parse_uuid(fields.event_uuid or ""))
        choice = choose_pack(event)
    return event.id or 0, choice, has_own_engine(choice.model_pack)


def _describe(result: "SearchResult") -> SearchAnswer:
    matches = [
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
        for match in result.matches
    ]
    return SearchAnswer.model_validate(
        {
            "matches": matches,
            "selfie": {"box": result.face.box, "confidence": result.face.confidence},
            "thresholds": {"min_similarity": result.min_similarity, "surely": result.surely},
            "next_cursor": result.next_place and result.next_place.encode(),
        }
    )
