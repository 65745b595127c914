"""The REST route to which object stores tell of uploads."""

import base64
import binascii
import hmac
from functools import partial
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, HTTPException, Query, Request
from starlette.datastructures import Headers

from api.bulkheads.threads import Kind, get_bulkhead
from api.errors import ApiError, describe_errors
from api.hooks import sns
from api.hooks.notifications import StoreNews, choose_bucket, load_json, read_notification
from api.schemas import HookAnswer
from api.security import count_call
from models.errors import FacePassError
from models.settings import get_settings
from models.vocabulary import ErrorCode

router = APIRouter(prefix="/api/v1/hooks", tags=["hooks"])

BODY_LIMIT_S = 15.0  # for a notification to arrive
_CLOSED = (
    "No store may tell of uploads here: set FACEPASS_HOOK_SECRET, or FACEPASS_HOOK_TOPICS for "
    "Amazon SNS. docs/hooks.md shows both."
)
_WRONG = (
    "The notification lacks the secret: send FACEPASS_HOOK_SECRET as a Bearer token, as the "
    "password of the address, in X-Hook-Key, or as ?key=."
)

_ASK = {"WWW-Authenticate": "Bearer"}


@router.post(
    "/s3",
    name="tell_uploads",
    status_code=202,
    openapi_extra={
        "requestBody": {"content": {"application/json": {"schema": {}}}, "required": True}
    },
    responses=describe_errors(400, 401, 403, 408, 413, 422, 429, 503),
)
async def tell_uploads(
    request: Request,
    key: Annotated[
        str | None, Query(description="FACEPASS_HOOK_SECRET, where a store sends no header")
    ] = None,
) -> HookAnswer:
    """Take a store's notification of changed objects; syncs of their events follow.

    S3 event records, EventBridge events, SeaweedFS's filer messages and signed messages of SNS.
    """
    settings = get_settings()
    topics = settings.list_hook_topics()
    if not settings.hook_secret and not topics:
        count_call("refused", request)
        raise ApiError(403, _CLOSED, ErrorCode.HOOKS_OFF)
    knows_secret = is_secret(settings.hook_secret, request.headers, key)
    if not knows_secret and not topics:
        count_call("refused", request)
        raise ApiError(401, _WRONG, ErrorCode.HOOK_SECRET_NEEDED, _ASK)
    content = load_json(await _read_body(request))
    try:
        if (message := sns.read_message(content)) is not None:
            take = partial(_take_sns, request.app.state.sns, message, topics, knows_secret)
            news = await get_bulkhead(Kind.HOOKS).run(take)
        elif knows_secret:
            news = _read(content)
        else:
            raise ApiError(401, _WRONG, ErrorCode.HOOK_SECRET_NEEDED, _ASK)
    except (FacePassError, HTTPException):
        request.app.state.uploads.metrics.messages.labels("any", "refused").inc()
        if not knows_secret:
            count_call("refused", request)
        raise
    return _note(request, news)


def is_secret(secret: str | None, headers: Headers, key: str | None) -> bool:
    """Whether a caller shows the secret, in one of the ways in which stores can."""
    if not secret:
        return False
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    offers = [key, headers.get("x-hook-key"), token.strip() if scheme.lower() == "bearer" else None]
    if scheme.lower() == "basic":
        offers.append(_read_password(token.strip()))
    wanted = secret.encode()
    # All are compared, each in constant time.
    fits = [hmac.compare_digest(wanted, _encode(offer)) for offer in offers if offer]
    return any(fits)


async def _read_body(request: Request) -> bytes:
    try:
        with anyio.fail_after(BODY_LIMIT_S):
            return await request.body()
    except TimeoutError as error:
        raise ApiError(
            408, "The notification did not arrive in time.", ErrorCode.TOO_SLOW
        ) from error


def _take_sns(
    receiver: sns.SnsReceiver, message: dict[str, Any], topics: list[str], knows_secret: bool
) -> StoreNews:
    receiver.check(message, topics, knows_secret=knows_secret)
    if receiver.is_repeated(message):
        return StoreNews("sns", [], repeated=True)
    news = StoreNews("sns", [])
    if message["Type"] == sns.CONFIRMATION:
        receiver.confirm(message)
    elif message["Type"] == sns.NOTIFICATION:
        told = _read(load_json(message["Message"]))
        news = StoreNews("sns", told.keys, told.ignored)
    receiver.remember(message)
    return news


def _read(content: object) -> StoreNews:
    return read_notification(content, choose_bucket(get_settings().s3_bucket))


def _note(request: Request, news: StoreNews) -> HookAnswer:
    uploads = request.app.state.uploads
    uploads.metrics.messages.labels(news.store, "repeated" if news.repeated else "taken").inc()
    uploads.metrics.objects.labels("ignored").inc(news.ignored)
    if news.keys:
        uploads.add(news.keys)
    return HookAnswer(taken=len(news.keys), ignored=news.ignored, repeated=news.repeated)


def _read_password(token: str) -> str | None:
    try:
        return base64.b64decode(token, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def _encode(offer: str) -> bytes:
    # Headers come as Latin-1; ASCII secrets are the same either way.
    return offer.encode("utf-8", "surrogatepass")
