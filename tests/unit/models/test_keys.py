"""Prefixes and keys: what belongs to an event, what is a photo, where its original lies."""

import unicodedata
from urllib.parse import unquote, urlsplit
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InvalidPrefixError
from models.keys import (
    CONVERTED_KINDS,
    MAX_KEY_BYTES,
    FileKind,
    build_image_url,
    build_previews_prefix,
    build_run_name,
    build_sort_name,
    check_prefix,
    cut_event_folder,
    default_folder,
    derive_original_key,
    derive_originals_prefix,
    derive_preview_key,
    derive_view_keys,
    find_viewed,
    fold_key,
    is_image_key,
    is_storable,
    judge_kind,
    rank_original,
    read_own_folder,
    require_unnumbered,
)

EVENT_1 = "events/1/"
UUID_1 = UUID("550e8400-e29b-41d4-a716-446655440000")
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

# As own prefixes are sent: plain ones, each other's parents and children, and anything at all.
OWN_PARTS = st.sampled_from(
    [
        "a",
        "ab",
        "é",
        "e\u0301",
        "previews",
        "events",
        "1",
        "2",
        "007",
        "{uuid}",
        "..",
        "",
        "results",
    ]
)
OWN_PREFIXES = st.lists(OWN_PARTS, min_size=1, max_size=4).map("/".join).map(
    "{}/previews/".format
) | (ANY_CHARACTERS.map("{}/previews".format))
FOLDERS = EVENT_IDS.map(default_folder) | st.lists(
    st.sampled_from(["a", "previews", "originals", "день 1"]), min_size=1, max_size=3
).map(lambda parts: "/".join(parts) + "/")


@st.composite
def preview_keys(draw: st.DrawFn) -> tuple[str, str]:
    """A key with at least one /previews/ folder inside an event's folder, and that folder."""
    folder = draw(FOLDERS)
    before, after = draw(st.lists(SEGMENTS, max_size=3)), draw(st.lists(SEGMENTS, max_size=3))
    path = "/".join([*before, "previews", *after, draw(NAMES)])
    return folder + path, folder


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
    assert check_prefix(prefix, EVENT_1) == prefix


@pytest.mark.parametrize("prefix", ["events/1/previews", "events/1/day1/previews"])
def test_a_missing_slash_is_added_so_that_a_sibling_folder_is_not_listed(prefix: str) -> None:
    assert check_prefix(prefix, EVENT_1) == f"{prefix}/"


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
        check_prefix(prefix, EVENT_1)
    assert says in str(refusal.value)


def test_event_1_is_not_let_into_event_10_and_the_other_way_round() -> None:
    for prefix, event_id in (("events/10/previews/", 1), ("events/1/previews/", 10)):
        with pytest.raises(InvalidPrefixError, match=f"must start with events/{event_id}/"):
            check_prefix(prefix, default_folder(event_id))


@pytest.mark.parametrize("letter", ["a", "д", "😀"])
def test_the_limit_is_counted_in_bytes_and_after_the_slash_is_added(letter: str) -> None:
    width = len(letter.encode())
    frame = len(b"events/1//previews/")
    count, rest = divmod(MAX_KEY_BYTES - frame, width)
    fits = f"events/1/{letter * count}{'x' * rest}/previews"
    assert len(check_prefix(fits, EVENT_1).encode()) == MAX_KEY_BYTES
    with pytest.raises(InvalidPrefixError, match="at most 1024 bytes"):
        check_prefix(fits.replace("/previews", "x/previews"), EVENT_1)


@given(PREFIXES, st.sampled_from([1, 10]))
def test_any_text_is_either_refused_or_a_safe_prefix(text: str, event_id: int) -> None:
    try:
        prefix = check_prefix(text, default_folder(event_id))
    except InvalidPrefixError:
        return
    folder = default_folder(event_id)
    assert prefix.startswith(folder)
    assert "/previews/" in prefix[len(folder) - 1 :]
    assert len(prefix.encode()) <= MAX_KEY_BYTES
    assert not {"..", "."} & set(prefix.split("/"))
    assert prefix.removeprefix(text) in {"", "/"}
    assert check_prefix(prefix, default_folder(event_id)) == prefix


@given(FOLDERS)
def test_the_prefix_an_event_is_given_passes_its_own_check(folder: str) -> None:
    previews = build_previews_prefix(folder)
    assert check_prefix(previews, folder) == previews


