"""One sync, previews and links against stores that differ from each other."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import httpx
import pytest

from api.app import create_app
from models.errors import S3AccessError, S3DownloadError
from models.settings import get_settings
from tasks.s3.bucket import Feature, get_bucket, open_bucket
from tasks.s3.errors import quote_s3
from tasks.s3.links import get_link_signer, open_link_signer
from tests.support.event_box import EventBox
from tests.support.http_server import QuietHandler, serve_http
from tests.support.local_client import open_local_client
from tests.support.photos import encode_jpeg, read_sample, vary
from tests.support.store_proxy import (
    Refusal,
    Rule,
    StoreProxy,
    insist_on_region,
    refuse_checksums,
    refuse_conditional_reads,
    refuse_conditional_writes,
    refuse_keys,
)

CAP = Refusal(
    403,
    "AccessDenied",
    "Cannot download file, download bandwidth or transaction (Class B) cap exceeded.",
)
MOTO = """
import sys
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""

Play = Callable[..., StoreProxy]


@pytest.fixture
def play(joined_stack: dict[str, str], configure: Callable[..., None]) -> Iterator[Play]:
    """Starts a proxy before the stack's S3 that plays another store by these rules."""
    proxies = []

    def start(*rules: Rule) -> StoreProxy:
        proxy = StoreProxy(joined_stack["FACEPASS_S3_ENDPOINT_URL"], list(rules))
        context = proxy.serve()
        context.__enter__()
        proxies.append(context)
        configure(s3_endpoint_url=proxy.url)
        return proxy

    yield start
    for context in proxies:
        context.__exit__(None, None, None)


