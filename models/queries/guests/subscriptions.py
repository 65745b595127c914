"""Queries for guests' subscriptions: addresses, vectors, and the photos that guests were told of.

It is the one place where a guest's face is kept. Vectors and addresses travel by COPY, and an
address is compared by its digest: no text of a statement, which PostgreSQL may log, holds them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import numpy.typing as npt
from psycopg2.errors import LockNotAvailable
from sqlalchemy import Result, delete, exists, func, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from models.copying import copy_into, encode_rows, encode_values, encode_vector
from models.errors import TooBusyError
from models.queries.webhooks import add_guest_delivery, delete_guest_deliveries
from models.tables import Event, Pack, Photo, Subscription, ToldPhoto, utc_now
from models.vocabulary import SubscriptionChannel

CONFIRM_WITHIN = timedelta(days=2)  # an address that has not answered by then is forgotten
MOST_PENDING = 3  # unanswered questions to one address, of all events together
NOTICE_LOCK_CLASS = 0x46_4E  # "FN": first half of the advisory lock's key
_TURN_S = 25  # that a withdrawal, or a run, waits for a message that is being sent
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # PostgreSQL's
_COPY = (
    "COPY subscription (id, event_id, channel, address, pack_id, embedding, text_version, "
    "language, created_at) FROM STDIN (FORMAT binary)"
)
# What stands behind a plus leads to the same person. Letters of ASCII alone are folded, as below.
_COUNT_PENDING = text(r"""
SELECT count(*) FROM subscription
WHERE confirmed_at IS NULL AND created_at > :since AND sha256(convert_to(
    lower(regexp_replace(address, '\+[^@]*@', '@') COLLATE "C"), 'UTF8')) = :digest
""")


@dataclass(frozen=True)
class Wish:
    """A guest's wish to be told; embedding: float32 (dim,), of length 1, by the pack `pack_id`."""

    channel: SubscriptionChannel
    address: str
    pack_id: int
    embedding: npt.NDArray[np.float32]
    text_version: str
    language: str


@dataclass(frozen=True)
class Withdrawal:
    """What a withdrawal deleted; all zero where nothing was kept any more."""

    subscriptions_erased: int
    told_photos_erased: int
    erased_at: datetime


