"""An event's histogram of similarities: exactly its faces in service, whatever changes them."""

from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from sqlmodel import select

from models.findings import BINS
from models.queries.packs import (
    keep_similarities,
    measure_similarities,
    read_false_rate,
    register_pack,
)
from models.session import open_session
from models.tables import Event, SimilarityHistogram
from models.vocabulary import PhotoStatus
from tests.support.event_box import EventBox
from tests.support.photos import encode_jpeg, read_group, read_sample, vary

DIMENSION = 8


@pytest.fixture
def packs(joined_stack: dict[str, str]) -> list[int]:
    """Two packs of these tests' own."""
    with open_session() as session:
        return [register_pack(session, f"alike@{number}", "MIT") for number in (1, 2)]


def add_photo(
    event: EventBox,
    name: str,
    faces: dict[int, int],
    pack_id: int,
    status: PhotoStatus = PhotoStatus.INDEXED,
) -> list[np.ndarray[Any, Any]]:
    """A photo of a pack with random faces, so many by pack; those of its own pack."""
    (photo,) = event.query(
        "INSERT INTO photo (event_id, s3_key, etag, size, image_url, original_missing, status,"
        " confidence, attempts, change, pack_id, created_at) VALUES (:event,"
        f" '{event.prefix}{name}', 'e', 1, 'u', false, '{status}', 0.9, 1, 'new',"
        f" {pack_id}, now()) RETURNING id"
    )
    rng = np.random.default_rng(photo.id)
    own = []
    for pack, count in faces.items():
        # Of short numbers, so that halves hold them exactly.
        vectors = np.round(rng.normal(size=(count, DIMENSION)) * 2) / 8
        values = ", ".join(
            f"({photo.id}, :event, {pack}, 0, 0, 1, 1, 0.9, '{vector.tolist()}')"
            for vector in vectors
        )
        event.query(
            "INSERT INTO face (photo_id, event_id, pack_id, x1, y1, x2, y2, confidence, embedding)"
            f" VALUES {values} RETURNING id"
        )
        own += [vector for vector in vectors if pack == pack_id]
    return own


def count_pairs(photos: list[list[np.ndarray[Any, Any]]]) -> list[int]:
    """The histogram of all pairs within each photo, the plain way."""
    counts = [0] * BINS
    for faces in photos:
        for i, face in enumerate(faces):
            for other in faces[:i]:
                bin_ = int(np.floor((float(face @ other) + 1) * BINS / 2))
                counts[min(max(bin_, 0), BINS - 1)] += 1
    return counts


def read_histograms(event: EventBox) -> dict[int, list[int]]:
    """What is stored, by pack."""
    with open_session() as session:
        query = select(SimilarityHistogram).where(SimilarityHistogram.event_id == event.id)
        return {row.pack_id: row.counts for row in session.exec(query)}


def keep(event: EventBox) -> dict[int, list[int]]:
    """Measure anew; what is stored then."""
    with open_session() as session:
        keep_similarities(session, session.get_one(Event, event.id))
    return read_histograms(event)


def count_stored(event: EventBox) -> dict[int, int]:
    """Pairs by pack, as stored."""
    return {pack_id: sum(counts) for pack_id, counts in read_histograms(event).items()}


def test_all_pairs_of_faces_in_service_that_share_a_photo_are_counted_and_no_others(
    make_event: Callable[..., EventBox], packs: list[int]
) -> None:
    event, other = make_event(), make_event()
    one, two = packs
    add_photo(other, "a.jpg", {one: 9}, one)
    shown = [
        add_photo(event, "a.jpg", {one: 40}, one),
        # The second pack's are made ready beside those in service.
        add_photo(event, "b.jpg", {one: 5, two: 6}, one),
        add_photo(event, "c.jpg", {one: 1}, one),
    ]
    later = [add_photo(event, "d.jpg", {one: 3, two: 7}, two)]
    for status in set(PhotoStatus) - {PhotoStatus.INDEXED}:
        add_photo(event, f"{status}.jpg", {one: 4}, one, status)

    assert keep(event) == {one: count_pairs(shown), two: count_pairs(later)}

    event.query("DELETE FROM photo WHERE event_id = :event AND pack_id = 0 RETURNING id")
    event.query(f"DELETE FROM face WHERE event_id = :event AND pack_id = {two} RETURNING id")
    assert keep(event) == {one: count_pairs(shown)}
    assert read_histograms(other) == {}


