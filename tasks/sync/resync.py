"""Prefect tasks of the scheduled resync: they list active events, changed and outdated ones."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from prefect import get_run_logger, task

from models.errors import (
    DatabaseOutdatedError,
    DatabaseRefusedError,
    DatabaseUnavailableError,
    FacePassError,
    ModelPackError,
    S3AccessError,
    S3DownloadError,
)
from models.keys import build_run_name, build_views_name, derive_originals_prefix
from models.packs import PackChoice, choose_pack
from models.queries.events import list_active_events, list_events, list_idle_events, read_event
from models.queries.gallery.views import list_unviewed_events
from models.queries.packs import find_pack_id, list_pack_ids
from models.queries.plans import Listing, copy_listing, needs_plan
from models.queries.reembeds import find_outdated_event
from models.queries.search import has_foreign_faces
from models.session import open_session
from models.settings import get_settings
from tasks.images.views import VIEWS_RECIPE
from tasks.packs.registry import ModelPack, resolve_pack
from tasks.s3.bucket import get_bucket, list_s3_keys, list_s3_objects

GROUP = 50  # events looked at in a task; the syncs of those that changed are started after it
LOOKS_AT_ONCE = 4  # events: they mostly wait for S3's listing
# What keeps every event from being looked at; of anything else its own sync tells.
COMMON_ERRORS = (
    DatabaseUnavailableError,
    DatabaseRefusedError,
    DatabaseOutdatedError,
    S3AccessError,
    S3DownloadError,
)


@dataclass(frozen=True)
class ResyncTarget:
    """An event to sync, and what its run is called."""

    event_id: int
    s3_prefix: str
    run_name: str


@task(name="list_resync_targets", task_run_name="list active events", persist_result=False)
def list_resync_targets() -> list[ResyncTarget]:
    """The active events, each with the prefix of its previews; and those nobody can search.

    These are idle ones whose faces cannot be compared with a selfie by the event's pack: the
    settings name another one by now, or the change of its profile met no sync.
    """
    with open_session() as session:
        found = list(list_active_events(session))
        for event in list_idle_events(session):
            pack = _find_pack(choose_pack(event))
            if pack is None:
                continue
            pack_ids = list_pack_ids(session, [pack.identity, pack.former_identity])
            if has_foreign_faces(session, event.id or 0, pack_ids):
                found.append(event)
    return [
        ResyncTarget(event.id or 0, event.s3_prefix, build_run_name(event.name, event.s3_prefix))
        for event in found
    ]


def _find_pack(choice: PackChoice) -> ModelPack | None:
    """The pack of a choice; None for one that is not here: no sync could use it."""
    try:
        return resolve_pack(get_settings(), choice.model_pack, choice.det_size)
    except ModelPackError:
        return None


@task(name="find_outdated", task_run_name="find faces of a former look", persist_result=False)
def find_outdated() -> tuple[int, str] | None:
    """The id and name of an event to re-embed, since the engine looks better than it did then.

    One at a time, and none that is being synced; None where there is none.
    """
    with open_session() as session:
        live = [event for event in list_events(session) if event.erased_at is None]
        choices = {choose_pack(event) for event in live}
        for choice in sorted(choices, key=repr):
            pack = _find_pack(choice)
            former = pack and find_pack_id(session, pack.former_identity)
            if former and (found := find_outdated_event(session, choice, former)):
                return found
    return None


@task(name="list_unviewed", task_run_name="list events without views", persist_result=False)
def list_unviewed() -> list[tuple[int, str]]:
    """Active events of which photos lack views that can be made: ids and names of their runs."""
    if not get_settings().make_views:
        return []
    with open_session() as session:
        return [
            (row[0], build_views_name(row[1]))
            for row in list_unviewed_events(session, VIEWS_RECIPE)
        ]


def cut_groups(targets: list[ResyncTarget]) -> list[list[ResyncTarget]]:
    """Groups for `find_changed`, in the order given."""
    return [targets[first : first + GROUP] for first in range(0, len(targets), GROUP)]


@task(
    name="find_changed",
    task_run_name="look at events from {targets[0].event_id} on",
    persist_result=False,
)
def find_changed(targets: Sequence[ResyncTarget]) -> list[ResyncTarget]:
    """Those whose sync would find anything to do, or could tell what keeps it from it.

    A look costs a listing; a sync that finds nothing costs a process and some seconds of a core.
    Raises one of COMMON_ERRORS.
    """
    with ThreadPoolExecutor(LOOKS_AT_ONCE) as pool:
        changed = pool.map(_needs_sync, targets)
        found = [target for target, is_changed in zip(targets, changed, strict=True) if is_changed]
    get_run_logger().info("%d of %d events have changed", len(found), len(targets))
    return found


def _needs_sync(target: ResyncTarget) -> bool:
    try:
        return has_changed(target)
    except COMMON_ERRORS:
        raise
    except FacePassError:
        return True


def has_changed(target: ResyncTarget) -> bool:
    """Whether S3, the event's model or a request that waits makes work for a sync.

    Raises FacePassError.
    """
    bucket = get_bucket()
    with open_session() as session:
        event = read_event(session, target.event_id)
        if event.pending_prefixes:
            return True
        choice = choose_pack(event)
        pack = resolve_pack(get_settings(), choice.model_pack, choice.det_size)
        pack_ids = list_pack_ids(session, [pack.identity, pack.former_identity])
        prefix = target.s3_prefix
        originals_prefix = derive_originals_prefix(prefix, event.folder)
        with (
            closing(list_s3_objects(bucket, prefix)) as previews,
            closing(list_s3_keys(bucket, originals_prefix)) as originals,
        ):
            listing = Listing(
                target.event_id, event.folder, prefix, previews, originals, bucket.public_url
            )
            copy_listing(session, listing)
        return needs_plan(session, listing, pack_ids=pack_ids)


@task(name="list_waiting_sync", persist_result=False)
def list_waiting_sync(event_id: int) -> list[ResyncTarget]:
    """The sync that was asked for while the event was held, if any; it looks at all requests."""
    with open_session() as session:
        event = read_event(session, event_id)
        prefixes, name = event.pending_prefixes[:1], event.name
    return [ResyncTarget(event_id, prefix, build_run_name(name, prefix)) for prefix in prefixes]
