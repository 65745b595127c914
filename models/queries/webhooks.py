"""Queries for the outbox of webhook deliveries: ended runs, guests' requests, guests' notices.

The row is written in the transaction that ends the run, so no notification is lost. After it is
delivered or given up, the row has no `next_try_at` and stays until it is pruned; one about a
guest's notices is deleted at once.
"""

import json
from collections.abc import Sequence
from datetime import UTC, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, Result, Row, delete, func, insert, update
from sqlmodel import Session, col, select

from models.copying import copy_text
from models.keys import build_reembed_prefix
from models.settings import get_settings
from models.tables import Event, GuestRequest, SyncRun, WebhookDelivery, utc_now

GUEST = "guest."  # how the types of messages about a guest's notices begin


def prepare_delivery(session: Session, flow_run_id: UUID) -> None:
    """Lock the event that a delivery will refer to, before the run's own row is locked.

    A delivery's foreign key locks the event's row. Every transaction locks that row before the
    run's; one that took them the other way round would end in a deadlock with another.
    """
    if get_settings().webhook_url:
        event_id = select(SyncRun.event_id).where(SyncRun.flow_run_id == flow_run_id)
        query = select(Event.id).where(col(Event.id).in_(event_id))
        session.execute(query.with_for_update(read=True, key_share=True))


def add_deliveries(session: Session, flow_run_ids: Sequence[UUID]) -> None:
    """Add a delivery for each of these runs, which have just ended in this transaction.

    None where FACEPASS_WEBHOOK_URL is not set.
    """
    if not flow_run_ids or not get_settings().webhook_url:
        return
    query = (
        # Columns, not objects: a session may hold the run as it was before it ended.
        select(SyncRun.__table__, Event.uuid, Event.name)  # type: ignore[attr-defined]  # SQLModel's mapped table
        .join(Event, col(Event.id) == SyncRun.event_id)
        .where(col(SyncRun.flow_run_id).in_(flow_run_ids))
    )
    deliveries = [
        {
            "event_id": row.event_id,
            "flow_run_id": row.flow_run_id,
            "payload": build_payload(row),
            "created_at": utc_now(),
            "next_try_at": func.now(),
        }
        for row in session.execute(query)
    ]
    if deliveries:
        session.execute(insert(WebhookDelivery).values(deliveries))


def build_payload(row: Row[Any]) -> dict[str, Any]:
    """The message about a run: ids, words and counts; no face, no link that opens anything."""
    kind = "model_change" if row.s3_prefix == build_reembed_prefix(row.event_id) else "sync"
    return {
        "type": f"{kind}.{row.state}",
        "timestamp": row.finished_at.astimezone(UTC).isoformat(),
        "data": {
            "event_id": row.event_id,
            "event_uuid": str(row.uuid),
            "event_name": row.name,
            "task_id": str(row.flow_run_id),
            "state": str(row.state),
            "detail": row.detail,
            "result": row.result,
            "held_by": str(row.held_by) if row.held_by else None,
        },
    }


def add_request_delivery(session: Session, event: Event, request: GuestRequest, key: str) -> None:
    """Add a delivery about a guest's new request for the photo with this S3 key.

    None where FACEPASS_WEBHOOK_URL is not set.
    """
    if not get_settings().webhook_url:
        return
    payload = {
        "type": f"guest_request.{request.kind}",
        "timestamp": request.created_at.astimezone(UTC).isoformat(),
        "data": {
            "event_id": event.id,
            "event_uuid": str(event.uuid),
            "event_name": event.name,
            "request_id": request.id,
            "photo_id": request.photo_id,
            "s3_key": key,
        },
    }
    delivery = {
        "event_id": event.id,
        "flow_run_id": uuid4(),  # no run's: it makes the message's id unique
        "payload": payload,
        "created_at": utc_now(),
        "next_try_at": func.now(),
    }
    session.execute(insert(WebhookDelivery).values(delivery))


