"""The search for a guest: it takes selfies and returns the event's photos of that person.

It reads the event's faces twice, exactly: first those nearest to the selfie, then those nearest to
the mean of the selfie and its surest finds (query expansion). The similarity thresholds are the
model pack's own (tasks/packs/figures.py). The API imports this module only at the first search,
because it loads the face engine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from models.errors import InvalidCursorError, SelfieError
from models.findings import FalseRate, raise_threshold
from models.packs import PackChoice, choose_pack
from models.queries.events import read_event
from models.queries.packs import list_pack_ids, read_false_rate
from models.queries.photos import EventClock, read_moments
from models.queries.search import (
    NO_PACK,
    Cursor,
    FaceQuery,
    FoundPhoto,
    find_photos,
    find_seeds,
    has_foreign_faces,
)
from models.session import open_session, open_snapshot
from models.settings import get_settings
from models.vocabulary import SelfieCode, SelfieFace
from tasks.faces.cache import get_face_engine
from tasks.faces.selfies import PersonsSelfies, read_selfies
from tasks.packs.figures import PackFigures
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
    """Selfies of one person and the pack to search by.

    faces: for each selfie which of its faces, 0 the largest; empty where the largest are meant.
    """

    event_id: int
    selfies: Sequence[bytes]
    limit: int
    choice: PackChoice
    after: Cursor | None = None
    min_similarity: float | None = None
    faces: Sequence[int | None] = ()


@dataclass(frozen=True)
class Thresholds:
    """The least similarity that is shown, and the least that is told as certain."""

    lowest: float
    surely: float


@dataclass(frozen=True)
class Match:
    """A photo of the person, with links for a short time; `surely` or `maybe` in `band`."""

    photo: FoundPhoto
    band: str
    original_url: str | None
    preview_url: str
    taken_at: datetime | None  # on the event's clock


@dataclass(frozen=True)
class SearchResult:
    """Matches, best first, with the selfies' faces and the thresholds they were measured by.

    expanded_by: photos whose faces were averaged with the selfie's; 0: none was sure enough.
    """

    matches: list[Match]
    faces: tuple[SelfieFace, ...]
    thresholds: Thresholds
    expanded_by: int
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
    selfies = read_selfies(request.selfies, engine, settings.max_pixels, request.faces)
    found = _find(request, selfies, choice, pack)
    if found is None:
        return None
    photos, moments, thresholds, place = found
    page = photos[: request.limit]
    more = len(photos) > request.limit
    surely = thresholds.surely
    return SearchResult(
        matches=[_build_match(photo, surely, moments[photo.photo_id]) for photo in page],
        faces=selfies.faces,
        thresholds=thresholds,
        expanded_by=len(place.seeds),
        next_cursor=replace(place, distance=page[-1].distance, photo_id=page[-1].photo_id)
        if more
        else None,
    )


def choose_thresholds(
    figures: PackFigures, rate: FalseRate | None, *, expanded: bool
) -> Thresholds:
    """The pack's thresholds for a search; one by an averaged vector has its own.

    rate: the event's; where more strangers look alike in it, the lowest is raised, up to `surely`.
    """
    own = figures.expansion if expanded and figures.expansion is not None else figures
    return Thresholds(raise_threshold(own.search, own.surely, rate), own.surely)


def _find(
    request: SearchRequest, selfies: PersonsSelfies, choice: PackChoice, pack: ModelPack
) -> tuple[Sequence[FoundPhoto], dict[int, datetime | None], Thresholds, Cursor] | None:
    """The page and one photo more where there is one, with the moments at which they were taken.

    The cursor has the page's packs and its seeds.

    None when the event has another pack by now. Raises InvalidCursorError for a cursor that
    another pack's page gave, or one whose seeds have changed.
    """
    expansion, after = pack.figures.expansion, request.after
    with open_snapshot() as session:
        event = read_event(session, request.event_id)
        if choose_pack(event) != choice:
            return None
        pack_ids = list_pack_ids(session, [pack.identity, pack.former_identity])
        if has_foreign_faces(session, request.event_id, pack_ids):
            raise SelfieError(NEEDS_SYNC, SelfieCode.NEEDS_SYNC, selfies.faces[:1])
        # Either look's cursor will do: their vectors are comparable, and so are its distances.
        if after and (after.pack_id not in pack_ids or (after.seeds and expansion is None)):
            raise InvalidCursorError(MODEL_CHANGED)
        query = FaceQuery(request.event_id, pack_ids, selfies.embedding, min_similarity=1.0)
        if expansion is not None:
            query = replace(query, seed_similarity=expansion.seed)
            query = replace(query, seeds=after.seeds if after else find_seeds(session, query))
        rate = read_false_rate(session, request.event_id, pack_ids)
        thresholds = choose_thresholds(pack.figures, rate, expanded=bool(query.seeds))
        if request.min_similarity is not None:
            thresholds = replace(thresholds, lowest=request.min_similarity)
        query = replace(query, min_similarity=thresholds.lowest)
        photos = find_photos(session, query, after=after, limit=request.limit + 1)
        photo_ids = [photo.photo_id for photo in photos]
        clock = EventClock.from_row(event)
        moments = read_moments(session, request.event_id, photo_ids, clock)
    newest = max(pack_ids, default=NO_PACK)
    return photos, moments, thresholds, Cursor(0.0, 0, newest, tuple(query.seeds))


def _build_match(photo: FoundPhoto, surely: float, taken_at: datetime | None) -> Match:
    signer = get_link_signer()
    return Match(
        photo=photo,
        band="surely" if photo.similarity >= surely else "maybe",
        original_url=None if photo.original_missing else signer.sign_download(photo.original_key),
        preview_url=signer.sign_view(photo.s3_key),
        taken_at=taken_at,
    )
