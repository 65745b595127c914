"""A sync under way, as its steps and its flow see it."""

import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from models.errors import ConfigurationError
from models.packs import USUAL_CHOICE, PackChoice, choose_pack
from models.queries.runs import end_run
from models.session import open_session
from models.settings import get_settings
from models.tables import Event, SyncRun
from models.vocabulary import ProfileName, SyncState

# What all processes that do a part of one sync must have alike: with another bucket every photo
# would have vanished, with another result storage faces would lie where no erasure looks.
COMMON_SETTINGS = (
    *("s3_bucket", "s3_endpoint_url", "result_storage"),
    *("max_pixels", "max_photo_bytes"),
)


@dataclass(frozen=True)
class Ticket:
    """What the steps of one attempt carry: which run, which event, under which epoch and pack.

    `pack` is the pack's identity, `choice` how a worker finds it on its own machine.
    """

    flow_run_id: UUID
    event_id: int
    event_name: str
    s3_prefix: str
    epoch: int
    pack_id: int
    pack: str
    choice: PackChoice = USUAL_CHOICE
    progress_id: UUID | None = None
    common_settings: dict[str, Any] = field(default_factory=dict, repr=False)


def read_common_settings() -> dict[str, Any]:
    """The values of COMMON_SETTINGS in this process."""
    settings = get_settings()
    return {name: getattr(settings, name) for name in COMMON_SETTINGS}


def check_settings(ticket: Ticket) -> None:
    """Raise ConfigurationError in a process that is set up otherwise than the sync's own.

    Only a Dask worker can be. Values are not told: an address may hold a password.
    """
    _check_profiler()
    mine = read_common_settings()
    different = [name for name, value in ticket.common_settings.items() if mine[name] != value]
    if different:
        names = ", ".join(f"FACEPASS_{name.upper()}" for name in different)
        raise ConfigurationError(
            f"A Dask worker has another {names} than the sync: give all workers its settings."
        )
    with open_session() as session:
        if session.get(SyncRun, ticket.flow_run_id) is None:
            raise ConfigurationError(
                "A Dask worker's database does not know the sync: give all workers the same "
                "FACEPASS_DATABASE_URL."
            )


def _check_profiler() -> None:
    """Raise ConfigurationError in a Dask worker whose profiler may bring it to a standstill.

    It asks for all threads' frames a hundred times a second. Before Python 3.12 a garbage
    collection in the middle of that can wait for a thread that waits for it
    (https://github.com/python/cpython/issues/106883), and the process stands still for ever.
    """
    distributed = sys.modules.get("distributed")  # is there in a Dask worker
    if distributed is None or sys.version_info >= (3, 12):
        return
    with suppress(ValueError):  # not a worker after all
        distributed.get_worker()
        if distributed.dask.config.get("distributed.worker.profile.enabled"):
            raise ConfigurationError(
                "With this Python the profiler of Dask workers can stop them for ever: start them "
                "with DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED=false."
            )


@dataclass(frozen=True)
class PackChange:
    """What an event's faces are to be found by from now on; None: as it is."""

    model_pack: str | None
    profile: ProfileName | None


@dataclass
class HeldSync:
    """A sync under way, or a change of the event's model. It is over once it has a state."""

    flow_run_id: UUID
    event_id: int
    s3_prefix: str
    state: SyncState | None = None
    message: str = ""
    result: dict[str, Any] | None = None
    change: PackChange | None = None
    ticket_or_none: Ticket | None = field(default=None, repr=False)

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do."""
        return self.state is not None

    @property
    def began(self) -> bool:
        """Whether it has had the event."""
        return self.ticket_or_none is not None

    @property
    def word(self) -> str:
        """What this run is, in a sentence."""
        return "sync" if self.change is None else "change of model"

    def choose_pack(self, event: Event) -> PackChoice:
        """By what this run finds the event's faces."""
        if self.change is None:
            return choose_pack(event)
        return choose_pack(event, self.change.model_pack, self.change.profile)

    @property
    def ticket(self) -> Ticket:
        """What the steps need; there is one unless the sync is over."""
        if self.ticket_or_none is None:
            raise RuntimeError("This sync ended before it began.")
        return self.ticket_or_none

    def finish(self, result: dict[str, Any] | None) -> None:
        """Take the result; None means that another look at S3 was asked for meanwhile."""
        if result is not None:
            self.state, self.result, self.message = SyncState.COMPLETED, result, result["message"]

    def end(self, state: SyncState, message: str, held_by: UUID | None = None) -> None:
        """End without a result, for good, in the record too."""
        self.state, self.message = state, message
        with open_session() as session:
            end_run(session, self.flow_run_id, state, detail=message, held_by=held_by)