def add_guest_delivery(session: Session, event: Event, kind: str, data: dict[str, Any]) -> None:
    """Add a delivery about a guest who wishes to be told of new photos; `kind` after `guest.`.

    By COPY, since it may hold an address. None where FACEPASS_WEBHOOK_URL is not set.
    """
    if not get_settings().webhook_url:
        return
    now = utc_now()
    about = {"event_id": event.id, "event_uuid": str(event.uuid), "event_name": event.name}
    payload = {"type": f"{GUEST}{kind}", "timestamp": now.isoformat(), "data": about | data}
    columns = "event_id, flow_run_id, payload, attempts, created_at, next_try_at"
    row = (event.id, uuid4(), json.dumps(payload), 0, now, now)
    copy_text(session, f"webhook_delivery ({columns})", [row])


def delete_guest_deliveries(
    session: Session, event_id: int, subscription_id: UUID | None = None
) -> None:
    """Delete what is still to be told about an event's guests, or about one of them."""
    statement = delete(WebhookDelivery).where(
        col(WebhookDelivery.event_id) == event_id, _is_about_guest()
    )
    if subscription_id is not None:
        named: Any = col(WebhookDelivery.payload)["data"]["subscription_id"]
        statement = statement.where(named.astext == str(subscription_id))
    session.execute(statement)


def _is_about_guest() -> ColumnElement[bool]:
    kind: Any = col(WebhookDelivery.payload)["type"]
    condition: ColumnElement[bool] = kind.astext.startswith(GUEST)
    return condition


def claim_deliveries(
    session: Session, *, limit: int, lease: timedelta
) -> Sequence[WebhookDelivery]:
    """Take the deliveries that are due, each for one attempt; no other process gets them meanwhile.

    Those of a process that dies are due again after the lease.
    """
    due = (
        select(WebhookDelivery.id)
        .where(col(WebhookDelivery.next_try_at) <= func.now())
        .order_by(col(WebhookDelivery.next_try_at))
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte()
    )
    claimed = (
        update(WebhookDelivery)
        .where(col(WebhookDelivery.id).in_(select(due.c.id)))
        .values(attempts=WebhookDelivery.attempts + 1, next_try_at=func.now() + lease)
        .returning(WebhookDelivery)
    )
    return session.scalars(claimed).all()


def mark_delivered(session: Session, delivery: WebhookDelivery) -> None:
    """Record that the receiver has it; what was told about a guest is forgotten."""
    if _forget_guest(session, delivery):
        return
    session.execute(
        update(WebhookDelivery)
        .where(col(WebhookDelivery.id) == delivery.id)
        .values(delivered_at=func.now(), next_try_at=None, last_error=None)
    )


def mark_failed(
    session: Session, delivery: WebhookDelivery, *, error: str, delay: timedelta | None
) -> None:
    """Record that an attempt failed, and when the next one comes; None gives the delivery up.

    Nothing is changed where another attempt has begun meanwhile.
    """
    if delay is None and _forget_guest(session, delivery):
        return
    session.execute(
        update(WebhookDelivery)
        .where(
            col(WebhookDelivery.id) == delivery.id,
            col(WebhookDelivery.attempts) == delivery.attempts,
            col(WebhookDelivery.next_try_at).is_not(None),
        )
        .values(last_error=error, next_try_at=None if delay is None else func.now() + delay)
    )


def _forget_guest(session: Session, delivery: WebhookDelivery) -> bool:
    """Delete a delivery about a guest's notices; False for any other."""
    if not str(delivery.payload["type"]).startswith(GUEST):
        return False
    session.execute(delete(WebhookDelivery).where(col(WebhookDelivery.id) == delivery.id))
    return True


def count_waiting_deliveries(session: Session) -> int:
    """How many deliveries are still to be made."""
    query = select(func.count()).where(col(WebhookDelivery.next_try_at).is_not(None))
    return session.exec(query).one()


def delete_old_deliveries(session: Session, age: timedelta) -> int:
    """Delete deliveries older than `age`, made or not; returns how many there were."""
    statement = delete(WebhookDelivery).where(col(WebhookDelivery.created_at) < func.now() - age)
    deleted: Result[Any] = session.execute(statement)
    return int(deleted.rowcount)  # type: ignore[attr-defined]  # a cursor's, which SQLModel hides
