"""Whether guests are to be told of an event's new photos: what syncs and the hourly resync ask."""

from datetime import datetime, timedelta

from prefect import task

from models.keys import build_notices_name
from models.queries.events import read_event
from models.queries.guests.subscriptions import list_confirmed, list_events_to_tell
from models.session import open_session
from models.tables import Event, utc_now

# A sync's end that did not reach Prefect is made up for by one of the next two hourly resyncs.
MADE_UP_FOR = timedelta(hours=2)


def may_tell(event: Event, now: datetime) -> bool:
    """Whether an event's guests are told of anything now."""
    is_closed = event.closes_at is not None and event.closes_at <= now
    return event.notices and event.erased_at is None and not is_closed


def has_guests_to_tell(event_id: int) -> bool:
    """Whether somebody waits for notices of this event."""
    with open_session() as session:
        event = read_event(session, event_id)
        return may_tell(event, utc_now()) and bool(list_confirmed(session, event_id))


@task(name="list_events_to_tell", persist_result=False)
def list_due() -> list[tuple[int, str]]:
    """Events with new photos and guests who wait for notices: ids and names of their runs."""
    with open_session() as session:
        events = list_events_to_tell(session, utc_now() - MADE_UP_FOR)
        return [
            (event.id or 0, build_notices_name(event.name))
            for event in events
            if may_tell(event, utc_now())
        ]
