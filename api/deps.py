"""What routes ask for: the orchestrator, ids in the guide's manner, a photographer's key."""

import hmac
from hashlib import sha256
from ipaddress import ip_address
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, HTTPException, Request

from api.rate_limits import get_rate_limits, name_address
from deployments.orchestrator import Orchestrator
from models.errors import ConfigurationError
from models.settings import Settings, get_settings


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


def parse_event_uuid(event_uuid: str) -> UUID:
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


def require_api_key(request: Request, x_api_key: Annotated[str | None, Header()] = None) -> None:
    """Let a photographer in: any key will do; without keys, this machine only.

    The key's name, never the key, stands in the log of the call.
    """
    keys = read_api_keys(get_settings())
    if not keys:
        _require_loopback(request)
        return
    # As the bytes that were sent: HTTP hands them over as Latin-1.
    offered = sha256((x_api_key or "").encode("latin-1")).digest()
    # All are compared, each in constant time: the time taken tells nothing about them.
    names = [name for name, digest in keys.items() if hmac.compare_digest(offered, digest)]
    limits = get_rate_limits(request)
    if not names:
        limits.count("guest", name_address(request))
        raise HTTPException(401, "Missing or unknown X-API-Key")
    request.state.key_name = names[0]
    limits.count("photographer", names[0])


def _require_loopback(request: Request) -> None:
    """However the API is served: without keys nobody else gets in.

    By the Host too: a page from elsewhere, loaded in this machine's browser under a name that
    leads to 127.0.0.1, must not call as this machine.
    """
    caller, host = name_address(request), request.url.hostname or ""
    if not is_loopback(caller) or not is_loopback(host):
        raise HTTPException(403, "Without FACEPASS_API_KEYS the API answers this machine only.")


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


OrchestratorDep = Annotated[Orchestrator, Depends(get_orchestrator)]
EventUuid = Annotated[UUID, Depends(parse_event_uuid)]
