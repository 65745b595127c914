"""The search for a guest: it takes a selfie and returns the event's photos of that person.

The similarity thresholds are the model pack's own (tasks/packs/figures.py). The API imports this
module only at the first search, because it loads the face engine.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from models.errors import InvalidCursorError, SelfieError
from models.keys import derive_original_key
from models.packs import PackChoice, choose_pack
from models.queries.events import read_event
from models.queries.packs import list_pack_ids
from models.queries.search import (
    NO_PACK,
    Cursor,
    FaceQuery,
    FoundPhoto,
    find_photos,
    has_foreign_faces,
)
from models.session import open_session, open_snapshot
from models.settings import get_settings
from models.vocabulary import SelfieCode, SelfieFace
from tasks.faces.cache import get_face_engine
from tasks.faces.selfie import Selfie, read_selfie
from tasks.packs.registry import USUAL_DET_SIZE, ModelPack, resolve_pack
from tasks.s3.links import get_link_signer

NEEDS_SYNC = (
    "This event's faces were found by another model and cannot be compared: "
    "the photographer must sync the event again."
)
MODEL_CHANGED = "The event's model was changed meanwhile: ask for the first page again."
# Looks at the event before a search gives up on one whose model changes with each of them.
TRIES = 3


@dataclass(frozen=True)
class SearchRequest:
    """A selfie and the pack to search by; `face` chooses one of the selfie's, 0 the largest."""

    event_id: int
    selfie: bytes
    limit: int
    choice: PackChoice
    after: Cursor | None = None
    min_similarity: float | None = None
    face: int | None = None


@dataclass(frozen=True)
class Match:
    """A photo of the person, with links for a short time; `surely` or `maybe` in `band`."""

    photo: FoundPhoto
    band: str
    original_url: str | None
    preview_url: str


@dataclass(frozen=True)
class SearchResult:
    """Matches, best first, with the face and the thresholds they were measured by."""

    matches: list[Match]
    face: SelfieFace
    min_similarity: float
    surely: float
    next_cursor: Cursor | None


def search_faces(request: SearchRequest) -> SearchResult:
    """Find the photos. Raises SelfieError, also where the event has faces of another pack.

    The selfie is read by the event's pack. Should that be changed meanwhile, all begins anew: no
    answer has vectors of two packs, or photos of before and after.
    """
    choice = request.choice
    for _ in range(TRIES):
        result = _search_by(choice, request)
        if result is not None:
            return result
        with open_session() as session:
            choice = choose_pack(read_event(session, request.event_id))
    raise SelfieError(NEEDS_SYNC, SelfieCode.NEEDS_SYNC)


def _search_by(choice: PackChoice, request: SearchRequest) -> SearchResult | None:
    """The result; None when the event's faces are not found by `choice` any more.

    A selfie is always looked at in the usual size, which the multi-scale alignment of
    tasks/faces/selfie.py is made for: the size decides which faces are found, their vectors come
    from the same recogniser.
    """
    settings = get_settings()
    engine = get_face_engine(choice.model_pack)
    pack = engine.pack
    if choice.det_size != USUAL_DET_SIZE:
        pack = resolve_pack(settings, choice.model_pack, choice.det_size)
    selfie = read_selfie(request.selfie, engine, settings.max_pixels, request.face)
    figures = engine.pack.figures
    lowest = figures.search if request.min_similarity is None else request.min_similarity
    found = _find(request, selfie, choice, pack, lowest)
    if found is None:
        return None
    photos, pack_id = found
    page = photos[: request.limit]
    more = len(photos) > request.limit
    surely = figures.surely
    return SearchResult(
        matches=[_build_match(photo, request.event_id, surely) for photo in page],
        face=selfie.face,
        min_similarity=lowest,
        surely=surely,
        next_cursor=Cursor(page[-1].distance, page[-1].photo_id, pack_id) if more else None,
    )


def _find(
    request: SearchRequest, selfie: Selfie, choice: PackChoice, pack: ModelPack, lowest: float
) -> tuple[Sequence[FoundPhoto], int] | None:
    """The page and one photo more where there is one, and the number of the pack that found them.

    None when the event has another pack by now. Raises InvalidCursorError for a cursor that
    another pack's page gave.
    """
    with open_snapshot() as session:
        if choose_pack(read_event(session, request.event_id)) != choice:
            return None
        pack_ids = list_pack_ids(session, [pack.identity])
        if has_foreign_faces(session, request.event_id, pack_ids):
            raise SelfieError(NEEDS_SYNC, SelfieCode.NEEDS_SYNC, (selfie.face,))
        if not pack_ids:
            return [], NO_PACK
        pack_id = pack_ids[-1]
        if request.after is not None and request.after.pack_id != pack_id:
            raise InvalidCursorError(MODEL_CHANGED)
        query = FaceQuery(request.event_id, pack_ids, selfie.embedding, lowest)
        photos = find_photos(session, query, after=request.after, limit=request.limit + 1)
    return photos, pack_id


def _build_match(photo: FoundPhoto, event_id: int, surely: float) -> Match:
    signer = get_link_signer()
    original = derive_original_key(photo.s3_key, event_id)
    return Match(
        photo=photo,
        band="surely" if photo.similarity >= surely else "maybe",
        original_url=None if photo.original_missing else signer.sign_download(original),
        preview_url=signer.sign_view(photo.s3_key),
    )