# --- an event's own prefix ---


def claim(prefix: str, event_id: int, event_uuid: UUID = UUID_1) -> str:
    """The folder of an event that is registered with a prefix, as far as its text goes."""
    folder = read_own_folder(prefix, event_uuid)
    require_unnumbered(folder, event_id)
    return folder


@pytest.mark.parametrize(
    ("prefix", "folder"),
    [
        ("production/photos/{uuid}/previews/", f"production/photos/{UUID_1}/"),
        ("production/photos/{uuid}/previews", f"production/photos/{UUID_1}/"),
        ("{uuid}/previews/", f"{UUID_1}/"),
        ("Свадьба Анны/previews/", "Свадьба Анны/"),
        ("a/previews/previews/", "a/previews/"),
        ("events/anna/previews/", "events/anna/"),
        ("events/1/previews/", "events/1/"),
        ("events/1/day 2/previews/", "events/1/day 2/"),
        ("results-2026/previews/", "results-2026/"),
        ("embedded/previews/", "embedded/"),
        ("a..b/.c/previews/", "a..b/.c/"),
    ],
)
def test_any_folder_that_ends_in_previews_may_be_an_events_own(prefix: str, folder: str) -> None:
    assert claim(prefix, 1) == folder
    previews = build_previews_prefix(folder)
    assert check_prefix(previews, folder) == previews
    assert cut_event_folder(previews) == folder


@pytest.mark.parametrize(
    ("prefix", "says"),
    [
        ("", "must end in a folder and /previews/"),
        ("previews/", "must end in a folder and /previews/"),
        ("previews", "must end in a folder and /previews/"),
        ("production/photos/", "must end in a folder and /previews/"),
        ("production/Previews/", "must end in a folder and /previews/"),
        ("production/previews/ ", "must end in a folder and /previews/"),
        ("production/my-previews/", "must end in a folder and /previews/"),
        ("production/previews/day1/", "must end in a folder and /previews/"),
        ("/previews/", "must begin with a folder's name"),
        ("/production/previews/", "must begin with a folder's name"),
        ("production//previews/", "must begin with a folder's name"),
        ("a/../b/previews/", "must begin with a folder's name"),
        ("./previews/", "must begin with a folder's name"),
        ("production/{id}/previews/", "no other placeholder than {uuid}"),
        ("production/{uuid/previews/", "no other placeholder than {uuid}"),
        ("a\x00/previews/", "without control characters"),
        ("a\n/previews/", "without control characters"),
        ("\ud800/previews/", "without control characters"),
        ("я" * 252 + "/previews/", "at most 512 bytes"),
        ("results/previews/", "where cached faces may lie"),
        ("results/2026/previews/", "where cached faces may lie"),
        ("embed/7/previews/", "where cached faces may lie"),
        ("events/previews/", "begin with events/ and a number"),
        ("events/2/previews/", "begin with events/ and a number"),
        ("events/2147483647/previews/", "begin with events/ and a number"),
        ("events/10/previews/", "begin with events/ and a number"),
        ("events/2/day 1/previews/", "begin with events/ and a number"),
    ],
)
def test_a_prefix_that_can_be_no_events_own_is_refused_with_a_sentence(
    prefix: str, says: str
) -> None:
    with pytest.raises(InvalidPrefixError, match=r"^s3_prefix .*\.$") as refusal:
        claim(prefix, 1)
    assert says in str(refusal.value)


def overlap(first: str, second: str) -> bool:
    """Whether one of two folders is, or holds, the other."""
    return first.startswith(second) or second.startswith(first)


@given(OWN_PREFIXES, EVENT_IDS, st.uuids())
def test_an_own_folder_is_safe_and_touches_no_default_one(
    text: str, event_id: int, event_uuid: UUID
) -> None:
    try:
        folder = claim(text, event_id, event_uuid)
    except InvalidPrefixError:
        return
    assert folder.endswith("/")
    assert not {"", ".", ".."} & set(folder[:-1].split("/"))
    assert is_storable(folder)
    assert len(folder.encode()) <= MAX_KEY_BYTES // 2
    numbers = {int(part) for part in folder.split("/") if part.isascii() and part.isdigit()}
    for other in {1, 2, *numbers} - {event_id}:
        assert not overlap(folder, default_folder(other))
    assert not any(overlap(folder, results) for results in ("results/", "embed/"))
    assert claim(build_previews_prefix(folder), event_id, event_uuid) == folder


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
    assert derive_original_key(preview, EVENT_1) == original


