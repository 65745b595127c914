"""The REST route for a guest's search: selfies in, matching photos out.

The selfies stay in memory: neither they nor their vectors are stored. While a face engine is still
loading, searches that need it wait without a thread, and other searches go on. What waits for its
turn is bounded, and fair between the callers' addresses.
"""

import logging
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import anyio
import anyio.to_thread
from fastapi import APIRouter, HTTPException, Request, Security
from starlette.datastructures import FormData, State, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from api.bulkheads.searches import BODY_S, SearchQueue, run_while_connected
from api.bulkheads.threads import Kind, get_bulkhead
from api.deps import parse_uuid
from api.errors import ApiError, describe_errors
from api.gallery.access import build_pass, enter_gallery, require_consent
from api.gallery.face_tokens import open_face, seal_face
from api.schemas import (
    MOST_ANSWERED,
    MOST_SELFIES,
    SearchAnswer,
    SearchForm,
    SearchRefusal,
    describe_form,
)
from api.security import API_KEY_HEADER, count_call, name_address, require_api_key
from models.errors import FacePassError, InvalidUploadError, SelfieError
from models.packs import choose_pack
from models.queries.events import find_event
from models.queries.search import Cursor
from models.session import open_session
from models.settings import get_settings
from models.vocabulary import ErrorCode, SelfieCode

if TYPE_CHECKING:
    from models.tables import Event
    from tasks.search import KnownPerson

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/api/v1/faces", tags=["guests"])

# Packs that load at a time, in threads of their own: seconds each, or minutes with a download. A
# third pack waits for a thread, and no other call does.
LOADS_AT_ONCE = 2
MAX_FIELDS = 16 + 2 * MOST_ANSWERED


@router.post(
    "/search",
    responses=describe_errors(400, 403, 404, 410, 503) | {422: {"model": SearchRefusal}},
    # A guest shows no key: it may be left out.
    openapi_extra={**describe_form(), "security": [{}]},
)
async def search_photos(
    request: Request, x_api_key: Annotated[str | None, Security(API_KEY_HEADER)] = None
) -> SearchAnswer:
    """Photos of the selfie's person in one event, best first; a refusal has a `code`.

    Up to three selfies of one person may be sent, as `file` each time; together they may have as
    many bytes as one alone. Each is judged by itself: a refusal tells which one it is about. Where
    some photos surely show the person, the event is searched once more with the mean of the selfie
    and those photos' faces, which finds more and is surer; `thresholds.expanded_by` tells it.

    A photographer names the event by `event_uuid` and shows a key where keys are set; a guest has
    the `gallery_token` of the link, and shows a `consent` and, where the gallery has a PIN, its
    cookie. The answer's `face_token` searches again without the selfie.
    """
    address = name_address(request)
    with get_queue(request.app.state).hold_place(address) as count_bytes:
        try:
            form = await read_form_in_time(request, count_bytes)
            texts = [(name, text) for name, text in form.multi_items() if isinstance(text, str)]
            fields = SearchForm.from_fields(texts)
        except (FacePassError, HTTPException):
            count_call("guest", request)
            raise
        count_call("again" if fields.face_token else "guest", request)
        if fields.event_uuid is not None:
            await require_api_key(request, x_api_key)
        files = [file for file in form.getlist("file") if isinstance(file, UploadFile)]
        if bool(files) == bool(fields.face_token):
            raise InvalidUploadError(
                "Send the selfie as `file`, or the `face_token` of an earlier search: one of the "
                "two."
            )
        if len(fields.face) not in {0, len(files)}:
            raise InvalidUploadError(
                "The form is wrong. face: send it once for each selfie, or leave it out."
            )
        selfies = [await file.read() for file in files]
        await form.close()
        return await run_while_connected(
            request, partial(_search_in_turn, request, address, fields, selfies)
        )


async def _search_in_turn(
    request: Request, address: str, fields: SearchForm, selfies: Sequence[bytes]
) -> SearchAnswer:
    state = request.app.state
    event = await get_bulkhead(Kind.LOOKUPS).run(partial(_find_event, fields, request))
    if not fields.face_token:
        await get_engine_waits(state).wait(choose_pack(event).model_pack)
    return await get_queue(state).compute(address, partial(_search, fields, selfies, event))


def _find_event(fields: SearchForm, request: Request) -> "Event":
    """The event, which a guest may search in. Raises what `enter_gallery` does, and SelfieError."""
    with open_session() as session:
        if fields.gallery_token is None:
            return find_event(session, parse_uuid(fields.event_uuid or ""))
        event = enter_gallery(session, fields.gallery_token, request)
    require_consent(event, fields.consent)
    return event


