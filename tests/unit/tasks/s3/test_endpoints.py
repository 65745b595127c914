"""Endpoints that are no S3, or an S3 that refuses: what is said, and what is learnt from them."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from models.errors import S3AccessError
from models.settings import Settings
from tasks.s3.bucket import learn_region, open_bucket
from tasks.s3.links import LinkSigner, open_link_signer
from tests.support.http_server import QuietHandler, serve_http

Headers = list[tuple[str, str]]
Answer = tuple[int, Headers, bytes]

PAGE = b"<html><head><title>302 Found</title></head><body><hr>nginx</body></html>"


def refuse(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>refused</Message></Error>".encode()


def list_keys(*keys: str) -> bytes:
    rows = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in keys)
    return (
        f"<ListBucketResult><Name>photos</Name><KeyCount>{len(keys)}</KeyCount>{rows}"
        "</ListBucketResult>"
    ).encode()


class _Endpoint(QuietHandler):
    respond: Callable[["_Endpoint"], Answer]

    def _serve(self) -> None:
        status, headers, body = type(self).respond(self)
        self.answer(status, b"" if self.command == "HEAD" else body, headers)

    do_GET = do_HEAD = _serve  # noqa: N815 - http.server's names


Serve = Callable[[Callable[[QuietHandler], Answer]], Settings]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Settings of an endpoint that answers so."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "some-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    with ExitStack() as servers:

        def start(respond: Callable[[QuietHandler], Answer]) -> Settings:
            url = servers.enter_context(serve_http(_Endpoint, respond=staticmethod(respond)))
            return Settings(s3_bucket="photos", s3_endpoint_url=url)

        yield start


# --- redirects and the region ---


@pytest.mark.parametrize("body", [PAGE, b"<html><p>moved<br></html>", b""])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_an_endpoint_that_sends_elsewhere_is_said_so(
    serve: Serve, status: int, body: bytes
) -> None:
    settings = serve(lambda _: (status, [("Location", "https://s3.example.com/")], body))
    bucket = open_bucket(settings, tries=1)
    with pytest.raises(S3AccessError, match="sends elsewhere"):
        bucket.check()
    with pytest.raises(S3AccessError, match="sends elsewhere"):
        bucket.read_head("events/1/previews/0.jpg")
    assert learn_region(settings) is None
    assert "eu-central-1" in open_link_signer(settings).sign_view("events/1/previews/0.jpg")


def test_a_redirect_that_names_the_region_is_followed(serve: Serve) -> None:
    def respond(request: QuietHandler) -> Answer:
        if "/eu-west-1/" in request.headers["Authorization"]:
            return 200, [], list_keys()
        return 301, [("x-amz-bucket-region", "eu-west-1")], refuse("PermanentRedirect")

    settings = serve(respond)
    open_bucket(settings, tries=1).check()
    assert learn_region(settings) == "eu-west-1"


@pytest.mark.parametrize(
    ("status", "body", "region"),
    [
        (200, list_keys(), "eu-central-1"),
        (403, refuse("AccessDenied"), "eu-central-1"),
        (403, refuse("InvalidAccessKeyId"), None),
        (403, refuse("SignatureDoesNotMatch"), None),
        (404, refuse("NoSuchBucket"), None),
        (404, PAGE, None),
        (403, PAGE, None),
        (401, b"", None),
        (200, b"<html><body/></html>", None),
        (200, b"", None),
    ],
)
def test_only_s3s_own_answer_tells_the_region(
    serve: Serve, status: int, body: bytes, region: str | None
) -> None:
    assert learn_region(serve(lambda _: (status, [], body))) == region


# --- links ---


def play_store(keys: list[str], given: Answer) -> Callable[[QuietHandler], Answer]:
    """A bucket with these keys whose objects are all answered so."""

    def respond(request: QuietHandler) -> Answer:
        if "list-type=2" not in request.path:
            return given
        prefix = "events/" if "prefix=events" in request.path else ""
        found = [key for key in keys if key.startswith(prefix)]
        return 200, [], list_keys(*found[:1])

    return respond


def check_links(settings: Settings) -> LinkSigner:
    signer = open_link_signer(settings)
    signer.check(open_bucket(settings, tries=1))
    return signer


@pytest.mark.parametrize("code", ["AccessDenied", "Forbidden"])
@pytest.mark.parametrize("key", ["events/1/previews/0.jpg", "weddings/anna/0.jpg"])
def test_links_that_are_denied_what_is_listed_are_a_fault(
    serve: Serve, key: str, code: str
) -> None:
    settings = serve(play_store([key], (403, [], refuse(code))))
    with pytest.raises(S3AccessError, match="s3:GetObject"):
        check_links(settings)


def test_links_to_what_is_archived_or_not_there_are_well(serve: Serve) -> None:
    check_links(serve(play_store(["events/0.jpg"], (403, [], refuse("InvalidObjectState")))))
    check_links(serve(play_store([], (404, [], refuse("NoSuchKey")))))


def test_a_link_is_tried_where_all_events_have_prefixes_of_their_own(serve: Serve) -> None:
    with pytest.raises(S3AccessError, match="lead to what is not the bucket"):
        check_links(serve(play_store(["weddings/0.jpg"], (404, [], refuse("NoSuchKey")))))


def test_a_store_that_ignores_the_range_is_not_read_to_the_end(serve: Serve) -> None:
    whole = 64 * 1024 * 1024
    sent: list[int] = []

    def respond(request: QuietHandler) -> Answer:
        if "list-type=2" in request.path:
            return 200, [], list_keys("events/1/originals/0.jpg")
        request.send_response(200)
        request.send_header("Content-Length", str(whole))
        request.end_headers()
        try:
            for _ in range(whole // 65536):
                request.wfile.write(bytes(65536))
                sent.append(65536)
        finally:
            request.close_connection = True
        raise ConnectionAbortedError

    check_links(serve(respond))
    assert sum(sent) < whole