@given(preview_keys())
def test_exactly_one_folder_changes_between_preview_and_original(case: tuple[str, str]) -> None:
    key, folder = case
    original = derive_original_key(key, folder)
    before, after = key.split("/"), original.split("/")
    assert len(before) == len(after)
    assert before[-1] in {after[-1], f"{after[-1]}.jpg"}
    before[-1] = after[-1]
    changed = [i for i, pair in enumerate(zip(before, after, strict=True)) if len(set(pair)) > 1]
    assert [(before[i], after[i]) for i in changed] == [("previews", "originals")]
    assert changed == [before.index("previews", folder.count("/"))]  # the first one after it
    assert original.startswith(folder)


@given(preview_keys(), SEGMENTS)
def test_a_prefix_of_previews_leads_to_a_prefix_of_their_originals(
    case: tuple[str, str], name: str
) -> None:
    key, folder = case
    prefix = f"{key}/previews/"
    assert derive_original_key(prefix + name, folder) == (
        derive_original_key(prefix, folder) + name
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
    assert derive_preview_key(original, EVENT_1) == preview


@given(FOLDERS, st.lists(SEGMENTS, max_size=5), NAMES)
def test_a_preview_is_its_originals_and_no_other_ones(
    folder: str, parts: list[str], name: str
) -> None:
    original = folder + "/".join([*parts, name])
    preview = derive_preview_key(original, folder)
    if preview is not None:
        assert derive_original_key(preview, folder) == original
        assert derive_preview_key(preview, folder) is None


@given(preview_keys())
def test_a_preview_that_has_an_original_is_the_one_that_original_gets(
    case: tuple[str, str],
) -> None:
    preview, folder = case
    is_original = derive_preview_key(preview, folder) is not None
    if not is_original and judge_kind(preview) not in CONVERTED_KINDS:
        assert derive_preview_key(derive_original_key(preview, folder), folder) == preview


# --- originals under other names ---


@pytest.mark.parametrize(
    ("prefix", "originals"),
    [
        ("events/1/previews/", "events/1/originals/"),
        ("events/1/previews/v1.2/", "events/1/originals/v1.2/"),
        ("events/1/previews/IMG_", "events/1/originals/IMG_"),
        ("events/1/previews/IMG_1.jpg", "events/1/originals/IMG_1"),
        ("events/1/previews/IMG_1.CR2.jpg", "events/1/originals/IMG_1.CR2"),
    ],
)
def test_the_originals_of_some_previews_are_listed_whatever_their_suffixes(
    prefix: str, originals: str
) -> None:
    assert derive_originals_prefix(prefix, EVENT_1) == originals


@given(preview_keys(), st.integers(0, 80))
def test_a_previews_original_lies_below_the_originals_prefix_of_every_listing_that_has_it(
    case: tuple[str, str], length: int
) -> None:
    key, folder = case
    prefix = key[: max(length, key.index("/previews/", len(folder) - 1) + len("/previews/"))]
    original = derive_original_key(key, folder)
    assert original.startswith(derive_originals_prefix(prefix, folder))


def test_unicode_form_and_case_do_not_matter_in_a_folded_key() -> None:
    spellings = [
        unicodedata.normalize(form, word)
        for form in ("NFC", "NFD")
        for word in ("Ёлка/Café ŠÍ.JPG", "ёлка/CAFÉ ší.jpg")
    ]
    assert len({fold_key(spelling) for spelling in spellings}) == 1
    assert fold_key("Strasse") == fold_key("straße")
    assert fold_key("a.jpg") != fold_key("á.jpg") != fold_key("a.jpeg")


@given(st.text(st.characters(codec="utf-8")))
def test_folding_a_key_again_changes_nothing(key: str) -> None:
    folded = fold_key(key)
    assert fold_key(folded) == folded
    assert fold_key(unicodedata.normalize("NFD", key)) == folded
    assert fold_key(unicodedata.normalize("NFC", key)) == folded


def test_the_kinds_of_originals_have_an_order() -> None:
    names = ["a.JPG", "a.HEIC", "a.CR2", "a.gif"]
    assert [rank_original(name) for name in names] == [0, 1, 2, 3]
    assert rank_original("a.tif") == rank_original("a.avif") == 1
    assert [rank_original(name) for name in ("a.mov", "a.xmp", "a", "._a.jpg", "b/")] == [4] * 5


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


# --- judge_kind ---


@pytest.mark.parametrize(
    "name",
    [
        *(".DS_Store", "._IMG_1.jpg", ".facepass-recipe", ".jpg", "Thumbs.db", "Desktop.INI", ""),
        *("Icon\r", "@eaDir/IMG_1.jpg@SynoEAStream", "__MACOSX/a.txt", ".Trashes/501"),
    ],
)
def test_what_systems_keep_beside_photos_is_hidden(name: str) -> None:
    assert judge_kind(f"events/1/previews/{name}") is FileKind.HIDDEN


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("IMG_1.HEIC", FileKind.HEIC),
        ("IMG_1.hif", FileKind.HEIC),
        ("C0001.MP4", FileKind.VIDEO),
        ("IMG_1.jfif", FileKind.PHOTO),
        (".hidden.jpg", FileKind.PHOTO),
        ("IMG_1.xmp", FileKind.OTHER),
        ("IMG_1", FileKind.OTHER),
        ("a.heic/b", FileKind.OTHER),
    ],
)
def test_a_kind_is_told_by_its_suffix(name: str, kind: FileKind) -> None:
    assert judge_kind(f"events/1/previews/{name}") is kind


