"""A key's way to its stored address and back: no two keys may become one, none may change."""

import unicodedata
from urllib.parse import unquote, urlsplit

import boto3
import pytest
from botocore.config import Config
from hypothesis import assume, given
from hypothesis import strategies as st

from models.keys import (
    MAX_KEY_BYTES,
    build_image_url,
    build_previews_prefix,
    default_folder,
    derive_original_key,
    is_storable,
)

ENDPOINT = "http://127.0.0.1:8333"
BASE_URL = f"{ENDPOINT}/photos"
# What has broken keys elsewhere: quoting twice or once too little, folding, trimming, escaping.
NASTY = st.sampled_from(
    [
        *"+%#&?\"'\\ \t\n\r/~;,<>|*`^=:@$\x01\x7f\u2028\ufeff\u202e\ufffd",
        *("%20", "%2B", "%252F", "\\.", "\\N", "NULL", "//", "..", "\r\n", "\n\\.\n"),
        *("previews", "/previews/", "originals", "/originals/", ".jpg", ".JPG", ".jpg/"),
        *(
            "Свадьба",
            "😀👨‍👩‍👧",
            unicodedata.normalize("NFC", "ёй"),
            unicodedata.normalize("NFD", "ёй"),
        ),
    ]
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
NAMES = st.lists(NASTY | TEXTS, max_size=12).map("".join)
EVENT_IDS = st.sampled_from([1, 10, 2**31 - 1])


def build_url(event_id: int, name: str) -> str:
    """What a sync stores for the preview of this name."""
    folder = default_folder(event_id)
    preview = build_previews_prefix(folder) + name
    return build_image_url(BASE_URL, derive_original_key(preview, folder))


def read_key(image_url: str) -> str:
    """The key that an address names, as any client reads it."""
    parts = urlsplit(image_url)
    assert (parts.netloc, parts.query, parts.fragment) == ("127.0.0.1:8333", "", "")
    return unquote(parts.path, errors="strict").removeprefix("/photos/")


@given(EVENT_IDS, NAMES)
def test_the_originals_key_comes_back_from_the_previews_stored_address(
    event_id: int, name: str
) -> None:
    url = build_url(event_id, name)
    assert url.isascii()
    assert not set(url) & set(" \t\r\n\"'<>\\?#&+")
    assert read_key(url) == f"events/{event_id}/originals/{name}"


@given(EVENT_IDS, NAMES, NAMES)
def test_two_keys_never_share_an_address(event_id: int, one: str, other: str) -> None:
    assume(one != other)
    assert build_url(event_id, one) != build_url(event_id, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (unicodedata.normalize("NFC", "Ёжик.jpg"), unicodedata.normalize("NFD", "Ёжик.jpg")),
        ("a.jpg", "A.jpg"),
        ("a.jpg", "a.JPG"),
        ("a b.jpg", "a+b.jpg"),
        ("a b.jpg", "a%20b.jpg"),
        ("a/b.jpg", "a//b.jpg"),
        ("a/b.jpg", "a\\b.jpg"),
        ("a/b.jpg", "a%2Fb.jpg"),
        ("a.jpg", "a.jpg/"),
        ("a.jpg", "a.jpg "),
        ("previews/1.jpg", "1.jpg"),
        ("previews/1.jpg", "originals/1.jpg"),
    ],
)
def test_names_that_look_alike_stay_two(one: str, other: str) -> None:
    assert build_url(1, one) != build_url(1, other)


@pytest.fixture(scope="module")
def client() -> object:
    """A client that signs and never connects."""
    return boto3.client(
        "s3",
        endpoint_url=ENDPOINT,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        config=Config(s3={"addressing_style": "path"}),
    )


@given(name=NAMES.filter(bool))
def test_a_signed_link_has_the_path_of_the_stored_address(client: object, name: str) -> None:
    key = f"events/1/originals/{name}"
    link = client.generate_presigned_url(  # type: ignore[attr-defined]  # SQLModel's mapped table
        "get_object", Params={"Bucket": "photos", "Key": key}
    )
    assert link.partition("?")[0] == build_image_url(BASE_URL, key)


def test_the_longest_key_of_four_byte_characters_has_an_address() -> None:
    key = "events/1/previews/" + "😀" * 250 + ".jpg"
    assert 900 < len(key.encode()) < MAX_KEY_BYTES
    url = build_image_url(BASE_URL, derive_original_key(key, default_folder(1)))
    assert read_key(url) == key.replace("previews", "originals")


@given(st.text(st.characters()))
def test_what_postgresql_cannot_hold_is_known_beforehand(text: str) -> None:
    try:
        holdable = b"\0" not in text.encode()
    except UnicodeEncodeError:
        holdable = False
    assert is_storable(text) == holdable
