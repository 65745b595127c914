"""The search for a guest: it takes selfies and returns the event's photos of that person.

A person whose vector an earlier search has read is searched for without selfies and without the
face engine. What guests say of photos widens and narrows their own search, and is kept nowhere.

It reads the event's faces twice, exactly: first those nearest to the selfie, then those nearest to
the mean of the selfie and its surest finds (query expansion). The similarity thresholds are the
model pack's own (tasks/packs/figures.py). The API imports this module only at the first search,
because it loads the face engine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlmodel import Session

from models.errors import InvalidCursorError, SelfieError
from models.findings import FalseRate, raise_threshold
from models.packs import PackChoice, choose_pack
from models.queries.events import read_event
from models.queries.packs import list_pack_ids, read_false_rate
from models.queries.photos import EventClock, GalleryPhoto, PageCursor, list_gallery_photos
from models.queries.search import (
    MOST_SEEDS,
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
from models.vocabulary import SelfieCode, SelfieFace, Visibility
from tasks.faces.cache import find_pack, get_face_engine
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


SELFIE_NEEDED = "This event's model was changed since that search: search with the selfie again."


@dataclass(frozen=True)
class KnownPerson:
    """A person as an earlier search has read their selfies, by the pack of this identity."""

    pack: str
    selfies: PersonsSelfies


@dataclass(frozen=True)
class SearchRequest:
    """Selfies of one person, or the person as they were read before, and the pack to search by.

    faces: for each selfie which of its faces, 0 the largest; empty where the largest are meant.
    me, not_me: ids of photos that the guest says show them, or do not. guest: a guest asks, who
    is shown nothing below the pack's own threshold where guests see only their own photos.
    """

    event_id: int
    selfies: Sequence[bytes]
    limit: int
    choice: PackChoice
    after: Cursor | None = None
    min_similarity: float | None = None
    faces: Sequence[int | None] = ()
    person: KnownPerson | None = None
    me: Sequence[int] = ()
    not_me: Sequence[int] = ()
    guest: bool = False


@dataclass(frozen=True)
class Thresholds:
    """The least similarity that is shown, and the least that is told as certain."""

    lowest: float
    surely: float


@dataclass(frozen=True)
class Match:
    """A photo of the person, with links for a short time; `surely` or `maybe` in `band`."""

    photo: FoundPhoto
    shown: GalleryPhoto  # as the gallery shows it
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
    person: KnownPerson
    thresholds: Thresholds
    expanded_by: int
    next_cursor: Cursor | None

    @property
    def faces(self) -> tuple[SelfieFace, ...]:
        """The face of each selfie."""
        return self.person.selfies.faces


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
    selfies, pack = _read_person(request, choice)
    found = _find(request, selfies, choice, pack)
    if found is None:
        return None
    photos, shown, thresholds, place = found
    page = photos[: request.limit]
    more = len(photos) > request.limit
    surely = thresholds.surely
    return SearchResult(
        matches=[
            _build_match(photo, shown[photo.photo_id], surely, is_sure=photo.photo_id in request.me)
            for photo in page
        ],
        person=KnownPerson(_name_vectors(pack), selfies),
        thresholds=thresholds,
        expanded_by=len(place.seeds),
        next_cursor=replace(place, distance=page[-1].distance, photo_id=page[-1].photo_id)
        if more
        else None,
    )


def _read_person(request: SearchRequest, choice: PackChoice) -> tuple[PersonsSelfies, ModelPack]:
    """The person's vector, read by the event's pack, and that pack. Raises SelfieError."""
    if request.person is not None:
        pack = find_pack(choice.model_pack, choice.det_size)
        if request.person.pack != _name_vectors(pack):
            raise SelfieError(SELFIE_NEEDED, SelfieCode.SELFIE_NEEDED)
        return request.person.selfies, pack
    settings = get_settings()
    engine = get_face_engine(choice.model_pack)
    pack = engine.pack
    if choice.det_size != USUAL_DET_SIZE:
        pack = resolve_pack(settings, choice.model_pack, choice.det_size)
    return read_selfies(request.selfies, engine, settings.max_pixels, request.faces), pack


def _name_vectors(pack: ModelPack) -> str:
    """The pack with whose vectors a selfie's is comparable, whatever size it looks at photos in."""
    return replace(pack, det_size=USUAL_DET_SIZE).identity


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
) -> tuple[Sequence[FoundPhoto], dict[int, GalleryPhoto], Thresholds, Cursor] | None:
    """The page and one photo more where there is one, with the photos as the gallery shows them.

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
        query = FaceQuery(
            request.event_id,
            pack_ids,
            selfies.embedding,
            min_similarity=1.0,
            not_photos=request.not_me,
        )
        rate = read_false_rate(session, request.event_id, pack_ids)
        is_own = event.visibility == Visibility.OWN
        if expansion is not None:
            # Where guests see their own photos only, none may be brought in by a word of theirs.
            told = () if is_own else request.me
            least = choose_thresholds(pack.figures, rate, expanded=False).lowest
            query = _choose_seeds(session, query, expansion.seed, told, least, after)
        thresholds = choose_thresholds(pack.figures, rate, expanded=bool(query.seeds))
        if request.min_similarity is not None:
            least = thresholds.lowest if is_own and request.guest else 0.0
            thresholds = replace(thresholds, lowest=max(request.min_similarity, least))
        query = replace(query, min_similarity=thresholds.lowest)
        photos = find_photos(session, query, after=after, limit=request.limit + 1)
        shown = list_gallery_photos(
            session,
            request.event_id,
            after=PageCursor(EventClock.from_row(event)),
            limit=len(photos),
            photo_ids=[photo.photo_id for photo in photos],
        )
    newest = max(pack_ids, default=NO_PACK)
    by_id = {photo.id: photo for photo in shown}
    return photos, by_id, thresholds, Cursor(0.0, 0, newest, tuple(query.seeds))


def _choose_seeds(
    session: Session,
    query: FaceQuery,
    surely: float,
    told: Sequence[int],
    least: float,
    after: Cursor | None,
) -> FaceQuery:
    """The query with its seeds: those of the page before, or the faces that are surely the guest's.

    With the nearest faces of the photos `told`, which have to be `least` similar to the selfie.
    """
    bar = min(surely, least) if told else surely
    query = replace(query, seed_similarity=bar)
    if after is not None:
        return replace(query, seeds=after.seeds)
    own = find_seeds(session, query, photos=told) if told else ()
    sure = find_seeds(session, replace(query, seed_similarity=surely), limit=MOST_SEEDS - len(own))
    return replace(query, seeds=tuple(sorted({*own, *sure})))


def _build_match(photo: FoundPhoto, shown: GalleryPhoto, surely: float, *, is_sure: bool) -> Match:
    signer = get_link_signer()
    return Match(
        photo=photo,
        shown=shown,
        band="surely" if is_sure or photo.similarity >= surely else "maybe",
        original_url=None if photo.original_missing else signer.sign_download(photo.original_key),
        preview_url=signer.sign_view(photo.s3_key),
        taken_at=shown.taken_at,
    )