def add_subscription(session: Session, event: Event, wish: Wish) -> UUID | None:
    """Keep a guest's wish until the address has answered; returns its id.

    None where too many unanswered questions have gone to this address already: a stranger's must
    not be filled.
    """
    digest = _digest(wish.address)
    _take_turn(session, int.from_bytes(digest[:4], "big", signed=True))
    pending = {"since": utc_now() - CONFIRM_WITHIN, "digest": digest}
    if session.execute(_COUNT_PENDING, pending).scalar_one() >= MOST_PENDING:
        return None
    subscription_id = uuid4()
    values = [
        subscription_id.bytes,
        *encode_values("i", event.id or 0),
        wish.channel.encode(),
        wish.address.encode(),
        *encode_values("h", wish.pack_id),
        encode_vector(wish.embedding),
        wish.text_version.encode(),
        wish.language.encode(),
        *encode_values("q", (utc_now() - _EPOCH) // timedelta(microseconds=1)),
    ]
    copy_into(session, _COPY, encode_rows([values]))
    return subscription_id


def find_subscription(session: Session, subscription_id: UUID) -> tuple[Subscription, Event] | None:
    """A subscription and its event; None where nothing is kept under this id."""
    query = select(Subscription, Event).join(Event, col(Event.id) == Subscription.event_id)
    return session.exec(query.where(Subscription.id == subscription_id)).one_or_none()


def read_person(session: Session, subscription: Subscription) -> tuple[str, Any]:
    """The identity of the pack that made a subscription's vector, and the vector, float32."""
    identity = session.exec(select(Pack.identity).where(Pack.id == subscription.pack_id)).one()
    return identity, np.asarray(subscription.embedding, np.float32)


def confirm_subscription(session: Session, subscription_id: UUID) -> bool:
    """Record that an address has answered; False where it had before, or nothing is kept."""
    statement = (
        update(Subscription)
        .where(col(Subscription.id) == subscription_id, col(Subscription.confirmed_at).is_(None))
        .values(confirmed_at=func.now())
    )
    return _count_rows(session.execute(statement)) > 0


def withdraw_subscription(
    session: Session, subscription_id: UUID, *, reason: str = "withdrawn"
) -> Withdrawal:
    """Delete a subscription and all that belongs to it; nothing is sent to it from here on.

    Waits for a message that is being sent. Doing it twice is harmless. reason: what the webhook's
    receiver is told, who has the address too. Raises TooBusyError.
    """
    lock_subscription(session, subscription_id)
    found = find_subscription(session, subscription_id)
    if found is None:
        return Withdrawal(0, 0, utc_now())
    subscription, event = found
    lock_event_key(session, subscription.event_id)
    delete_guest_deliveries(session, subscription.event_id, subscription_id)
    of_it = col(ToldPhoto.subscription_id) == subscription_id
    told = _count_rows(session.execute(delete(ToldPhoto).where(of_it)))
    gone = delete(Subscription).where(col(Subscription.id) == subscription_id)
    erased = _count_rows(session.execute(gone))
    if erased and subscription.channel == SubscriptionChannel.WEBHOOK:
        about = {"subscription_id": str(subscription_id), "reason": reason}
        add_guest_delivery(session, event, "withdrawn", about)
    return Withdrawal(erased, told, utc_now())


def withdraw_address(session: Session, subscription_id: UUID) -> Withdrawal:
    """Delete all that an event keeps of a subscription's address: its guest may have asked twice.

    Raises TooBusyError.
    """
    of_address = sorted(session.exec(_select_of_address(subscription_id)))
    for one in of_address:  # all of them first, so that none is told of anything from here on
        lock_subscription(session, one)
    gone = [withdraw_subscription(session, one) for one in of_address]
    told = sum(one.told_photos_erased for one in gone)
    return Withdrawal(sum(one.subscriptions_erased for one in gone), told, utc_now())


def delete_subscriptions(session: Session, event_id: int) -> int:
    """Delete all of an event's subscriptions, confirmed or not; returns how many there were.

    The webhook's receiver is told to forget what it has. The caller holds the event's row.
    """
    delete_guest_deliveries(session, event_id)
    of_event = delete(Subscription).where(col(Subscription.event_id) == event_id)
    channels = session.scalars(of_event.returning(col(Subscription.channel))).all()
    if SubscriptionChannel.WEBHOOK in channels:
        add_guest_delivery(session, session.get_one(Event, event_id), "erased", {})
    return len(channels)


def forget_told_photo(session: Session, photo_id: int) -> None:
    """Forget that guests were told of a photo: that they are in it was found by their faces."""
    session.execute(delete(ToldPhoto).where(col(ToldPhoto.photo_id) == photo_id))


def list_confirmed(session: Session, event_id: int) -> Sequence[UUID]:
    """The ids of an event's subscriptions whose address has answered, the oldest first."""
    query = select(Subscription.id).where(
        Subscription.event_id == event_id, col(Subscription.confirmed_at).is_not(None)
    )
    return session.exec(query.order_by(col(Subscription.created_at))).all()


def list_events_to_tell(session: Session, since: datetime) -> Sequence[Event]:
    """Events that have notices switched on, confirmed subscriptions, and photos read since then."""
    query = select(Event).where(
        col(Event.notices),
        exists().where(
            col(Subscription.event_id) == Event.id, col(Subscription.confirmed_at).is_not(None)
        ),
        exists().where(col(Photo.event_id) == Event.id, col(Photo.processed_at) > since),
    )
    return session.exec(query.order_by(col(Event.id))).all()


def list_told(session: Session, subscription_id: UUID) -> set[int]:
    """The photos of which a subscription's address was told, or which its guest had found before.

    Whoever subscribed twice is told of a photo once.
    """
    asked = _select_of_address(subscription_id).where(col(Subscription.confirmed_at).is_not(None))
    query = select(ToldPhoto.photo_id).where(col(ToldPhoto.subscription_id).in_(asked))
    return set(session.exec(query))


def is_told_otherwise(session: Session, subscription_id: UUID) -> bool:
    """Whether a subscription's address has another one in its event, confirmed too."""
    others = _select_of_address(subscription_id).where(
        col(Subscription.confirmed_at).is_not(None), Subscription.id != subscription_id
    )
    return session.exec(others.limit(1)).first() is not None


def mark_told(session: Session, subscription_id: UUID, photo_ids: Collection[int]) -> None:
    """Record that a subscription was told of these photos."""
    rows = [
        {"subscription_id": subscription_id, "photo_id": photo_id, "told_at": utc_now()}
        for photo_id in sorted(photo_ids)
    ]
    if rows:
        session.execute(insert(ToldPhoto).values(rows).on_conflict_do_nothing())


def delete_ended(session: Session) -> int:
    """Delete subscriptions that serve nothing any more; returns how many there were.

    Those are of events that are over (closed, not active, erased, or their notices switched off),
    and those whose address has not answered.
    """
    over = select(Event.id).where(
        col(Event.active_until).__le__(func.now())
        | (col(Event.closes_at) <= func.now())
        | col(Event.erased_at).is_not(None)
        | ~col(Event.notices)
    )
    ended = list(session.exec(over.where(col(Event.id).in_(select(Subscription.event_id)))))
    deleted = 0
    for event_id in ended:
        lock_event_key(session, event_id or 0)
        deleted += delete_subscriptions(session, event_id or 0)
    unanswered = select(Subscription.id).where(
        col(Subscription.confirmed_at).is_(None),
        col(Subscription.created_at) < func.now() - CONFIRM_WITHIN,
    )
    for subscription_id in session.exec(unanswered).all():
        deleted += withdraw_subscription(session, subscription_id).subscriptions_erased
    return deleted


def lock_subscription(session: Session, subscription_id: UUID) -> None:
    """Let one message be sent, or one withdrawal be made, at a time, until the transaction ends.

    No row is locked: an erasure of the event waits for no mail server. Raises TooBusyError.
    """
    _take_turn(session, int.from_bytes(subscription_id.bytes[:4], "big", signed=True))


def lock_event_key(session: Session, event_id: int) -> None:
    """Keep the event's row from being deleted, before rows that refer to it are touched.

    An erasure takes the event's row first as well: the other way round would end in a deadlock.
    """
    query = select(Event.id).where(Event.id == event_id)
    session.execute(query.with_for_update(read=True, key_share=True))


def _select_of_address(subscription_id: UUID) -> SelectOfScalar[UUID]:
    """The subscriptions to one's address in its event, itself included."""
    named = aliased(Subscription)
    return (
        select(Subscription.id)
        .join(named, col(named.event_id) == Subscription.event_id)
        .where(
            named.id == subscription_id,
            named.channel == Subscription.channel,
            func.lower(named.address) == func.lower(Subscription.address),
        )
    )


def _take_turn(session: Session, key: int) -> None:
    session.execute(text(f"SET LOCAL lock_timeout = '{_TURN_S}s'"))
    turn = {"lock_class": NOTICE_LOCK_CLASS, "key": key}
    try:
        session.execute(text("SELECT pg_advisory_xact_lock(:lock_class, :key)"), turn)
    except OperationalError as error:
        if not isinstance(error.orig, LockNotAvailable):
            raise
        raise TooBusyError("A message is being sent there: try again in a moment.") from error
    # A mail may leave in this turn: what comes after it waits as long as it must.
    session.execute(text("SET LOCAL lock_timeout TO DEFAULT"))


def _digest(address: str) -> bytes:
    name, separator, domain = address.encode().lower().rpartition(b"@")
    return sha256(name.partition(b"+")[0] + separator + domain if separator else domain).digest()


def _count_rows(result: Result[Any]) -> int:
    return int(result.rowcount)  # type: ignore[attr-defined]  # a DELETE gives a CursorResult
