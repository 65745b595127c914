"""S3 keys: the prefixes of an event, the rule for which keys are photos, and names made from them.

The functions only work on text; they call neither S3 nor the database.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import quote

from models.errors import InvalidPrefixError


class FileKind(StrEnum):
    """What a file is, by its suffix alone; its first bytes say whether that is true."""

    PHOTO = "photo"  # JPEG, PNG or WebP: also as a preview
    HEIC = "heic"
    AVIF = "avif"
    TIFF = "tiff"
    RAW = "raw"
    VIDEO = "video"
    OTHER_PICTURE = "other_picture"
    OTHER = "other"


_SUFFIXES = {
    # The last four are names that Windows' browsers and older programs give a JPEG.
    FileKind.PHOTO: ".jpg .jpeg .png .webp .jfif .jpe .jif .pjpeg",
    FileKind.HEIC: ".heic .heif .hif",
    FileKind.AVIF: ".avif",
    FileKind.TIFF: ".tif .tiff",
    FileKind.RAW: (
        ".3fr .ari .arw .bay .cap .cr2 .cr3 .crw .dcr .dng .eip .erf .fff .gpr .iiq .k25 .kdc .mef "
        ".mos .mrw .nef .nrw .orf .pef .ptx .r3d .raf .raw .rw2 .rwl .rwz .sr2 .srf .srw .x3f"
    ),
    FileKind.VIDEO: (
        ".3g2 .3gp .asf .avi .braw .crm .flv .insv .lrv .m2t .m2ts .m4v .mkv .mov .mp4 .mpe .mpeg "
        ".mpg .mts .mxf .ogv .ts .vob .webm .wmv"
    ),
    FileKind.OTHER_PICTURE: ".bmp .gif .jp2 .jxl .psb .psd",
}
_KINDS = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
# Originals whose previews are JPEGs all the same: each preview is called as its original, and .jpg.
CONVERTED_KINDS = frozenset({FileKind.HEIC, FileKind.AVIF, FileKind.TIFF, FileKind.RAW})
PREVIEW_SUFFIX = ".jpg"
PREVIEWS_FOLDER = "/previews/"
ORIGINALS_FOLDER = "/originals/"
MAX_KEY_BYTES = 1024  # S3's own limit
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class ListedPreview:
    """One preview as S3 lists it."""

    s3_key: str
    etag: str
    size: int
    modified: datetime | None = None


def event_folder(event_id: int) -> str:
    """The folder that holds everything of an event."""
    return f"events/{event_id}/"


def default_prefix(event_id: int) -> str:
    """The prefix of an event's previews."""
    return f"events/{event_id}{PREVIEWS_FOLDER}"