def test_the_rate_is_of_comparable_packs_together(event: EventBox, packs: list[int]) -> None:
    one, two = packs
    add_photo(event, "a.jpg", {one: 60}, one)  # 1770 pairs
    add_photo(event, "b.jpg", {two: 70}, two)  # 2415
    keep(event)
    with open_session() as session:
        assert [read_false_rate(session, event.id, [pack]) for pack in packs] == [None, None]
        assert read_false_rate(session, event.id, []) is None
        assert read_false_rate(session, event.id) is None  # of the one with more
        rate = read_false_rate(session, event.id, packs)
    assert rate is not None
    assert 3000 < rate.pairs <= 1770 + 2415


def test_a_syncs_end_an_erasure_and_a_replaced_photo_leave_exactly_what_is_there(
    event: EventBox, joined_stack: dict[str, str]
) -> None:
    address = f"{joined_stack['FACEPASS_API_URL']}/api/v1/events/{event.uuid}"
    with httpx.Client(trust_env=False, timeout=60) as api:
        event.put("group.jpg", encode_jpeg(read_group()))
        event.put("again.jpg", vary(read_group(), 1))
        event.put("alone.jpg", encode_jpeg(read_sample("astronaut.png")))
        result = event.sync().result
        assert (result["lying_previews"], result["false_rate"]) == (0, None)
        (pack_id,) = count_stored(event)
        assert count_stored(event) == {pack_id: 30}
        assert keep(event) == read_histograms(event)
        photo_id = event.photos()["again.jpg"].id
        api.delete(f"{address}/photos/{photo_id}").raise_for_status()
        assert count_stored(event) == {pack_id: 15}
        api.post(f"{address}/photos/{photo_id}/restore").raise_for_status()
        event.sync()
        assert count_stored(event) == {pack_id: 30}
        event.put("again.jpg", vary(read_sample("astronaut.png"), 2))
        event.sync()
        assert count_stored(event) == {pack_id: 15}
        event.remove("group.jpg")
        event.sync()
        assert count_stored(event) == {}
        event.put("group.jpg", encode_jpeg(read_group()))
        event.sync()  # it is back, and nothing is read
        assert count_stored(event) == {pack_id: 15}
        api.delete(f"{address}/faces").raise_for_status()
        assert count_stored(event) == {}


def test_an_erasure_between_the_measuring_and_the_end_of_a_sync_is_not_overwritten(
    event: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.results.erasure import erase_photo_faces
    from tasks.sync import plan

    event.put("group.jpg", encode_jpeg(read_group()))
    event.put("again.jpg", vary(read_group(), 1))

    def measure(*args: Any) -> Any:
        measured = measure_similarities(*args)
        if event.face_counts()["again.jpg"]:
            erase_photo_faces(event.id, event.photos()["again.jpg"].id)
        return measured

    monkeypatch.setattr(plan, "measure_similarities", measure)
    event.sync()
    assert list(count_stored(event).values()) == [15]


def test_the_syncs_result_the_events_page_and_a_reembedding_tell_the_rate(
    event: EventBox, joined_stack: dict[str, str]
) -> None:
    from flows.reembed_event import reembed_event

    event.put("day1/group.jpg", encode_jpeg(read_group()))
    event.sync()
    (pack_id,) = count_stored(event)
    add_photo(event, "day2/crowd.jpg", {pack_id: 80}, pack_id)
    event.query(  # as long as the others'
        "UPDATE face SET embedding = (embedding::vector || array_fill(0, ARRAY[120])::vector)"
        " FROM photo WHERE photo.id = photo_id AND photo.event_id = :event AND status = 'indexed'"
        f" AND vector_dims(embedding) = {DIMENSION} RETURNING photo.id"
    )
    rate = event.sync(f"{event.prefix}day1/").result["false_rate"]
    assert rate["pairs"] > 3000
    assert 0 < rate["per_thousand_above"] <= 0.8
    url = f"{joined_stack['FACEPASS_API_URL']}/api/v1/events/{event.uuid}"
    assert httpx.get(url, trust_env=False).json()["false_rate"] == rate
    state = reembed_event(event.id, return_state=True)
    assert state.result()["false_rate"] == rate
