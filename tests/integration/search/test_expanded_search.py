"""The expanded search on the real database: exact, in one round, the same on every page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from benchmarks.search.reference import Floats, expand, find_best, round_to_halves
from models.errors import InvalidCursorError, SelfieError
from models.findings import BINS
from models.packs import PackChoice
from models.queries.packs import register_pack
from models.queries.search import MOST_SEEDS, Cursor, FaceQuery, FoundPhoto, find_photos, find_seeds
from models.session import open_session
from models.tables import SimilarityHistogram
from models.vocabulary import SelfieFace
from tests.support.event_box import EventBox

DIMENSION = 128  # opencv_zoo's
SEED, LOWEST = 0.5, 0.45


@dataclass(frozen=True)
class Packs:
    """Numbers of the pack that searches, with either look, and of a stranger's."""

    today: int
    former: int
    stranger: int


@pytest.fixture(scope="module")
def packs(joined_stack: dict[str, str]) -> Packs:
    from tasks.faces.cache import get_face_engine

    pack = get_face_engine().pack
    assert pack.figures.expansion is not None
    assert (pack.figures.expansion.seed, pack.figures.search) == (SEED, LOWEST)
    names = (pack.identity, pack.former_identity, "stranger@1")
    with open_session() as session:
        return Packs(*(register_pack(session, name, "none") for name in names))


def make_unit(generator: np.random.Generator, dimension: int = DIMENSION) -> Floats:
    vector = generator.standard_normal(dimension).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def tilt(vector: Floats, similarity: float, generator: np.random.Generator) -> Floats:
    """A unit vector that is so similar to another, in a random direction."""
    other = make_unit(generator, len(vector))
    other -= (other @ vector) * vector
    other /= np.linalg.norm(other)
    return np.asarray(similarity * vector + (1 - similarity**2) ** 0.5 * other, np.float32)


def add_photo(event: EventBox, pack_id: int, *faces: Floats) -> tuple[int, list[int]]:
    """An indexed photo with these faces; its id and theirs."""
    row = {"event": event.id, "pack": pack_id}
    with open_session() as session:
        photo_id = session.execute(
            text(
                "INSERT INTO photo (event_id, s3_key, etag, size, image_url, original_missing,"
                " status, confidence, attempts, change, pack_id, created_at)"
                " VALUES (:event, :prefix || gen_random_uuid(), 'e', 1, 'u', false, 'indexed', 0.9,"
                " 1, 'new', :pack, now()) RETURNING id"
            ),
            row | {"prefix": event.prefix},
        ).scalar_one()
    return photo_id, [add_face(event, pack_id, photo_id, face) for face in faces]


def add_face(event: EventBox, pack_id: int, photo_id: int, vector: Floats) -> int:
    row = {"event": event.id, "pack": pack_id, "photo": photo_id, "vector": str(vector.tolist())}
    with open_session() as session:
        return int(
            session.execute(
                text(
                    "INSERT INTO face (photo_id, event_id, pack_id, x1, y1, x2, y2, confidence,"
                    " embedding) VALUES (:photo, :event, :pack, 0, 0, 1, 1, 0.9,"
                    " CAST(:vector AS halfvec)) RETURNING id"
                ),
                row,
            ).scalar_one()
        )


def execute(statement: str, **values: Any) -> None:
    with open_session() as session:
        session.execute(text(statement), values)


def find(query: FaceQuery) -> Sequence[FoundPhoto]:
    """Both passes, as a guest's first page has them."""
    with open_session() as session:
        query = replace(query, seeds=find_seeds(session, query))
        return find_photos(session, query, after=None, limit=1000)


# --- the same as in numpy ---


