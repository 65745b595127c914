"""The context of a sync: what its steps know about the run, the event and the model pack.

It is created once the run holds the event, and never changes. It is small enough to be sent to
Dask workers.
"""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from models.packs import USUAL_CHOICE, PackChoice


@dataclass(frozen=True)
class ListingRequest:
    """A prefix to list, and the requests that were waiting when its listing began.

    Without a prefix nothing is listed: what is planned already is still to be done.
    """

    s3_prefix: str | None
    waiting: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SyncContext:
    """One attempt of a run: which event, under which epoch (the fencing token) and model pack.

    `pack` is the pack's identity, `pack_id` its number in the database, and `choice` how a worker
    finds it on its own machine. `pack_ids` are those whose vectors are comparable, itself among
    them: photos that they know are not read again. `request` is what the attempt lists first.
    `common_settings` are those that all processes of a cluster must share; empty where threads do
    the work.
    """

    flow_run_id: UUID
    event_id: int
    event_name: str
    s3_prefix: str
    epoch: int
    pack_id: int
    pack: str
    folder: str  # the event's in S3
    choice: PackChoice = USUAL_CHOICE
    pack_ids: list[int] = field(default_factory=list)
    request: ListingRequest = ListingRequest(None)
    progress_id: UUID | None = None
    common_settings: dict[str, Any] = field(default_factory=dict, repr=False)