def _search(fields: SearchForm, selfies: Sequence[bytes], event: "Event") -> SearchAnswer:
    from tasks.search import SearchRequest, search_faces

    person = _open_person(event, fields.face_token) if fields.face_token else None
    result = search_faces(
        SearchRequest(
            event_id=event.id or 0,
            selfies=selfies,
            limit=fields.limit,
            choice=choose_pack(event),
            after=Cursor.decode(fields.cursor) if fields.cursor else None,
            min_similarity=fields.min_similarity,
            faces=fields.face,
            person=person,
            me=fields.me,
            not_me=fields.not_me,
            guest=fields.gallery_token is not None,
        )
    )
    found = result.person
    # One is given for a selfie alone: a search by a token does not make it last longer.
    token = fields.face_token or seal_face(
        event, found.pack, found.selfies.faces, found.selfies.embedding
    )
    return SearchAnswer.from_result(result, face_token=token, build_pass=partial(build_pass, event))


def _open_person(event: "Event", face_token: str) -> "KnownPerson":
    from tasks.faces.selfies import PersonsSelfies
    from tasks.search import KnownPerson

    pack, faces, vector = open_face(event, face_token)
    return KnownPerson(pack, PersonsSelfies(faces, vector))


async def warm_engine(state: State) -> None:
    """Load the settings' own engine, so that the first guest does not wait for it.

    A failure is logged; the first search says what is wrong.
    """
    try:
        await get_engine_waits(state).wait(None)
    except FacePassError as error:
        logger.warning("The model pack is not loaded yet: %s", error)
    except Exception:
        logger.exception("The model pack is not loaded yet; the first search tries again.")


class EngineWaits:
    """One load a pack at a time, however many searches ask for it.

    The rest wait, and other calls do not.
    """

    def __init__(self) -> None:
        self._locks: defaultdict[str | None, anyio.Lock] = defaultdict(anyio.Lock)
        self._loads = anyio.CapacityLimiter(LOADS_AT_ONCE)

    async def wait(self, pack: str | None) -> None:
        """Return once the pack's engine for selfies is loaded; None: the settings' own pack.

        Raises ModelPackError.
        """
        async with self._locks[pack]:
            if not _is_loaded(pack):
                await anyio.to_thread.run_sync(
                    _load_engine, pack, abandon_on_cancel=True, limiter=self._loads
                )


def _is_loaded(pack: str | None) -> bool:
    """Whether a pack's engine is there; the module that keeps them is slow to import."""
    cache = sys.modules.get("tasks.faces.cache")
    return cache is not None and bool(cache.has_face_engine(pack))


def _load_engine(pack: str | None) -> None:
    from tasks.faces.cache import get_face_engine

    get_face_engine(pack)


def get_engine_waits(state: State) -> EngineWaits:
    """The application's one, made by the first search."""
    if not hasattr(state, "engine_waits"):
        state.engine_waits = EngineWaits()
    waits: EngineWaits = state.engine_waits
    return waits


def get_queue(state: State) -> SearchQueue:
    """The application's one, made by the first search."""
    if not hasattr(state, "searches"):
        from tasks.faces.limits import count_cores

        state.searches = SearchQueue(get_settings().engine_threads or count_cores())
    queue: SearchQueue = state.searches
    return queue


class _MemoryParser(MultiPartParser):
    """Starlette's parser; its own spools files of more than a megabyte to a temporary folder."""

    spool_max_size = 2**62


async def read_form_in_time(request: Request, count_bytes: Callable[[int], None]) -> FormData:
    """As read_form; ApiError 408 for a body that takes too long, which holds a place."""
    try:
        with anyio.fail_after(BODY_S):
            return await read_form(request, get_settings().max_upload_bytes, count_bytes)
    except TimeoutError as error:
        raise ApiError(
            408,
            f"The form took more than {BODY_S} seconds to arrive: send a smaller picture.",
            ErrorCode.TOO_SLOW,
            {"connection": "close"},
        ) from error


async def read_form(
    request: Request, max_bytes: int, count_bytes: Callable[[int], None]
) -> FormData:
    """The form's fields and files, as they were sent.

    count_bytes: told of each piece as it comes. Raises SelfieError for more than `max_bytes` in
    all, InvalidUploadError for another body, and what `count_bytes` raises.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise InvalidUploadError("Send the search as multipart/form-data, the selfie as `file`.")
    parser = _MemoryParser(
        request.headers,
        _limit_body(request, max_bytes, count_bytes),
        max_files=MOST_SELFIES,
        max_fields=MAX_FIELDS,
    )
    try:
        return await parser.parse()
    except MultiPartException as error:
        raise InvalidUploadError(f"The form cannot be read: {error.message}") from error


async def _limit_body(
    request: Request, max_bytes: int, count_bytes: Callable[[int], None]
) -> AsyncGenerator[bytes, None]:
    refused = SelfieError(
        f"What was sent is too large: send at most {max_bytes} bytes in all.",
        SelfieCode.TOO_MANY_BYTES,
    )
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise refused
    read = 0
    async for chunk in request.stream():
        read += len(chunk)
        if read > max_bytes:
            raise refused
        count_bytes(len(chunk))
        yield chunk