@contextmanager
def serve_moto() -> Iterator[str]:
    """moto's S3 in a process of its own, which keeps its state and ends with its input."""
    with subprocess.Popen(
        [sys.executable, "-c", MOTO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin and process.stdin.close()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prefixes of which make_previews would have a worker sync."""
    from flows import make_previews

    prefixes: list[str] = []

    def note(_: int, run_names: dict[str, str]) -> list[UUID]:
        prefixes.extend(run_names)
        return []

    monkeypatch.setattr(make_previews, "start_syncs", note)
    return prefixes


def use_store(started: list[str]) -> EventBox:
    """Originals to previews to faces to links, with two photos."""
    from flows.make_previews import make_previews

    event = EventBox()
    for number in range(2):
        event.bucket.client.put_object(
            Bucket=event.bucket.name,
            Key=f"events/{event.id}/originals/{number}.jpg",
            Body=vary(read_sample("astronaut.png"), number),
        )
    made = make_previews(event.id, return_state=True)
    assert made.is_completed(), made.message
    assert made.result()["made"] == 2
    assert started == [event.prefix]
    result = event.sync().result
    assert (result["new_photos"], result["faces_found"], result["failed"]) == (2, 2, 0)
    assert event.sync().result["skipped"] == 2
    return event


def expect_links(event: EventBox) -> None:
    """Both links of a photo open for somebody who has nothing but the link."""
    signer = get_link_signer()
    for link in (
        signer.sign_view(f"{event.prefix}0.jpg"),
        signer.sign_download(f"events/{event.id}/originals/0.jpg"),
    ):
        answer = httpx.get(link, trust_env=False)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.content.startswith(b"\xff\xd8")
    signer.check(get_bucket())


def test_the_embedded_store(joined_stack: dict[str, str], started: list[str]) -> None:
    event = use_store(started)
    expect_links(event)
    assert event.bucket.lacking == set()


def test_motos_server(
    joined_stack: dict[str, str],
    configure: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    started: list[str],
) -> None:
    with serve_moto() as url:
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        configure(s3_endpoint_url=url, s3_bucket="photos")
        get_bucket().client.create_bucket(
            Bucket="photos", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        get_link_signer().check(get_bucket())  # of an empty bucket
        event = use_store(started)
        expect_links(event)
    assert event.bucket.lacking == set()


@pytest.mark.parametrize(
    ("status", "code"),
    [(501, "NotImplemented"), (400, "NotImplemented"), (400, "InvalidArgument"), (405, "X")],
)
def test_a_store_without_conditional_writes_and_checksums(
    play: Play, started: list[str], status: int, code: str
) -> None:
    proxy = play(refuse_conditional_writes(status, code), refuse_checksums)
    event = use_store(started)
    assert event.bucket.lacking == {Feature.CONDITIONAL_PUT}
    # Each thread may find out once.
    assert 1 <= len(proxy.refused) <= 2
    # The photographer's own preview is left alone there too.
    own = encode_jpeg(read_sample("coffee.png"))
    event.put("own.jpg", own)
    from flows.make_previews import make_previews

    assert make_previews(event.id, return_state=True).result()["kept"] == 3
    answer = event.bucket.client.get_object(Bucket=event.bucket.name, Key=f"{event.prefix}own.jpg")
    assert answer["Body"].read() == own


def test_a_store_without_conditional_reads(play: Play, started: list[str]) -> None:
    play(refuse_conditional_reads)
    event = use_store(started)
    assert event.bucket.lacking == {Feature.CONDITIONAL_GET}


def test_a_store_that_insists_on_another_region_than_the_configured(
    play: Play, started: list[str]
) -> None:
    play(insist_on_region("eu-west-1"))
    expect_links(use_store(started))


def test_a_store_that_insists_on_a_region_and_names_it_in_words_only_gets_a_sentence(
    play: Play,
) -> None:
    play(insist_on_region("eu-west-1", names_it=False))
    with pytest.raises(S3AccessError, match="AWS_DEFAULT_REGION=eu-west-1"):
        get_bucket().check()


def test_links_for_a_public_address_are_signed_for_the_buckets_region_too(
    play: Play, configure: Callable[..., None], started: list[str]
) -> None:
    inside = play(insist_on_region("eu-west-1"))
    public = play(insist_on_region("eu-west-1"))
    configure(s3_endpoint_url=inside.url, s3_public_endpoint_url=public.url)
    expect_links(use_store(started))


def test_links_with_a_prefect_blocks_credentials_are_signed_for_the_buckets_region_too(
    play: Play,
    joined_stack: dict[str, str],
    configure: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    started: list[str],
) -> None:
    from prefect_aws import AwsCredentials

    AwsCredentials(
        aws_access_key_id=joined_stack["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=joined_stack["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    ).save("facepass-stores", overwrite=True)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    configure(aws_credentials_block="facepass-stores")
    play(insist_on_region("eu-west-1"))
    expect_links(use_store(started))


def test_a_store_that_was_away_is_asked_for_its_region_later(
    play: Play, event: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = event.put("0.jpg", b"x")
    event.put("0.jpg", b"x")
    away: list[Rule] = [lambda _: Refusal(503, "SlowDown")]
    proxy = play(*away)
    signer = open_link_signer(get_settings())
    assert "us-east-1" in signer.sign_view(key)
    proxy.rules[:] = [insist_on_region("eu-west-1")]
    monkeypatch.setattr(signer, "_ask_at", 0.0)  # a minute later
    assert httpx.get(signer.sign_view(key), trust_env=False).status_code == 200


# --- what is told ---


def read_ready() -> int:
    """The status of /ready; the first answer's imports may take longer than its patience."""
    with open_local_client(create_app()) as client:
        statuses = [client.get("/ready").status_code for _ in range(3)]
    return statuses[-1]


def test_ready_opens_a_link_and_says_what_to_set_where_it_is_refused(
    play: Play, configure: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    assert read_ready() == 200
    refused = play(lambda request: Refusal(403, "SignatureDoesNotMatch", "host"))
    inside = play()
    configure(s3_endpoint_url=inside.url, s3_public_endpoint_url=refused.url)
    assert read_ready() == 200  # guests open no links
    configure(photo_delivery="s3")
    assert read_ready() == 503
    assert "FACEPASS_S3_PUBLIC_ENDPOINT_URL" in caplog.text


class _Website(QuietHandler):
    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        page = b"<!doctype html><title>a website</title><p>hello<br>"
        status = 404 if "lost" in self.server_version else 200
        self.answer(status, page, [("Content-Type", "text/html")])


@pytest.mark.parametrize("version", ["found", "lost"])
def test_a_public_address_of_a_website_is_found_out(
    event: EventBox, configure: Callable[..., None], version: str
) -> None:
    event.put("0.jpg", b"x")
    with serve_http(_Website, server_version=version) as url:
        configure(s3_public_endpoint_url=url)
        with pytest.raises(S3AccessError, match="FACEPASS_S3_PUBLIC_ENDPOINT_URL"):
            get_link_signer().check(get_bucket())


def test_a_public_address_that_is_not_reached_from_here_is_no_fault(
    event: EventBox, configure: Callable[..., None]
) -> None:
    configure(s3_public_endpoint_url="http://127.0.0.1:9")
    get_link_signer().check(get_bucket())


def test_a_checked_link_stands_for_a_while(play: Play) -> None:
    asked: list[str] = []
    play(lambda request: asked.append(request.method))
    signer, bucket = get_link_signer(), get_bucket()
    signer.check(bucket)
    before = len(asked)
    signer.check(bucket)
    assert len(asked) == before


def test_a_refused_write_is_not_told_as_originals_that_could_not_be_read(
    play: Play, started: list[str]
) -> None:
    from flows.make_previews import make_previews

    event = EventBox()
    event.bucket.client.put_object(
        Bucket=event.bucket.name,
        Key=f"events/{event.id}/originals/0.jpg",
        Body=vary(read_sample("astronaut.png"), 0),
    )
    play(lambda request: Refusal(503, "SlowDown") if request.method == "PUT" else None)
    with pytest.raises(S3DownloadError) as raised:
        make_previews.with_options(retries=0)(event.id)
    assert "read" not in str(raised.value)
    assert "SlowDown" in str(raised.value)


def test_b2s_cap_is_no_photos_fault_and_leads_to_the_console(
    play: Play, event: EventBox, prefect: httpx.Client
) -> None:
    for number in range(2):
        event.put(f"{number}.jpg", vary(read_sample("astronaut.png"), number))
    play(refuse_keys(".jpg", CAP))
    outcome = event.sync()
    assert "console" in str(outcome.state.message)
    assert {row.status for row in event.photos().values()} == {"pending"}


def test_a_buckets_name_in_the_endpoint_is_said_so(
    joined_stack: dict[str, str], configure: Callable[..., None]
) -> None:
    url = joined_stack["FACEPASS_S3_ENDPOINT_URL"]
    configure(s3_endpoint_url=f"{url}/{get_bucket().name}")
    with pytest.raises(S3AccessError, match="without the bucket's name"):
        get_bucket().check()


def test_a_port_that_is_no_s3_is_said_so(
    joined_stack: dict[str, str], configure: Callable[..., None]
) -> None:
    for url in (joined_stack["FACEPASS_API_URL"], joined_stack["PREFECT_API_URL"]):
        configure(s3_endpoint_url=url.removesuffix("/api"))
        with pytest.raises(S3AccessError, match="is not S3"):
            get_bucket().check()
    with serve_http(_Website, server_version="found") as url:
        configure(s3_endpoint_url=url)
        with pytest.raises(S3DownloadError, match="FACEPASS_S3_ENDPOINT_URL"):
            open_bucket(get_settings(), tries=1).check()


def test_s3s_own_words_are_kept_for_the_log(play: Play) -> None:
    play(lambda request: Refusal(503, "SlowDown", "Please reduce your request rate."))
    with pytest.raises(S3DownloadError) as raised:
        open_bucket(get_settings(), tries=1).check()
    assert quote_s3(raised.value) == "SlowDown: Please reduce your request rate."