@pytest.mark.parametrize("number", range(6))
def test_the_database_finds_what_numpy_finds(event: EventBox, packs: Packs, number: int) -> None:
    generator = np.random.default_rng(number)
    selfie = make_unit(generator)
    faces, photos, ids = [], [], []
    for _ in range(40):
        own = tilt(selfie, generator.uniform(0.2, 0.9), generator)
        others = [make_unit(generator) for _ in range(generator.integers(0, 3))]
        photo_id, face_ids = add_photo(event, packs.today, *others, own)
        faces += [*others, own]
        photos += [photo_id] * len(face_ids)
        ids += face_ids
    vectors, selfie = round_to_halves(np.stack(faces)), round_to_halves(selfie)
    near = find_best(vectors, photos, selfie, SEED)
    assert MOST_SEEDS > len(near[: 18 - number]) > 0
    wanted = expand(selfie, vectors, near)
    best = dict(find_best(vectors, photos, round_to_halves(wanted), -1))

    query = FaceQuery(event.id, [packs.today], selfie, LOWEST, seed_similarity=SEED)
    with open_session() as session:
        seeds = find_seeds(session, query)
    found = find(query)

    assert seeds == tuple(sorted(ids[index] for index, _ in near[:MOST_SEEDS]))
    by_photo = {photos[index]: (index, similarity) for index, similarity in best.items()}
    for photo in found:
        index, similarity = by_photo[photo.photo_id]
        assert photo.similarity == pytest.approx(similarity, abs=1e-3)
        assert photo.selfie_similarity == pytest.approx(vectors[index] @ selfie, abs=1e-3)
    shown = {photo.photo_id for photo in found}
    clearly = {photo for photo, (_, score) in by_photo.items() if score >= LOWEST + 1e-3}
    perhaps = {photo for photo, (_, score) in by_photo.items() if score >= LOWEST - 1e-3}
    assert clearly <= shown <= perhaps
    order = [(-photo.similarity, photo.photo_id) for photo in found]
    assert order == sorted(order)


def test_seeds_are_the_nearest_twenty_one_a_photo(event: EventBox, packs: Packs) -> None:
    generator = np.random.default_rng(1)
    selfie = make_unit(generator)
    similarities = np.linspace(0.9, 0.52, MOST_SEEDS + 5)
    pairs = [
        add_photo(
            event,
            packs.today,
            tilt(selfie, value - 0.01, generator),
            tilt(selfie, value, generator),
        )[1]
        for value in similarities
    ]
    add_photo(event, packs.today, tilt(selfie, 0.49, generator))
    query = FaceQuery(event.id, [packs.today], selfie, LOWEST, seed_similarity=SEED)

    with open_session() as session:
        seeds = find_seeds(session, query)

    assert seeds == tuple(sorted(pair[1] for pair in pairs[:MOST_SEEDS]))


def test_there_is_one_round_and_no_drift(event: EventBox, packs: Packs) -> None:
    """Somebody who resembles a find, and not the guest, is not averaged in as well."""
    generator = np.random.default_rng(2)
    selfie = make_unit(generator)
    near = tilt(selfie, 0.6, generator)
    (mine, (seed,)) = add_photo(event, packs.today, near)
    wanted = expand(selfie, near[None], [(0, 0.6)])
    further = tilt(wanted, 0.6, generator)
    further = further - (further @ selfie - 0.45) * selfie  # a find of the second pass alone
    further /= np.linalg.norm(further)
    found_too, _ = add_photo(event, packs.today, further)
    furthest, _ = add_photo(event, packs.today, tilt(further, 0.9, generator))
    query = FaceQuery(event.id, [packs.today], selfie, 0.0, seed_similarity=SEED)

    with open_session() as session:
        assert find_seeds(session, query) == (seed,)
    similarities = {photo.photo_id: photo.similarity for photo in find(query)}

    assert similarities[mine] > similarities[found_too] > similarities[furthest]
    vectors = np.stack([near, further])
    again = expand(selfie, vectors, [(0, 0.6), (1, float(further @ wanted))])
    assert similarities[found_too] == pytest.approx(float(further @ wanted), abs=2e-3)
    assert similarities[found_too] < float(further @ again) - 0.05


def test_a_guest_in_one_photo_gains_nothing_and_loses_nothing(
    event: EventBox, packs: Packs
) -> None:
    generator = np.random.default_rng(3)
    selfie = make_unit(generator)
    mine, _ = add_photo(event, packs.today, tilt(selfie, 0.55, generator))
    for _ in range(50):
        add_photo(event, packs.today, make_unit(generator), make_unit(generator))
    query = FaceQuery(event.id, [packs.today], selfie, LOWEST)

    with open_session() as session:
        (alone,) = find_photos(session, query, after=None, limit=10)
    (expanded,) = find(replace(query, seed_similarity=SEED))

    assert alone.photo_id == expanded.photo_id == mine
    assert expanded.similarity > alone.similarity == expanded.selfie_similarity


