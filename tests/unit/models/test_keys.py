"""Prefixes and keys: what belongs to an event, what is a photo, where its original lies."""

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InvalidPrefixError
from models.keys import (
    CONVERTED_KINDS,
    MAX_KEY_BYTES,
    build_image_url,
    build_run_name,
    check_prefix,
    default_prefix,
    derive_original_key,
    derive_preview_key,
    event_folder,
    is_image_key,
    judge_kind,
)

EVENT_IDS = st.integers(1, 2**31 - 1)
ANY_CHARACTERS = st.text(st.characters())  # lone surrogates and NUL among them
FOLDER_NAMES = st.sampled_from(
    ["previews", "originals", "..", ".", "", "день 1", "previews-old", "\x00", "\udcff", "a" * 900]
)
PREFIXES = ANY_CHARACTERS | st.builds(
    lambda event_id, parts: "/".join(["events", str(event_id), *parts]),
    st.sampled_from([1, 10, 11]),
    st.lists(FOLDER_NAMES | ANY_CHARACTERS, max_size=5),
)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="/"), max_size=12)
SEGMENTS = st.sampled_from(["previews", "originals", "day 1", "Свадьба"]) | WORDS
# Photos, files that are converted for their previews, and names that end as both.
NAMES = SEGMENTS | st.builds(
    lambda stem, suffixes: stem + "".join(suffixes),
    WORDS,
    st.lists(
        st.sampled_from([".jpg", ".JPG", ".jpeg", ".CR2", ".nef", ".heic", ".tif", ".avif", ".mp4"])
        | WORDS,
        max_size=4,
    ),
)


@st.composite
def preview_keys(draw: st.DrawFn) -> tuple[str, int]:
    """A key with at least one /previews/ folder inside an event's folder, and the event."""
    event_id = draw(EVENT_IDS)
    before, after = draw(st.lists(SEGMENTS, max_size=3)), draw(st.lists(SEGMENTS, max_size=3))
    path = "/".join([*before, "previews", *after, draw(NAMES)])
    return event_folder(event_id) + path, event_id


# --- check_prefix ---


@pytest.mark.parametrize(
    "prefix",
    [
        "events/1/previews/",
        "events/1/previews/день 1/",
        "events/1/previews/IMG_",
        "events/1/day1/previews/",
        "events/1/previews/previews/",
        "events/1/previews/..hidden/",
        "events/1/previews//",
    ],
)
def test_a_prefix_of_the_events_previews_is_taken_as_it_is(prefix: str) -> None:
    assert check_prefix(prefix, 1) == prefix


@pytest.mark.parametrize("prefix", ["events/1/previews", "events/1/day1/previews"])
def test_a_missing_slash_is_added_so_that_a_sibling_folder_is_not_listed(prefix: str) -> None:
    assert check_prefix(prefix, 1) == f"{prefix}/"


@pytest.mark.parametrize(
    ("prefix", "says"),
    [
        ("", "must start with events/1/"),
        ("/", "must start with events/1/"),
        ("/events/1/previews/", "must start with events/1/"),
        ("events/10/previews/", "must start with events/1/"),
        ("events/2/previews/", "must start with events/1/"),
        ("Events/1/previews/", "must start with events/1/"),
        ("events/1", "must start with events/1/"),
        ("events/1/", "must name a /previews/ folder"),
        ("events/1/originals/", "must name a /previews/ folder"),
        ("events/1/previews-old/", "must name a /previews/ folder"),
        ("events/1/Previews/", "must name a /previews/ folder"),
        ("events/1/превью/", "must name a /previews/ folder"),
        ("events/1/previews/../../2/previews/", "must not contain . or .."),
        ("events/1/../2/previews/", "must not contain . or .."),
        ("events/1/previews/./", "must not contain . or .."),
        ("events/1/previews/..", "must not contain . or .."),
        ("events/1/previews/\x00", "without zero bytes"),
        ("events/1/previews/\ud800", "must be valid text"),
        ("events/1/previews/\udfff/", "must be valid text"),
    ],
)
def test_a_prefix_outside_the_events_previews_is_refused_with_a_sentence(
    prefix: str, says: str
) -> None:
    with pytest.raises(InvalidPrefixError, match=r"^s3_prefix .*\.$") as refusal:
        check_prefix(prefix, 1)
    assert says in str(refusal.value)


def test_event_1_is_not_let_into_event_10_and_the_other_way_round() -> None:
    for prefix, event_id in (("events/10/previews/", 1), ("events/1/previews/", 10)):
        with pytest.raises(InvalidPrefixError, match=f"must start with events/{event_id}/"):
            check_prefix(prefix, event_id)