def check_prefix(s3_prefix: str, event_id: int) -> str:
    """The prefix to list, or InvalidPrefixError.

    `events/1/previews` gets its slash: without it S3 would match `events/1/previews-old/` too.
    """
    folder = event_folder(event_id)
    prefix = s3_prefix + "/" if s3_prefix.endswith("/previews") else s3_prefix
    if not prefix.startswith(folder):
        raise InvalidPrefixError(
            f"s3_prefix must start with {folder}, the folder of this event; "
            f"its previews are in {default_prefix(event_id)}."
        )
    if PREVIEWS_FOLDER not in prefix[len(folder) - 1 :]:
        raise InvalidPrefixError(
            f"s3_prefix must name a /previews/ folder, for example {default_prefix(event_id)}."
        )
    if {".", ".."} & set(prefix.split("/")):
        raise InvalidPrefixError("s3_prefix must not contain . or .. as a folder.")
    if not is_storable(prefix):
        raise InvalidPrefixError("s3_prefix must be valid text without zero bytes.")
    if len(prefix.encode()) > MAX_KEY_BYTES:
        raise InvalidPrefixError(f"s3_prefix must be at most {MAX_KEY_BYTES} bytes long.")
    return prefix


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can hold a text: it takes neither zero bytes nor halves of characters."""
    return _UNSTORABLE.search(text) is None


def judge_kind(s3_key: str) -> FileKind:
    """The kind of a key or a file's name, by its suffix in any case; a "folder" is no picture.

    Nor is macOS's `._IMG_1.jpg`, which holds a file's attributes.
    """
    name = s3_key.rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    if not stem or name.startswith("._"):
        return FileKind.OTHER
    return _KINDS.get(f"{dot}{suffix.lower()}", FileKind.OTHER)


def is_original(s3_key: str) -> bool:
    """Whether a preview can be made of a file of this name."""
    kind = judge_kind(s3_key)
    return kind is FileKind.PHOTO or kind in CONVERTED_KINDS


def find_pairs(names: Iterable[str]) -> set[str]:
    """The RAW files among these that lie beside a photo of the same name but for the suffix.

    A camera that writes both has taken one photo.
    """
    kinds = {name: judge_kind(name) for name in names if is_original(name)}
    photos = {name.rpartition(".")[0] for name, kind in kinds.items() if kind is not FileKind.RAW}
    raws = {name for name, kind in kinds.items() if kind is FileKind.RAW}
    return {name for name in raws if name.rpartition(".")[0] in photos}


def is_image_key(s3_key: str) -> bool:
    """Whether a key counts as a photo that can be shown and read for faces as it is."""
    return judge_kind(s3_key) is FileKind.PHOTO


def derive_original_key(s3_key: str, event_id: int) -> str:
    """The original of a preview (or the originals' prefix of a previews' prefix).

    Only the first /previews/ after the event's folder changes: a photo may well be called
    `previews/previews/1.jpg`. `IMG_1.CR2.jpg` is the preview of `IMG_1.CR2`.
    """
    s3_key = name_original(s3_key)
    head = len(event_folder(event_id)) - 1
    return s3_key[:head] + s3_key[head:].replace(PREVIEWS_FOLDER, ORIGINALS_FOLDER, 1)


def cut_previews_folder(s3_key: str, event_id: int) -> str:
    """The prefix of the previews that a preview is one of, up to the first /previews/."""
    head = len(event_folder(event_id)) - 1
    before, found, _ = s3_key[head:].partition(PREVIEWS_FOLDER)
    return s3_key[:head] + before + found


def derive_preview_key(s3_key: str, event_id: int) -> str | None:
    """The key of an original's preview; None for a key that is no original.

    The inverse of `derive_original_key`: the first of the two folders' names decides. No two
    originals share a preview, so that of a JPEG called `IMG_1.CR2.jpg` is `IMG_1.CR2.jpg.jpg`.
    """
    head = len(event_folder(event_id)) - 1
    before, found, after = s3_key[head:].partition(ORIGINALS_FOLDER)
    if not found or PREVIEWS_FOLDER in f"{before}/":
        return None
    return s3_key[:head] + before + PREVIEWS_FOLDER + name_preview(after)


def name_preview(original: str) -> str:
    """The name of an original's preview, below the folder of the previews."""
    return original + PREVIEW_SUFFIX if _is_converted(original) else original


def name_original(preview: str) -> str:
    """The inverse of `name_preview`."""
    is_converted = preview.endswith(PREVIEW_SUFFIX) and _is_converted(preview)
    return preview.removesuffix(PREVIEW_SUFFIX) if is_converted else preview


def _is_converted(s3_key: str) -> bool:
    """Whether an original's preview is called otherwise than itself."""
    while s3_key.endswith(PREVIEW_SUFFIX):
        s3_key = s3_key.removesuffix(PREVIEW_SUFFIX)
    return judge_kind(s3_key) in CONVERTED_KINDS


def build_image_url(base_url: str, key: str) -> str:
    """The stored address of an original: {endpoint}/{bucket}/{key}, the key percent-encoded."""
    return f"{base_url}/{quote(key, safe='/~')}"


def build_run_name(event_name: str, s3_prefix: str) -> str:
    """The name of a sync in Prefect's UI, as "Свадьба · events/1/previews/"."""
    return f"{event_name} · {s3_prefix}"


def build_previews_name(event_name: str) -> str:
    """The name of a making of previews in Prefect's UI."""
    return f"{event_name} · previews of its originals"