# --- a whole search ---


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, packs: Packs) -> Callable[..., Any]:
    """Search with a vector in the place of a selfie's: ask(event, vector, limit=3)."""
    from tasks import search as searching
    from tasks.faces.selfies import PersonsSelfies

    def search(event: EventBox, selfie: Floats, **request: Any) -> Any:
        face = SelfieFace((0, 0, 1, 1), 0.9)
        selfies = PersonsSelfies((face,), selfie)
        monkeypatch.setattr(searching, "read_selfies", lambda *_: selfies)
        values = {"limit": 500, "choice": PackChoice()} | request
        return searching.search_faces(searching.SearchRequest(event.id, [b""], **values))

    return search


@dataclass
class Party:
    """An event whose guest is in many photos; ids of the photos, the nearest first."""

    event: EventBox
    selfie: Floats
    photos: list[int]
    generator: np.random.Generator


@pytest.fixture
def make_party(event: EventBox) -> Callable[..., Party]:
    """The guest's photos are so similar to the selfie, and have more in common with each other."""

    def make(pack_id: int, similarities: Sequence[float]) -> Party:
        generator = np.random.default_rng(len(similarities))
        selfie = make_unit(generator)
        shared = tilt(selfie, 0, generator)
        photos = []
        for value in similarities:
            own = tilt(shared, 0.6, generator)
            own -= (own @ selfie) * selfie
            own *= (1 - value**2) ** 0.5 / np.linalg.norm(own)
            photos.append(add_photo(event, pack_id, make_unit(generator), value * selfie + own)[0])
        return Party(event, selfie, photos, generator)

    return make


MANY = tuple(np.linspace(0.8, 0.4, 12))


def read_pages(ask: Callable[..., Any], party: Party, after: Cursor | None, **request: Any) -> Any:
    """All matches behind a cursor, page by page."""
    matches = []
    while True:
        page = ask(party.event, party.selfie, after=after, **request)
        matches += page.matches
        after = page.next_cursor
        if after is None:
            return matches


def test_an_answer_tells_both_similarities_and_by_how_many_photos_it_was_expanded(
    ask: Callable[..., Any], make_party: Callable[..., Party], packs: Packs
) -> None:
    party = make_party(packs.today, MANY)

    answer = ask(party.event, party.selfie)

    assert answer.expanded_by == sum(value >= SEED for value in MANY)
    assert (answer.thresholds.lowest, answer.thresholds.surely) == (0.48, 0.52)
    similar = [match.photo.similarity for match in answer.matches]
    assert similar == sorted(similar, reverse=True)
    assert min(similar) >= 0.48
    for match in answer.matches:
        assert match.band == ("surely" if match.photo.similarity >= 0.52 else "maybe")
        value = MANY[party.photos.index(match.photo.photo_id)]
        assert match.photo.selfie_similarity == pytest.approx(value, abs=2e-3)
    # By the selfie alone those below 0.45 were lost.
    assert {match.photo.photo_id for match in answer.matches} == set(party.photos)
    # What a caller asks for is the least score of the list's own order.
    some = ask(party.event, party.selfie, min_similarity=similar[4])
    assert [match.photo.photo_id for match in some.matches] == [
        match.photo.photo_id for match in answer.matches[:5]
    ]


def test_an_event_whose_people_look_alike_shows_less(
    ask: Callable[..., Any], make_party: Callable[..., Party], packs: Packs
) -> None:
    party = make_party(packs.today, [0.49, 0.465, 0.46])
    assert len(ask(party.event, party.selfie).matches) == 3
    counts = [0] * BINS
    counts[110], counts[146] = 10_000, 100  # similarities of 0.10 to 0.11, and of 0.46 to 0.47
    with open_session() as session:
        session.add(
            SimilarityHistogram(event_id=party.event.id, pack_id=packs.today, counts=counts)
        )

    answer = ask(party.event, party.selfie)

    assert answer.thresholds.lowest == 0.47
    assert [match.photo.photo_id for match in answer.matches] == party.photos[:1]
    # Who asks for less gets it.
    assert len(ask(party.event, party.selfie, min_similarity=0.45).matches) == 3


def test_without_a_sure_find_the_selfie_alone_decides(
    ask: Callable[..., Any], make_party: Callable[..., Party], packs: Packs
) -> None:
    party = make_party(packs.today, [0.49, 0.47, 0.46, 0.44])

    answer = ask(party.event, party.selfie, limit=2)
    add_photo(party.event, packs.today, tilt(party.selfie, 0.9, party.generator))
    later = ask(party.event, party.selfie, after=answer.next_cursor)

    assert (answer.expanded_by, answer.thresholds.lowest) == (0, LOWEST)
    assert [match.photo.photo_id for match in answer.matches] == party.photos[:2]
    # The next page goes on as the first began, though there would be a sure find by now.
    assert (later.expanded_by, later.next_cursor) == (0, None)
    assert [match.photo.photo_id for match in later.matches] == party.photos[2:3]


