"""The routes `/docs` and its files: Swagger UI over the API's own OpenAPI document.

Swagger UI's script and stylesheet are those that the package fastapi-offline carries.
"""

from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from string import Template
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from api.errors import ApiError
from models.vocabulary import ErrorCode

FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "start.js": "text/javascript",
}
# Swagger UI shows small pictures that its stylesheet holds as data:.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_KEPT = {"Cache-Control": "public, max-age=31536000, immutable"}

router = APIRouter(prefix="/docs", include_in_schema=False)


@router.get("")
async def read_reference(request: Request) -> HTMLResponse:
    """The page, its addresses below the path that the API is served under."""
    base = quote(request.scope.get("root_path", ""))
    page = Template(_open_own().joinpath("page.html").read_text("utf-8"))
    addresses = {"files": f"{base}/docs/{hash_files()}", "document": f"{base}/openapi.json"}
    return HTMLResponse(page.substitute(addresses), headers={"Content-Security-Policy": POLICY})


@router.get("/{version}/{name}")
async def read_reference_file(version: str, name: str) -> Response:
    """One of the page's files."""
    if name not in FILES:
        raise ApiError(404, "Not found", ErrorCode.NOT_FOUND)
    # Another release's address, met while processes are replaced, must not keep these files.
    headers = _KEPT if version == hash_files() else {"Cache-Control": "no-store"}
    return Response(_read_file(name), media_type=FILES[name], headers=headers)


@lru_cache(maxsize=1)
def hash_files() -> str:
    """The content of all files, in twelve digits: an address is new with any of them."""
    return sha256(b"".join(map(_read_file, sorted(FILES)))).hexdigest()[:12]


@lru_cache(maxsize=len(FILES))
def _read_file(name: str) -> bytes:
    own = _open_own().joinpath(name)
    carried = files("fastapi_offline").joinpath("static", name)
    return (own if own.is_file() else carried).read_bytes()


def _open_own() -> Traversable:
    return files("api.reference")
