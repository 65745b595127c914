"""Guests' links: for whom they are signed, how long they work, under which name they save."""

from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ConfigurationError
from models.settings import Settings
from tasks.s3 import links
from tasks.s3.links import build_disposition, open_link_signer

KEY = "events/1/originals/Жених + №1.jpg"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some keys, and an S3 that is away: then links are signed as it is configured."""
    monkeypatch.setattr(links, "learn_region", lambda _: None)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")


def test_a_link_is_made_for_the_public_endpoint_and_expires() -> None:
    settings = Settings(
        s3_bucket="photos",
        s3_endpoint_url="http://10.0.0.5:8333",
        s3_public_endpoint_url="https://photos.example.com",
        link_lifetime_s=60,
    )

    link = urlsplit(open_link_signer(settings).sign_view(KEY))

    assert (link.scheme, link.netloc) == ("https", "photos.example.com")
    assert unquote(link.path) == f"/photos/{KEY}"
    query = parse_qs(link.query)
    assert (query["X-Amz-Expires"], query["X-Amz-SignedHeaders"]) == (["60"], ["host"])
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert "secret" not in link.geturl()


def test_a_links_address_is_the_same_for_half_of_its_life(monkeypatch: pytest.MonkeyPatch) -> None:
    signer = open_link_signer(Settings(s3_bucket="photos", link_lifetime_s=900))

    def sign(moment: float) -> str:
        monkeypatch.setattr(links.time, "time", lambda: moment)
        return signer.sign_view(KEY)

    # 2023-11-14 22:07:30 and 22:15:00 are whole steps of 450 seconds.
    assert sign(1_700_000_000) == sign(1_700_000_099.9)
    assert sign(1_700_000_100) != sign(1_700_000_099.9)
    assert parse_qs(urlsplit(sign(1_700_000_000)).query)["X-Amz-Date"] == ["20231114T220730Z"]


@pytest.mark.parametrize("seconds", [1, 2, 3])
def test_a_link_that_lives_seconds_is_signed_as_of_now(
    monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    signer = open_link_signer(Settings(s3_bucket="photos", link_lifetime_s=seconds))
    monkeypatch.setattr(links.time, "time", lambda: 1_700_000_000.5)
    assert "20231114T221320Z" in signer.sign_view(KEY)


@pytest.mark.parametrize("configured", ["us-east-1", "eu-central-1", "af-south-1"])
@pytest.mark.parametrize("bucket_region", ["eu-central-1", "af-south-1", "me-central-1"])
def test_on_aws_a_link_leads_to_the_buckets_own_region(
    monkeypatch: pytest.MonkeyPatch, configured: str, bucket_region: str
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", configured)
    monkeypatch.setattr(links, "learn_region", lambda _: bucket_region)
    link = urlsplit(open_link_signer(Settings(s3_bucket="photos")).sign_view(KEY))
    assert link.netloc == f"photos.s3.{bucket_region}.amazonaws.com"
    assert f"/{bucket_region}/s3/" in parse_qs(link.query)["X-Amz-Credential"][0]


def test_on_aws_a_link_leads_to_the_configured_region_while_s3_is_away() -> None:
    link = urlsplit(open_link_signer(Settings(s3_bucket="photos")).sign_view(KEY))
    assert link.netloc == "photos.s3.eu-central-1.amazonaws.com"


def test_a_bucket_with_dots_is_addressed_by_path_for_its_certificates_sake() -> None:
    link = urlsplit(open_link_signer(Settings(s3_bucket="my.photos")).sign_view(KEY))
    assert link.netloc == "s3.eu-central-1.amazonaws.com"
    assert link.path.startswith("/my.photos/events/")


def test_china_has_hosts_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "cn-north-1")
    link = urlsplit(open_link_signer(Settings(s3_bucket="photos")).sign_view(KEY))
    assert link.netloc == "photos.s3.cn-north-1.amazonaws.com.cn"


def test_an_endpoint_of_awss_own_variable_is_another_stores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example.com")
    link = urlsplit(open_link_signer(Settings(s3_bucket="photos")).sign_view(KEY))
    assert (link.netloc, link.path[:8]) == ("s3.example.com", "/photos/")


def test_a_store_may_want_the_bucket_in_the_hosts_name() -> None:
    settings = Settings(
        s3_bucket="photos", s3_endpoint_url="https://oss.example.com", s3_addressing="virtual"
    )
    link = urlsplit(open_link_signer(settings).sign_view(KEY))
    assert (link.netloc, link.path[:8]) == ("photos.oss.example.com", "/events/")


def test_s3_is_asked_once_for_the_region_and_again_only_after_it_was_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [None, "eu-west-1"]
    monkeypatch.setattr(links, "learn_region", lambda _: answers.pop(0))
    now = [1000.0]
    monkeypatch.setattr(links.time, "monotonic", lambda: now[0])
    signer = open_link_signer(Settings(s3_bucket="photos"))
    signed = [signer.sign_view(KEY)]
    signed.append(signer.sign_view(KEY))
    now[0] += links.ASK_AGAIN_S
    signed.append(signer.sign_view(KEY))
    now[0] += links.ASK_AGAIN_S
    signed.append(signer.sign_view(KEY))
    regions = [parse_qs(urlsplit(link).query)["X-Amz-Credential"][0] for link in signed]
    assert [region.split("/")[2] for region in regions] == ["eu-central-1"] * 2 + ["eu-west-1"] * 2


def test_links_ask_for_no_checksum() -> None:
    for endpoint in (None, "https://s3.example.com"):
        signer = open_link_signer(Settings(s3_bucket="photos", s3_endpoint_url=endpoint))
        assert "checksum" not in signer.sign_view(KEY).lower()


def test_an_original_is_saved_and_a_preview_shown() -> None:
    signer = open_link_signer(Settings(s3_bucket="photos"))
    saved = parse_qs(urlsplit(signer.sign_download(KEY)).query)["response-content-disposition"]
    assert saved == [build_disposition("Жених + №1.jpg")]
    shown = parse_qs(urlsplit(signer.sign_view(KEY)).query)
    assert shown["response-content-disposition"] == ["inline"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jpg", "image/jpeg"),
        ("a.JPEG", "image/jpeg"),
        ("a.png", "image/png"),
        ("a.webp", "image/webp"),
        ("a.JFIF", "image/jpeg"),
        ("a.heic", "image/heic"),
        ("a.svg", "application/octet-stream"),
        ("a.html", "application/octet-stream"),
        ("svg", "application/octet-stream"),
    ],
)
def test_the_keys_suffix_says_what_a_link_answers_whatever_was_uploaded(
    name: str, kind: str
) -> None:
    signer = open_link_signer(Settings(s3_bucket="photos"))
    for link in (signer.sign_view(f"events/1/{name}"), signer.sign_download(f"events/1/{name}")):
        assert parse_qs(urlsplit(link).query)["response-content-type"] == [kind]


def test_an_endpoint_that_is_no_address_gets_a_sentence() -> None:
    with pytest.raises(ConfigurationError, match="FACEPASS_S3_PUBLIC_ENDPOINT_URL"):
        open_link_signer(Settings(s3_bucket="b", s3_public_endpoint_url="no address"))


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_file_name_makes_a_header_that_gives_it_back(name: str) -> None:
    header = build_disposition(name)
    assert header.isascii()
    assert header.isprintable()
    plain, encoded = header.removeprefix('attachment; filename="').split("\"; filename*=UTF-8''")
    assert '"' not in plain
    assert "\\" not in plain
    assert unquote(encoded, errors="strict") == name