@pytest.mark.parametrize("letter", ["a", "д", "😀"])
def test_the_limit_is_counted_in_bytes_and_after_the_slash_is_added(letter: str) -> None:
    width = len(letter.encode())
    frame = len(b"events/1//previews/")
    count, rest = divmod(MAX_KEY_BYTES - frame, width)
    fits = f"events/1/{letter * count}{'x' * rest}/previews"
    assert len(check_prefix(fits, 1).encode()) == MAX_KEY_BYTES
    with pytest.raises(InvalidPrefixError, match="at most 1024 bytes"):
        check_prefix(fits.replace("/previews", "x/previews"), 1)


@given(PREFIXES, st.sampled_from([1, 10]))
def test_any_text_is_either_refused_or_a_safe_prefix(text: str, event_id: int) -> None:
    try:
        prefix = check_prefix(text, event_id)
    except InvalidPrefixError:
        return
    folder = event_folder(event_id)
    assert prefix.startswith(folder)
    assert "/previews/" in prefix[len(folder) - 1 :]
    assert len(prefix.encode()) <= MAX_KEY_BYTES
    assert not {"..", "."} & set(prefix.split("/"))
    assert prefix.removeprefix(text) in {"", "/"}
    assert check_prefix(prefix, event_id) == prefix


@given(EVENT_IDS)
def test_the_prefix_an_event_is_given_passes_its_own_check(event_id: int) -> None:
    assert check_prefix(default_prefix(event_id), event_id) == default_prefix(event_id)


# --- is_image_key ---


@pytest.mark.parametrize(
    "name",
    ["a.jpg", "a.JPG", "a.JpEg", "a.png", "a.PNG", "a.webp", "Свадьба 1.WebP", "a.b.jpg", "a..png"],
)
def test_a_photo_is_known_by_its_suffix_in_any_case(name: str) -> None:
    assert is_image_key(f"events/1/previews/{name}")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "album.jpg/",
        ".jpg",
        ".PNG",
        "jpg",
        "a.jpg.txt",
        "a.jpg ",
        "a.gif",
        "a.heic",
        "a.tiff",
        "a",
        "a.jpgx",
        "album.jpg/readme",
        ".hidden/.DS_Store",
    ],
)
def test_folders_hidden_files_and_other_files_are_no_photos(name: str) -> None:
    assert not is_image_key(f"events/1/previews/{name}")


def is_plain(name: str) -> bool:
    """Neither dots alone nor macOS's file of attributes."""
    return bool(name.strip(".")) and not name.startswith("._")


def test_macos_files_of_attributes_are_no_photos() -> None:
    assert not is_image_key("events/1/previews/._IMG_1.jpg")


@given(SEGMENTS.filter(is_plain), st.sampled_from([".jpg", ".jpeg", ".png", ".webp", ".jfif"]))
def test_any_name_before_an_image_suffix_makes_a_photo(name: str, suffix: str) -> None:
    assert is_image_key(f"events/1/previews/{name}{suffix}")
    assert is_image_key(f"events/1/previews/{name}{suffix.upper()}")
    assert not is_image_key(f"events/1/previews/{name}{suffix}/")


# --- derive_original_key ---


@pytest.mark.parametrize(
    ("preview", "original"),
    [
        ("events/1/previews/a.jpg", "events/1/originals/a.jpg"),
        ("events/1/previews/previews/1.jpg", "events/1/originals/previews/1.jpg"),
        ("events/1/day1/previews/a.jpg", "events/1/day1/originals/a.jpg"),
        ("events/1/previews-old/previews/a.jpg", "events/1/previews-old/originals/a.jpg"),
        ("events/1/previews/", "events/1/originals/"),
        ("events/1/previews/day1/IMG_", "events/1/originals/day1/IMG_"),
        ("events/1/previews/IMG_1.CR2.jpg", "events/1/originals/IMG_1.CR2"),
        ("events/1/previews/a/IMG_1.heic.jpg", "events/1/originals/a/IMG_1.heic"),
        ("events/1/previews/IMG_1.CR2.JPG", "events/1/originals/IMG_1.CR2.JPG"),
        ("events/1/previews/IMG_1.mp4.jpg", "events/1/originals/IMG_1.mp4.jpg"),
        ("events/1/previews/.CR2.jpg", "events/1/originals/.CR2.jpg"),
        ("events/1/previews/1.CR2/.jpg", "events/1/originals/1.CR2/.jpg"),
    ],
)
def test_the_first_previews_folder_of_the_event_becomes_originals(
    preview: str, original: str
) -> None:
    assert derive_original_key(preview, 1) == original


