"""FastAPI dependencies for routes: the connection to Prefect, and the event UUID from the path.

They are coroutines because FastAPI runs plain functions in threads, and these need none. Beside
them stands how a route names the guests' link.
"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Request

from api.errors import ApiError
from deployments.orchestrator import Orchestrator
from models.settings import get_settings
from models.vocabulary import ErrorCode


async def get_orchestrator(request: Request) -> Orchestrator:
    """The app's one connection to Prefect."""
    orchestrator: Orchestrator = request.app.state.orchestrator
    return orchestrator


def parse_uuid(value: str) -> UUID:
    """Read a UUID. Raises ApiError 400 with the guide's sentence for another text."""
    try:
        return UUID(value)
    except ValueError as error:
        raise ApiError(400, "Invalid UUID format", ErrorCode.INVALID_UUID) from error


async def parse_event_uuid(
    event_uuid: Annotated[str, Path(json_schema_extra={"format": "uuid"})],
) -> UUID:
    """The path's event UUID."""
    return parse_uuid(event_uuid)


def build_gallery_url(gallery_token: str, request: Request) -> str:
    """The guests' link to an event."""
    return f"{read_base_url(request)}/gallery/{gallery_token}"


def read_base_url(request: Request) -> str:
    """The API's own address in links, without a slash at its end."""
    return get_settings().public_url or str(request.base_url).rstrip("/")


OrchestratorDep = Annotated[Orchestrator, Depends(get_orchestrator)]
EventUuid = Annotated[UUID, Depends(parse_event_uuid)]