def test_pages_are_those_of_the_first_moment_while_photos_are_stored(
    ask: Callable[..., Any], make_party: Callable[..., Party], packs: Packs
) -> None:
    party = make_party(packs.today, MANY)
    whole = [(m.photo.photo_id, m.photo.distance) for m in ask(party.event, party.selfie).matches]

    first = ask(party.event, party.selfie, limit=4)
    for value in (0.95, 0.9, 0.85, 0.6, 0.55):
        add_photo(party.event, packs.today, tilt(party.selfie, value, party.generator))
    later = read_pages(ask, party, first.next_cursor, limit=3)

    seen = [(m.photo.photo_id, m.photo.distance) for m in (*first.matches, *later)]
    # To the bit: else a photo at the border of two pages is shown twice, or never.
    assert [place for place in seen if place[0] in party.photos] == whole
    assert len({photo_id for photo_id, _ in seen}) == len(seen)
    # The search as it would be by now orders them otherwise.
    again = [m for m in ask(party.event, party.selfie).matches if m.photo.photo_id in party.photos]
    assert [m.photo.distance for m in again] != [distance for _, distance in whole]


def test_pages_stay_while_another_look_is_made_ready_beside_the_photos_own(
    ask: Callable[..., Any], make_party: Callable[..., Party], packs: Packs
) -> None:
    party = make_party(packs.former, MANY)
    whole = [m.photo.photo_id for m in ask(party.event, party.selfie).matches]
    assert set(whole) == set(party.photos)

    first = ask(party.event, party.selfie, limit=4)
    assert first.expanded_by > 4
    for photo_id in whole:
        for value in (0.9, 0.95):
            face = tilt(party.selfie, value, party.generator)
            add_face(party.event, packs.today, photo_id, face)
    later = read_pages(ask, party, first.next_cursor, limit=3)

    # Before the switch: one result a photo, one seed a photo, and by the photo's own face.
    assert [m.photo.photo_id for m in (*first.matches, *later)] == whole
    assert ask(party.event, party.selfie).expanded_by == first.expanded_by


def switch(party: Party, packs: Packs) -> None:
    """Put today's faces in service, as the end of a re-embedding does."""
    execute("UPDATE photo SET pack_id = :pack WHERE event_id = :event", pack=packs.today,
            event=party.event.id)  # fmt: skip
    execute("DELETE FROM face WHERE event_id = :event AND pack_id <> :pack", pack=packs.today,
            event=party.event.id)  # fmt: skip


def copy_faces(party: Party, packs: Packs) -> None:
    execute(
        "INSERT INTO face (photo_id, event_id, pack_id, x1, y1, x2, y2, confidence, embedding)"
        " SELECT photo_id, event_id, :pack, x1, y1, x2, y2, confidence, embedding FROM face"
        " WHERE event_id = :event",
        pack=packs.today,
        event=party.event.id,
    )


def test_a_switch_to_a_comparable_look_breaks_pages_only_where_a_seed_is_gone(
    ask: Callable[..., Any],
    make_party: Callable[..., Party],
    packs: Packs,
) -> None:
    party = make_party(packs.former, [0.49, 0.48, 0.47, 0.46])
    unexpanded = ask(party.event, party.selfie, limit=2)
    sure, _ = add_photo(party.event, packs.former, tilt(party.selfie, 0.8, party.generator))
    expanded = ask(party.event, party.selfie, limit=1, min_similarity=0.2)
    assert (expanded.expanded_by, expanded.next_cursor.seeds[1:]) == (1, ())
    copy_faces(party, packs)
    switch(party, packs)

    later = ask(party.event, party.selfie, after=unexpanded.next_cursor)
    assert [m.photo.photo_id for m in later.matches] == party.photos[2:]
    with pytest.raises(InvalidCursorError, match="ask for the first page again"):
        ask(party.event, party.selfie, after=expanded.next_cursor)
    assert ask(party.event, party.selfie).matches[0].photo.photo_id == sure