def test_names_are_sorted_as_people_count() -> None:
    names = [
        "a/DSC_0001.jpg",
        "a/DSC_9999.jpg",
        "a/IMG_1.jpg",
        "a/IMG_1 (2).jpg",
        "a/IMG_2.jpg",
        "a/img_9.JPG",
        "a/IMG_10.jpg",
        "a/IMG_20260620_120000.jpg",
        "a/IMG_1234567890123456789012.jpg",
        "a/IMG_9234567890123456789012.jpg",
        "a/Ёлка 9.jpg",
        "a/ёлка 10.jpg",
    ]
    mixed = [*names[1::2], *names[::2]]
    assert sorted(mixed, key=build_sort_name) == names
    assert build_sort_name("a/е\u0308лка 7") == build_sort_name("a/Ёлка 007.jpg")


@pytest.mark.parametrize("folder", ["events/1/", "студия/views/"])
@pytest.mark.parametrize(
    "name",
    [
        "previews/1.jpg",
        "previews/Гости/Ёжик и я.PNG",
        "previews/IMG_1.CR2.jpg",
        "previews/a.jpg.webp",
        "previews/originals/1.jpg",
        "previews/views/1.jpg",
        "previews/thumbs/previews/views/1.webp",
        "день 2/previews/1.jpg",
    ],
)
def test_a_view_s_key_leads_back_to_its_preview_and_is_no_original(folder: str, name: str) -> None:
    preview = folder + name
    keys = derive_view_keys(preview, folder)
    assert keys is not None
    assert len({*keys.values()}) == 3
    for key in keys.values():
        assert find_viewed(key, folder) == preview
        assert derive_preview_key(key, folder) is None


def test_photos_whose_views_would_be_others_or_too_long_have_none() -> None:
    assert derive_view_keys("events/1/views/previews/1.jpg", "events/1/") is None
    assert derive_view_keys("events/1/previews/previews/1.jpg", "events/1/") is not None
    folder = "events/1/"
    longest = f"{folder}previews/{'x' * (1024 - len(folder) - len('previews/.jpg'))}.jpg"
    assert len(longest) == 1024
    assert derive_view_keys(longest, folder) is None
    cyrillic = f"{folder}previews/{'ё' * 495}.jpg"
    assert derive_view_keys(cyrillic, folder) is not None
    assert derive_view_keys(cyrillic.replace("ё", "ёё", 8), folder) is None


@pytest.mark.parametrize(
    "key",
    [
        "events/1/originals/1.jpg",
        "events/1/originals/views/1.jpg.jpg",
        "events/1/previews/thumbs/1.jpg.webp",
        "events/1/previews/views/previews/1.jpg.jpg",
        "events/1/thumbs/1.webp",
        "events/1/thumbs/1.jpg.jpg",
        "events/1/views/notes.txt",
        "events/1/views/1.jpg",
        "events/1/views/originals/IMG_1.jpg",
        "events/1/views/",
        "events/1/views.jpg.webp",
    ],
)
def test_other_files_are_no_views(key: str) -> None:
    assert find_viewed(key, "events/1/") is None
