"""What routes ask for: the orchestrator, ids in the guide's manner, a photographer's key."""

import hmac
from hashlib import sha256
from typing import Annotated
from uuid import UUID

from fastapi import Depends, HTTPException, Path, Request, Security
from fastapi.security import APIKeyHeader

from api.rate_limits import count_call
from deployments.orchestrator import Orchestrator
from models.errors import ConfigurationError
from models.settings import Settings, get_settings

_API_KEY_HEADER = APIKeyHeader(
    name="X-API-Key",
    auto_error=False,
    description="A photographer's key; needed where FACEPASS_API_KEYS is set.",
)


def get_orchestrator(request: Request) -> Orchestrator:
    """The app's one connection to Prefect."""
    orchestrator: Orchestrator = request.app.state.orchestrator
    return orchestrator


def parse_uuid(value: str) -> UUID:
    """A UUID, or the guide's answer to what is not one."""
    try:
        return UUID(value)
    except ValueError as error:
        raise HTTPException(400, "Invalid UUID format") from error


def parse_event_uuid(
    event_uuid: Annotated[str, Path(json_schema_extra={"format": "uuid"})],
) -> UUID:
    """The path's event UUID."""
    return parse_uuid(event_uuid)


def read_api_keys(settings: Settings) -> dict[str, bytes]:
    """Photographers' keys by name: SHA-256 digests, never the keys themselves."""
    keys: dict[str, bytes] = {}
    for pair in filter(None, (part.strip() for part in (settings.api_keys or "").split(","))):
        name, _, digest = pair.partition(":")
        if name in keys:
            raise ConfigurationError(f"FACEPASS_API_KEYS has two keys named {name}: rename one.")
        try:
            keys[name] = bytes.fromhex(digest)
        except ValueError:
            keys[name] = b""
        if not name or len(keys[name]) != sha256().digest_size:
            raise ConfigurationError(
                "FACEPASS_API_KEYS must be name:sha256 pairs, comma-separated; "
                "`printf %s THE_KEY | sha256sum` gives the second half."
            )
    return keys


def check_api_key(x_api_key: str | None) -> str | None:
    """The name of the key a photographer came with; None where no keys are set.

    Raises HTTPException 401: any key will do where keys are set.
    """
    keys = read_api_keys(get_settings())
    # As the bytes that were sent: HTTP hands them over as Latin-1.
    offered = sha256((x_api_key or "").encode("latin-1")).digest()
    # All are compared, each in constant time: the time taken tells nothing about them.
    fits = [name for name, digest in keys.items() if hmac.compare_digest(offered, digest)]
    if keys and not fits:
        raise HTTPException(401, "Missing or unknown X-API-Key", {"WWW-Authenticate": "X-API-Key"})
    return fits[0] if fits else None


async def require_api_key(
    request: Request,
    x_api_key: Annotated[str | None, Security(_API_KEY_HEADER)],
) -> None:
    """Let a photographer in, and note the name of the key for the log; never the key."""
    try:
        request.state.key_name = check_api_key(x_api_key)
    except HTTPException:
        count_call("refused", request)  # guessing is slow
        raise


OrchestratorDep = Annotated[Orchestrator, Depends(get_orchestrator)]
EventUuid = Annotated[UUID, Depends(parse_event_uuid)]