def test_an_event_found_by_the_former_look_stays_searchable_photo_by_photo(
    ask: Callable[..., Any], make_party: Callable[..., Party], packs: Packs
) -> None:
    party = make_party(packs.former, MANY)
    execute(
        "WITH renewed AS (UPDATE photo SET pack_id = :pack WHERE id = ANY(:photos) RETURNING id)"
        " UPDATE face SET pack_id = :pack FROM renewed WHERE photo_id = renewed.id",
        pack=packs.today,
        photos=party.photos[::2],
    )

    found = [m.photo.photo_id for m in ask(party.event, party.selfie).matches]

    assert sorted(found) == sorted(party.photos)
    add_photo(party.event, packs.stranger, make_unit(party.generator, 512))
    with pytest.raises(SelfieError, match="sync the event again"):
        ask(party.event, party.selfie)


@pytest.mark.parametrize("change", ["erased", "replaced"])
def test_a_page_whose_seed_is_gone_asks_for_the_first_one_again(
    ask: Callable[..., Any], make_party: Callable[..., Party], packs: Packs, change: str
) -> None:
    party = make_party(packs.today, MANY)
    first = ask(party.event, party.selfie, limit=4)
    photo_id = party.photos[0]
    execute("DELETE FROM face WHERE photo_id = :photo", photo=photo_id)
    if change == "replaced":
        add_face(party.event, packs.today, photo_id, tilt(party.selfie, 0.8, party.generator))

    with pytest.raises(InvalidCursorError, match="ask for the first page again"):
        ask(party.event, party.selfie, after=first.next_cursor)

    assert len(ask(party.event, party.selfie).matches) >= len(MANY) - 1


def test_photos_that_no_seed_is_of_may_be_erased_between_pages(
    ask: Callable[..., Any], make_party: Callable[..., Party], packs: Packs
) -> None:
    party = make_party(packs.today, MANY)
    first = ask(party.event, party.selfie, limit=4)
    whole = [m.photo.photo_id for m in ask(party.event, party.selfie).matches]
    erased = party.photos[-1]
    assert MANY[-1] < SEED
    execute("DELETE FROM face WHERE photo_id = :photo", photo=erased)

    later = read_pages(ask, party, first.next_cursor, limit=3)

    seen = [m.photo.photo_id for m in (*first.matches, *later)]
    assert seen == [photo_id for photo_id in whole if photo_id != erased]


def test_a_cursor_does_not_search_by_faces_that_are_not_like_the_selfie(
    ask: Callable[..., Any],
    make_party: Callable[..., Party],
    make_event: Callable[..., EventBox],
    packs: Packs,
) -> None:
    party = make_party(packs.today, MANY)
    cursor = ask(party.event, party.selfie, limit=4).next_cursor
    stranger = make_unit(party.generator)
    (_, (his,)) = add_photo(party.event, packs.today, stranger)
    (_, (not_quite,)) = add_photo(
        party.event, packs.today, tilt(party.selfie, 0.49, party.generator)
    )
    elsewhere = make_event()
    (_, (foreign,)) = add_photo(elsewhere, packs.today, tilt(party.selfie, 0.9, party.generator))
    (_, (other_pack,)) = add_photo(elsewhere, packs.stranger, make_unit(party.generator, 512))
    beside = add_face(party.event, packs.stranger, party.photos[0], make_unit(party.generator, 512))

    for seed in (his, not_quite, foreign, other_pack, beside, 2**62):
        forged = replace(cursor, seeds=tuple(sorted((*cursor.seeds, seed))))
        for seeds in (forged.seeds, (seed,)):
            with pytest.raises(InvalidCursorError, match="ask for the first page again"):
                ask(party.event, party.selfie, after=replace(forged, seeds=seeds))
    # A cursor of one guest with the selfie of another.
    with pytest.raises(InvalidCursorError, match="ask for the first page again"):
        ask(party.event, stranger, after=cursor)
    assert ask(party.event, party.selfie, after=cursor).matches


def test_a_cursor_of_a_pack_that_cannot_be_compared_is_refused(
    ask: Callable[..., Any], make_party: Callable[..., Party], packs: Packs
) -> None:
    party = make_party(packs.today, MANY)
    cursor = ask(party.event, party.selfie, limit=4).next_cursor
    assert cursor.pack_id == max(packs.today, packs.former)
    assert ask(party.event, party.selfie, after=replace(cursor, pack_id=packs.former)).matches
    with pytest.raises(InvalidCursorError, match="model was changed"):
        ask(party.event, party.selfie, after=replace(cursor, pack_id=packs.stranger))
