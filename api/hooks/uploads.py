"""Requests for syncs that follow uploads: few of them, however many uploads are told.

The first upload asks at once. Those told within the next seconds ask together, as one request
that the running sync takes. What a process had not asked for when it died, the hourly resync finds.
"""

import logging
import time
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any

import anyio
from prometheus_client import CollectorRegistry, Counter

from api.bulkheads.threads import Kind, get_bulkhead
from api.hooks.notifications import cut_folders
from api.starts import begin_sync
from deployments.orchestrator import Orchestrator
from models.errors import FacePassError, InvalidPrefixError
from models.keys import (
    ORIGINALS_FOLDER,
    PREVIEWS_FOLDER,
    check_prefix,
    cut_previews_folder,
    describe_resource,
)
from models.queries.events import find_events_of_keys
from models.queries.photos import lacks_originals
from models.session import open_session
from models.settings import get_settings
from models.tables import Event
from models.vocabulary import PrefectEvent

logger = logging.getLogger(__name__)

INTERVAL_S = 3.0  # between two rounds of requests
# An original makes no photo searchable, only complete: a sync a minute does.
ORIGINALS_DELAY_S = 60.0
OUTAGE_DELAY_S = 15.0
MAX_FOLDERS = 10_000  # that wait at a time; what is more, the hourly resync finds
MAX_ANNOUNCEMENTS = 1000  # that wait at a time; older ones are left out
FLUSH_LIMIT_S = 5.0  # for what waits when the API is stopped