@given(preview_keys())
def test_exactly_one_folder_changes_between_preview_and_original(case: tuple[str, int]) -> None:
    key, event_id = case
    original = derive_original_key(key, event_id)
    before, after = key.split("/"), original.split("/")
    assert len(before) == len(after)
    assert before[-1] in {after[-1], f"{after[-1]}.jpg"}
    before[-1] = after[-1]
    changed = [i for i, pair in enumerate(zip(before, after, strict=True)) if len(set(pair)) > 1]
    assert [(before[i], after[i]) for i in changed] == [("previews", "originals")]
    assert changed == [before.index("previews", 2)]  # the first one after events/{id}
    assert original.startswith(event_folder(event_id))


@given(preview_keys(), SEGMENTS)
def test_a_prefix_of_previews_leads_to_a_prefix_of_their_originals(
    case: tuple[str, int], name: str
) -> None:
    key, event_id = case
    prefix = f"{key}/previews/"
    assert derive_original_key(prefix + name, event_id) == (
        derive_original_key(prefix, event_id) + name
    )


# --- derive_preview_key ---


@pytest.mark.parametrize(
    ("original", "preview"),
    [
        ("events/1/originals/ё.jpg", "events/1/previews/ё.jpg"),
        ("events/1/day2/originals/a/b.jpg", "events/1/day2/previews/a/b.jpg"),
        ("events/1/originals/previews/a.jpg", "events/1/previews/previews/a.jpg"),
        ("events/1/originals/originals/a.jpg", "events/1/previews/originals/a.jpg"),
        ("events/1/previews/originals/a.jpg", None),
        ("events/1/previews/a.jpg", None),
        ("events/1/originals.jpg", None),
        ("events/1/my originals/a.jpg", None),
        ("events/1/originals/IMG_1.CR2", "events/1/previews/IMG_1.CR2.jpg"),
        ("events/1/originals/IMG_1.HEIC", "events/1/previews/IMG_1.HEIC.jpg"),
        ("events/1/originals/IMG_1.Tiff", "events/1/previews/IMG_1.Tiff.jpg"),
        ("events/1/originals/IMG_1.avif", "events/1/previews/IMG_1.avif.jpg"),
        ("events/1/originals/IMG_1.CR2.jpg", "events/1/previews/IMG_1.CR2.jpg.jpg"),
        ("events/1/originals/IMG_1.CR2.JPG", "events/1/previews/IMG_1.CR2.JPG"),
        ("events/1/originals/IMG_1.mp4", "events/1/previews/IMG_1.mp4"),
        ("events/1/originals/._IMG_1.CR2", "events/1/previews/._IMG_1.CR2"),
    ],
)
def test_an_originals_preview_lies_in_the_folder_beside_it(
    original: str, preview: str | None
) -> None:
    assert derive_preview_key(original, 1) == preview


@given(EVENT_IDS, st.lists(SEGMENTS, max_size=5), NAMES)
def test_a_preview_is_its_originals_and_no_other_ones(
    event_id: int, parts: list[str], name: str
) -> None:
    original = event_folder(event_id) + "/".join([*parts, name])
    preview = derive_preview_key(original, event_id)
    if preview is not None:
        assert derive_original_key(preview, event_id) == original
        assert derive_preview_key(preview, event_id) is None


@given(preview_keys())
def test_a_preview_that_has_an_original_is_the_one_that_original_gets(
    case: tuple[str, int],
) -> None:
    preview, event_id = case
    is_original = derive_preview_key(preview, event_id) is not None
    if not is_original and judge_kind(preview) not in CONVERTED_KINDS:
        assert derive_preview_key(derive_original_key(preview, event_id), event_id) == preview


# --- build_image_url ---


def test_the_address_has_the_guides_form() -> None:
    assert (
        build_image_url("https://s3.example.org/bucket", "events/1/originals/Фото №1 ~+.jpg")
        == "https://s3.example.org/bucket/events/1/originals/"
        "%D0%A4%D0%BE%D1%82%D0%BE%20%E2%84%961%20~%2B.jpg"
    )


@given(st.text(st.characters(codec="utf-8")))
def test_any_key_comes_back_from_its_address(key: str) -> None:
    url = build_image_url("https://s3.example.org/bucket", key)
    parts = urlsplit(url)
    assert url.isascii()
    assert (parts.netloc, parts.query, parts.fragment) == ("s3.example.org", "", "")
    assert unquote(parts.path, errors="strict") == f"/bucket/{key}"
    assert parts.path.count("/") == key.count("/") + 2


def test_a_run_is_called_by_its_events_name() -> None:
    assert build_run_name("Свадьба", "events/1/previews/") == "Свадьба · events/1/previews/"
