"""Which events the scheduled resync looks at."""

from dataclasses import dataclass

from prefect import task

from models.events import list_active_events, read_event
from models.prefixes import build_run_name, default_prefix
from models.session import open_session


@dataclass(frozen=True)
class ResyncTarget:
    """An event to sync, and what its run is called."""

    event_id: int
    s3_prefix: str
    run_name: str


@task(name="list_resync_targets", persist_result=False)
def list_resync_targets() -> list[ResyncTarget]:
    """The active events, each with the prefix of its previews."""
    with open_session() as session:
        events = [(event.id or 0, event.name) for event in list_active_events(session)]
    targets = [(event_id, name, default_prefix(event_id)) for event_id, name in events]
    return [
        ResyncTarget(event_id, prefix, build_run_name(name, prefix))
        for event_id, name, prefix in targets
    ]


@task(name="list_waiting_sync", persist_result=False)
def list_waiting_sync(event_id: int) -> list[ResyncTarget]:
    """The sync that was asked for while the event was held, if any; it looks at all requests."""
    with open_session() as session:
        event = read_event(session, event_id)
        prefixes, name = event.pending_prefixes[:1], event.name
    return [ResyncTarget(event_id, prefix, build_run_name(name, prefix)) for prefix in prefixes]
