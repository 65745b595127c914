"""The stack opened to phones of the same network (`facepass up --lan`): the API, nothing else.

The API listens on the machine's address in that network and wants a key from photographers. One is
made for it, kept in the stack's home and written into push.env and stack.env, so that `facepass
push` and `make demo-event` use it by themselves.
"""

import secrets
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from deployments.push.client import RestApi
from deployments.qr import draw_qr, find_lan_address, is_local
from deployments.stack.home import write_private
from models.errors import FacePassError, StackError
from models.settings import Settings

KEY_NAME = "lan"
KEY_FILE = "lan-key"
API_KEY = "FACEPASS_API_KEY"


def open_to_lan(settings: Settings, home: Path) -> tuple[Settings, str]:
    """The settings that let phones in, and the photographer's key. Raises StackError."""
    host = settings.api_host
    if is_local(f"//{_bracket(host)}") and not _is_everywhere(host):
        host = _require_lan_address()
    if settings.photo_delivery == "s3" and not settings.s3_bucket:
        raise StackError(
            "FACEPASS_PHOTO_DELIVERY=s3 sends phones to this computer's own S3 server, which they "
            "cannot reach: leave it out."
        )
    key = load_lan_key(home / KEY_FILE)
    pair = f"{KEY_NAME}:{sha256(key.encode()).hexdigest()}"
    others = [one for one in (settings.api_keys or "").split(",") if one.strip()]
    opened = {"api_host": host, "api_keys": ",".join([*others, pair])}
    return settings.model_copy(update=opened), key


def build_lan_url(settings: Settings, port: int) -> str:
    """The address that phones open."""
    if settings.public_url:
        return settings.public_url
    host = settings.api_host
    if _is_everywhere(host):
        host = _require_lan_address()
    return f"http://{_bracket(host)}:{port}"


def load_lan_key(path: Path) -> str:
    """The key of this home, made at the first start that needs one."""
    try:
        key = path.read_text("utf-8").strip()
    except FileNotFoundError:
        key = ""
    if not key:
        key = secrets.token_urlsafe(32)
        write_private(path, f"{key}\n")
    return key


def describe_lan(public_url: str, api_url: str, key: str) -> Iterator[str]:
    """What to do with a phone, a line each: the link, its QR code, who else can open it."""
    link, title = public_url, "For phones in the same network"
    if event := _find_newest_event(api_url, key):
        link, title = event["gallery_url"], f"The gallery of {event['name']}"
    yield f"{title}: {link}"
    yield from draw_qr(link).splitlines()
    if urlsplit(link).scheme == "http":
        yield (
            "Whoever is in this network and has an event's link can open it, and selfies travel "
            "unencrypted: docs/server.md is the way with TLS."
        )
    yield "A phone that does not open it: is it in the same Wi-Fi, does a firewall close the port?"


def _find_newest_event(api_url: str, key: str) -> dict[str, Any] | None:
    """The event that was added last and has a page, as the API tells it."""
    # Without the environment's proxy: it is for the world, not for this network.
    with closing(RestApi(api_url, key, httpx.HTTPTransport())) as api:
        try:
            events: list[dict[str, Any]] = api.get("events")
        except FacePassError:
            return None  # the stack is up all the same
    return next((event for event in events if not event.get("erased_at")), None)


def _bracket(host: str) -> str:
    """A host as addresses have it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def _is_everywhere(host: str) -> bool:
    return host in {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound


def _require_lan_address() -> str:
    address = find_lan_address()
    if address is None:
        raise StackError(
            "This machine has no address that a phone could reach: join a Wi-Fi or open a hotspot "
            "and start again, or set FACEPASS_API_HOST to the address to listen on."
        )
    return address
