"""Starting the making of an event's previews."""

import logging
from functools import partial
from uuid import UUID

import anyio.from_thread
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from api.deps import EventUuid, OrchestratorDep
from api.errors import describe_errors
from models.keys import build_previews_name
from models.queries.erasures import require_syncable
from models.queries.events import extend_activity, find_event
from models.queries.runs import lock_requests
from models.session import open_session

logger = logging.getLogger(__name__)

previews_router = APIRouter(prefix="/api/v1/events/{event_uuid}", tags=["previews"])


class PreviewsAnswer(BaseModel):
    """The flow run that makes the previews; Prefect's UI shows how it goes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "task_id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
                    "event_id": 1,
                    "message": "Previews are being made for event Свадьба; its sync follows",
                }
            ]
        }
    )
    task_id: UUID
    event_id: int
    message: str


@previews_router.post("/previews", responses=describe_errors(400, 404, 409, 503))
def make_previews(event_uuid: EventUuid, orchestrator: OrchestratorDep) -> PreviewsAnswer:
    """Make the previews that an event's originals lack, then sync the event; answers at once.

    For photographers who upload only originals. A call that finds another one's run not begun
    yet gets its task_id. The photographer's own previews stay as they are.
    """
    with open_session() as session:
        event = find_event(session, event_uuid)
        require_syncable(event)
        event_id, name = event.id or 0, event.name
        lock_requests(session, event_id)
        extend_activity(session, event)
        start = partial(
            orchestrator.start_previews, event_id=event_id, run_name=build_previews_name(name)
        )
        task_id = anyio.from_thread.run(start)
    logger.info("Event %d: previews %s started", event_id, task_id)
    return PreviewsAnswer(
        task_id=task_id,
        event_id=event_id,
        message=f"Previews are being made for event {name}; its sync follows",
    )
