"""Guests' links: for whom they are signed, how long they work, under which name they save."""

from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ConfigurationError
from models.settings import Settings
from tasks.s3.links import build_disposition, open_link_signer

KEY = "events/1/originals/Жених + №1.jpg"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some keys: signing asks nobody whether they are right."""
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


def test_on_aws_the_bucket_is_the_host() -> None:
    link = urlsplit(open_link_signer(Settings(s3_bucket="photos")).sign_view(KEY))
    assert link.netloc.startswith("photos.s3.")
    assert link.netloc.endswith("amazonaws.com")


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
