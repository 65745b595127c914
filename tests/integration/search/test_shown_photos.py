"""The queries of a search and of a gallery: which photos guests see, each once, of one event."""

from collections.abc import Callable

import numpy as np
import pytest

from models.queries.packs import register_pack
from models.queries.photos import PageCursor, count_gallery_photos, list_gallery_photos
from models.queries.search import Cursor, FaceQuery, find_photos
from models.session import open_session
from models.vocabulary import PhotoStatus
from tests.support.event_box import EventBox

READ = {PhotoStatus.INDEXED, PhotoStatus.NO_FACE}


@pytest.fixture
def pack_id(joined_stack: dict[str, str]) -> int:
    """A pack of these tests' own."""
    with open_session() as session:
        return register_pack(session, "shown@1", "MIT")


@pytest.fixture
def events(make_event: Callable[..., EventBox], pack_id: int) -> tuple[EventBox, EventBox]:
    """Two events with a photo of each status, and a face of the same person in each."""
    mine, other = make_event(), make_event()
    for event in (mine, other):
        for status in PhotoStatus:
            event.query(
                "INSERT INTO photo (event_id, s3_key, etag, size, image_url, original_missing,"
                " status, confidence, attempts, change, pack_id, created_at) VALUES (:event,"
                f" '{event.prefix}{status}.jpg', 'e', 1, 'u', false, '{status}', 0.9, 1, 'new',"
                f" {pack_id}, now()) RETURNING id"
            )
        event.query(
            "INSERT INTO face (photo_id, event_id, pack_id, x1, y1, x2, y2, confidence, embedding)"
            f" SELECT id, event_id, {pack_id}, 0, 0, 1, 1, 0.9, '[1,0]' FROM photo"
            " WHERE event_id = :event RETURNING id"
        )
    return mine, other


def test_a_gallery_shows_the_read_photos_of_its_own_event_alone(
    events: tuple[EventBox, EventBox],
) -> None:
    mine, _ = events
    ids = [row.id for event in events for row in event.photos().values()]
    with open_session() as session:
        listed = list_gallery_photos(session, mine.id, after=PageCursor(), limit=100)
        found = list_gallery_photos(session, mine.id, after=PageCursor(), limit=100, photo_ids=ids)
        count = count_gallery_photos(session, mine.id)
    shown = {f"{mine.prefix}{status}.jpg" for status in READ}
    assert {photo.s3_key for photo in listed} == {photo.s3_key for photo in found} == shown
    assert count == len(listed) == len(READ)


def test_a_gallerys_next_page_is_behind_a_photo_of_its_own(
    events: tuple[EventBox, EventBox],
) -> None:
    mine, other = events
    with open_session() as session:
        first, second = list_gallery_photos(session, mine.id, after=PageCursor(), limit=100)
        behind = PageCursor(photo_id=first.id)
        assert list_gallery_photos(session, mine.id, after=behind, limit=100) == [second]
        (foreign, *_) = list_gallery_photos(session, other.id, after=PageCursor(), limit=1)
        behind = PageCursor(photo_id=foreign.id)
        assert list_gallery_photos(session, mine.id, after=behind, limit=100) == []


def test_a_search_shows_the_indexed_photos_of_its_own_event_alone(
    events: tuple[EventBox, EventBox], pack_id: int
) -> None:
    mine, _ = events
    query = FaceQuery(mine.id, [pack_id], np.array([1, 0], np.float32), 0.5)
    with open_session() as session:
        found = find_photos(session, query, after=None, limit=100)
    assert [photo.s3_key for photo in found] == [f"{mine.prefix}indexed.jpg"]


def test_a_searchs_pages_repeat_no_photo_also_of_those_that_are_equally_near(
    event: EventBox, pack_id: int
) -> None:
    event.query(
        "INSERT INTO photo (event_id, s3_key, etag, size, image_url, original_missing, status,"
        " confidence, attempts, change, pack_id, created_at) SELECT :event,"
        f" '{event.prefix}' || number || '.jpg', 'e', 1, 'u', false, 'indexed', 0.9, 1, 'new',"
        f" {pack_id}, now() FROM generate_series(1, 7) AS number RETURNING id"
    )
    event.query(
        "INSERT INTO face (photo_id, event_id, pack_id, x1, y1, x2, y2, confidence, embedding)"
        f" SELECT id, event_id, {pack_id}, 0, 0, 1, 1, 0.9, '[1,0]' FROM photo,"
        " generate_series(1, 2) WHERE event_id = :event RETURNING id"
    )
    query = FaceQuery(event.id, [pack_id], np.array([1, 0], np.float32), 0.5)
    seen: list[int] = []
    after = None
    with open_session() as session:
        while page := find_photos(session, query, after=after, limit=2):
            seen += [photo.photo_id for photo in page]
            assert len(seen) <= 7
            after = Cursor(page[-1].distance, page[-1].photo_id, pack_id)
    assert len(seen) == len(set(seen)) == 7