class HookMetrics:
    """What stores told this process, and the syncs that were asked for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.messages = Counter(
            "facepass_hook_messages",
            "Notifications of stores, by their form and what became of them",
            ("store", "outcome"),
            registry=registry,
        )
        self.objects = Counter(
            "facepass_hook_objects",
            "Objects told: taken, of no event here, or no photos",
            ("outcome",),
            registry=registry,
        )
        self.syncs = Counter(
            "facepass_hook_syncs",
            "Syncs asked for because of notifications",
            ("outcome",),
            registry=registry,
        )


@dataclass(frozen=True)
class Wanted:
    """A sync that uploads ask for; `folders` are those told of."""

    event: Event
    s3_prefix: str
    folders: tuple[str, ...]


class UploadRequests:
    """Folders of which uploads were told, until a sync of each has been asked for.

    One event loop's; `run` asks, one round after the other.
    """

    def __init__(
        self,
        metrics: HookMetrics,
        *,
        interval_s: float = INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.metrics = metrics
        self._interval_s = interval_s
        self._clock = clock
        self._due: dict[str, float] = {}
        self._news = anyio.Event()
        self._told = Tally[str]()
        self._announcements: deque[tuple[dict[str, str], dict[str, Any]]] = deque(
            maxlen=MAX_ANNOUNCEMENTS
        )

    def add(self, keys: Collection[str]) -> None:
        """Take the keys of previews and originals that have changed."""
        now = self._clock()
        previews = {key for key in keys if PREVIEWS_FOLDER in key}
        self._wait_for(cut_folders(previews), now)
        self._wait_for(cut_folders(set(keys) - previews), now + ORIGINALS_DELAY_S)
        folders = (key[: key.rindex("/") + 1] for key in keys)
        self._told.update(folder for folder in folders if folder in self._due)

    def announce(self, event: Event, s3_prefix: str) -> None:
        """Have Prefect told, soon, that photos were uploaded and their sync is asked for."""
        # Not asked for again by prefect.yaml's trigger, which wants another word here.
        resource = describe_resource(event.uuid, event.name, get_settings().installation)
        resource["facepass.sync"] = "asked"
        payload: dict[str, Any] = {
            "event_id": event.id,
            "event_name": event.name,
            "s3_prefix": s3_prefix,
        }
        self._announcements.append((resource, payload))
        self._news.set()

    async def run(self, orchestrator: Orchestrator) -> None:
        """Ask for what is due until cancelled; then once more for all that waits."""
        try:
            while True:
                try:
                    await self._go_round(orchestrator)
                except Exception:
                    logger.exception("A round of syncs that uploads ask for failed; others follow.")
                    await anyio.sleep(self._interval_s)
                await self._wait()
        finally:
            with anyio.move_on_after(FLUSH_LIMIT_S, shield=True):
                if folders := self._take(inf):
                    await self._ask(folders, orchestrator)

    async def _go_round(self, orchestrator: Orchestrator) -> None:
        folders = self._take(self._clock())
        if folders:
            await self._ask(folders, orchestrator)
        while self._announcements:
            await orchestrator.announce(PrefectEvent.UPLOADED, *self._announcements.popleft())
        if folders:
            await anyio.sleep(self._interval_s)

    def _wait_for(self, folders: Iterable[str], due: float) -> None:
        for folder in folders:
            if folder in self._due or len(self._due) < MAX_FOLDERS:
                self._due[folder] = min(due, self._due.get(folder, inf))
        self._news.set()

    async def _wait(self) -> None:
        """Until something is due or told."""
        if self._announcements:
            return
        self._news = anyio.Event()
        with anyio.move_on_after(min(self._due.values(), default=inf) - self._clock()):
            await self._news.wait()

    def _take(self, now: float) -> list[str]:
        folders = [folder for folder, due in self._due.items() if due <= now]
        for folder in folders:
            del self._due[folder]
        return folders

    async def _ask(self, folders: list[str], orchestrator: Orchestrator) -> None:
        try:
            wanted = await get_bulkhead(Kind.EVENTS).run(partial(find_wanted, folders))
        except FacePassError as error:
            self._put_back(folders, error)
            return
        known = {folder for want in wanted for folder in want.folders}
        for folder in folders:
            outcome = "taken" if folder in known else "unknown"
            self.metrics.objects.labels(outcome).inc(self._told.pop(folder, 0))
        async with anyio.create_task_group() as tasks:
            for want in wanted:
                tasks.start_soon(self._begin, want, orchestrator)

    async def _begin(self, want: Wanted, orchestrator: Orchestrator) -> None:
        work = partial(begin_sync, want.event, want.s3_prefix, orchestrator)
        try:
            run = await get_bulkhead(Kind.PREFECT).run(work)
        except FacePassError as error:
            self._put_back(want.folders, error)
            return
        except Exception:  # such as an event that is deleted at that moment; the API stays up
            logger.exception("A sync that uploads ask for could not be started.")
            self.metrics.syncs.labels("failed").inc()
            return
        self.announce(want.event, want.s3_prefix)
        self.metrics.syncs.labels("started" if run.joined is None else "joined").inc()

    def _put_back(self, folders: Collection[str], error: FacePassError) -> None:
        self.metrics.syncs.labels("failed").inc()
        logger.warning("A sync that uploads ask for waits %.0f s: %s", OUTAGE_DELAY_S, error)
        self._wait_for(folders, self._clock() + OUTAGE_DELAY_S)


def find_wanted(folders: Collection[str]) -> list[Wanted]:
    """The syncs that changes in these folders ask for; none for folders of no event.

    Changed originals ask where the event lacks originals of photos.
    """
    wanted: dict[tuple[int, str], Wanted] = {}
    with open_session() as session:
        for folder, event in find_events_of_keys(session, folders).items():
            prefix, is_original = name_prefix(folder, event.folder)
            if prefix is None:
                continue
            known = wanted.get((event.id or 0, prefix))
            others = known.folders if known else ()
            if known or not is_original or lacks_originals(session, event.id or 0):
                wanted[event.id or 0, prefix] = Wanted(event, prefix, (*others, folder))
    return list(wanted.values())


def name_prefix(folder: str, event_folder: str) -> tuple[str | None, bool]:
    """The prefix to sync after a change in a folder, and whether originals lie there.

    None where the folder holds neither previews nor originals of the event.
    """
    head = len(event_folder) - 1
    before, found, _ = folder[head:].partition(ORIGINALS_FOLDER)
    is_original = bool(found) and PREVIEWS_FOLDER not in f"{before}/"
    if is_original:
        prefix = folder[:head] + before + PREVIEWS_FOLDER
    elif PREVIEWS_FOLDER in folder[head:]:
        prefix = cut_previews_folder(folder, event_folder)
    else:
        return None, False
    try:
        return check_prefix(prefix, event_folder), is_original
    except InvalidPrefixError:
        return None, False
