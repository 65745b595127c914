"""Queries for model packs: their numbers, and the similarities of an event's people by each.

Each face row stores a small number instead of the pack's long identity (name@hash). A histogram
of similarities is measured anew from the faces whenever they have changed: of 30,000 faces in a
quarter of a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from models.findings import BINS, FalseRate
from models.tables import Event, Pack, SimilarityHistogram


def find_pack_id(session: Session, identity: str) -> int | None:
    """A pack's number; None where it has made no vector yet."""
    return session.exec(select(Pack.id).where(Pack.identity == identity)).one_or_none()


def list_pack_ids(session: Session, identities: Sequence[str]) -> list[int]:
    """The numbers of those packs that have made vectors."""
    found = session.exec(select(Pack.id).where(col(Pack.identity).in_(identities)))
    return sorted(number for number in found if number is not None)


def register_pack(session: Session, identity: str, licence: str) -> int:
    """The number of a pack, given on its first use; `identity` is name@hash of its files."""
    known = find_pack_id(session, identity)
    if known is None:
        next_id = text("nextval('pack_id_seq')")
        session.execute(
            insert(Pack)
            .values(id=next_id, identity=identity, licence=licence)
            .on_conflict_do_nothing(index_elements=[col(Pack.identity)])
        )
        known = find_pack_id(session, identity)
    if known is None:
        raise RuntimeError("A pack was registered without a number.")
    return known


@dataclass(frozen=True)
class Similarities:
    """Histograms of an event, by pack: what its faces were under this `result_key`."""

    result_key: UUID
    counts: dict[int, list[int]]


# Faces in service alone: no photo's that is gone or waits, none that a re-embedding makes ready.
_COUNT_PAIRS = text(f"""
SELECT pack_id, bin, count(*) AS pairs FROM (
    SELECT a.pack_id, width_bucket(-(a.embedding <#> b.embedding), -1, 1, {BINS}) AS bin
    FROM face AS a
    JOIN photo ON photo.id = a.photo_id AND photo.pack_id = a.pack_id AND photo.status = 'indexed'
    JOIN face AS b ON b.photo_id = a.photo_id AND b.pack_id = a.pack_id AND b.id > a.id
    WHERE a.event_id = :event_id
) AS pair GROUP BY pack_id, bin
""")  # noqa: S608 (a number)


def measure_similarities(session: Session, event_id: int) -> Similarities:
    """Count the similarities of all pairs of faces that share a photo; nothing is locked."""
    key = session.exec(select(Event.result_key).where(Event.id == event_id)).one()
    measured = Similarities(key, {})
    for pack_id, bin_, pairs in session.execute(_COUNT_PAIRS, {"event_id": event_id}):
        counts = measured.counts.setdefault(pack_id, [0] * BINS)
        # Halves of vectors may multiply to a little more than 1.
        counts[min(max(bin_, 1), BINS) - 1] += pairs
    return measured


def keep_similarities(session: Session, event: Event, measured: Similarities | None = None) -> None:
    """Write an event's histograms; the caller holds the event's row.

    What was measured before an erasure (each draws a new `result_key`) is measured again.
    """
    event_id = event.id or 0
    if measured is None or measured.result_key != event.result_key:
        session.flush()
        measured = measure_similarities(session, event_id)
    forget_similarities(session, event_id)
    session.add_all(
        SimilarityHistogram(event_id=event_id, pack_id=pack_id, counts=counts)
        for pack_id, counts in measured.counts.items()
    )
    session.flush()


def forget_similarities(session: Session, event_id: int) -> None:
    """Erase an event's histograms."""
    of_event = col(SimilarityHistogram.event_id) == event_id
    session.execute(delete(SimilarityHistogram).where(of_event))


def read_false_rate(
    session: Session, event_id: int, pack_ids: Sequence[int] | None = None
) -> FalseRate | None:
    """The false rate by packs whose vectors are comparable, taken together.

    None where there are too few pairs. Without `pack_ids` it is that of the pack with most pairs.
    """
    query = select(SimilarityHistogram.counts).where(SimilarityHistogram.event_id == event_id)
    if pack_ids is not None:
        query = query.where(col(SimilarityHistogram.pack_id).in_(pack_ids))
    found = session.exec(query).all()
    if pack_ids is None:
        found = [max(found, key=sum, default=[])]
    return FalseRate.from_counts([sum(bin_) for bin_ in zip(*found, strict=True)])
