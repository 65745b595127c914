"""S3 keys: the prefixes of an event, the rule for which keys are photos, and names made from them.

The functions only work on text; they call neither S3 nor the database.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import quote
from uuid import UUID

from models.errors import InvalidPrefixError
from models.vocabulary import ViewKind

_OWNER_TAG = "installation:"


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
    HIDDEN = "hidden"  # what systems and programs keep beside photos: nobody misses it


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
ORIGINAL_KINDS = CONVERTED_KINDS | {FileKind.PHOTO}  # those of which a preview can be made
# Which of several originals of one stem is a preview's: the first kind of these that is there.
MATCHED_FIRST = (
    {FileKind.PHOTO},
    {FileKind.HEIC, FileKind.AVIF, FileKind.TIFF},
    {FileKind.RAW},
    {FileKind.OTHER_PICTURE},
)
_RANKS = {kind: rank for rank, kinds in enumerate(MATCHED_FIRST) for kind in kinds}
# What systems keep on a card beside its photos: deleted ones, thumbnails, resource forks.
SYSTEM_FOLDERS = frozenset(
    {"$recycle.bin", "recycler", "system volume information", "@eadir", "__macosx", "lost+found"}
)
_SYSTEM_NAMES = SYSTEM_FOLDERS | {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
PREVIEWS_FOLDER = "/previews/"
ORIGINALS_FOLDER = "/originals/"
# Where the views of a photo lie, beside its /previews/, and what follows its preview's name.
VIEW_FOLDERS = {ViewKind.THUMB: "/thumbs/", ViewKind.VIEW: "/views/", ViewKind.VIEW_JPEG: "/views/"}
_VIEW_SUFFIXES = {ViewKind.THUMB: ".webp", ViewKind.VIEW: ".webp", ViewKind.VIEW_JPEG: ".jpg"}
_VIEW_KEY = re.compile(
    r"(?P<before>(?:(?!/thumbs/|/views/).)*)"
    r"(?:/thumbs/(?P<thumb>.+)\.webp|/views/(?P<view>.+)\.(?:webp|jpg))",
    re.DOTALL,
)
MAX_KEY_BYTES = 1024  # S3's own limit
MAX_FOLDER_BYTES = 512  # of an event's own; the rest of a key is for its photos' names
# Where cached faces lie in a bucket that holds photos too: by tasks/results/storage.py, in the
# folder of deployments/result_storage.py or without one.
RESULT_FOLDERS = ("results/", "embed/")
_NUMBERED = re.compile(r"events/([0-9]+)/")
_NUMBER = re.compile("[0-9]+")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SUFFIX = re.compile(r"\.[^./]*$")
_CONTROL = re.compile("[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class ListedPreview:
    """One preview as S3 lists it."""

    s3_key: str
    etag: str
    size: int
    modified: datetime | None = None


def default_folder(event_id: int) -> str:
    """The folder that holds everything of an event, unless it has been given one of its own."""
    return f"events/{event_id}/"


def build_previews_prefix(folder: str) -> str:
    """The prefix of an event's previews."""
    return folder + PREVIEWS_FOLDER.lstrip("/")


def cut_event_folder(s3_prefix: str) -> str:
    """The folder of an event whose previews have this prefix."""
    return s3_prefix.removesuffix(PREVIEWS_FOLDER.lstrip("/"))


def build_reembed_prefix(event_id: int) -> str:
    """The prefix under which a re-embedding is recorded: no sync of the event has it."""
    return default_folder(event_id)


def read_own_folder(s3_prefix: str, event_uuid: UUID) -> str:
    """The folder of an event that is registered with this prefix, or InvalidPrefixError.

    `{uuid}` stands for the event's UUID. Whether another event has it is not asked here.
    """
    filled = s3_prefix.replace("{uuid}", str(event_uuid))
    prefix = filled + "/" if filled.endswith("/previews") else filled
    folder = cut_event_folder(prefix)
    if not prefix.endswith(PREVIEWS_FOLDER):
        why = "must end in a folder and /previews/, for example production/photos/{uuid}/previews/"
    elif {"", ".", ".."} & set(folder[:-1].split("/")):
        why = "must begin with a folder's name and not have //, . or .. for one"
    elif {"{", "}"} & set(folder):
        why = "knows no other placeholder than {uuid}"
    elif not is_storable(prefix) or _CONTROL.search(prefix):
        why = "must be valid text without control characters"
    elif len(prefix.encode()) > MAX_FOLDER_BYTES:
        why = f"must be at most {MAX_FOLDER_BYTES} bytes long: photos' names follow it"
    elif folder.startswith(RESULT_FOLDERS):
        why = "must not begin with results/ or embed/, where cached faces may lie"
    else:
        return folder
    raise InvalidPrefixError(f"s3_prefix {why}.")


def require_unnumbered(folder: str, event_id: int) -> None:
    """Raise InvalidPrefixError for a folder that is, holds or lies in another event's default."""
    numbered = _NUMBERED.match(folder)
    if folder == "events/" or (numbered and numbered[0] != default_folder(event_id)):
        raise InvalidPrefixError(
            "s3_prefix must not be events/previews/ or begin with events/ and a number, where the "
            "event of that number has its photos; leave s3_prefix out for this event's own."
        )


def check_prefix(s3_prefix: str, folder: str) -> str:
    """The prefix to list in an event's folder, or InvalidPrefixError.

    `events/1/previews` gets its slash: without it S3 would match `events/1/previews-old/` too.
    """
    previews = build_previews_prefix(folder)
    prefix = s3_prefix + "/" if s3_prefix.endswith("/previews") else s3_prefix
    if not prefix.startswith(folder):
        raise InvalidPrefixError(
            f"s3_prefix must start with {folder}, the folder of this event; "
            f"its previews are in {previews}."
        )
    if PREVIEWS_FOLDER not in prefix[len(folder) - 1 :]:
        raise InvalidPrefixError(
            f"s3_prefix must name a /previews/ folder, for example {previews}."
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
    """The kind of a key or a file's name, by its suffix in any case; a "folder" is hidden.

    So is macOS's `._IMG_1.jpg`, which holds a file's attributes.
    """
    name = s3_key.rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    is_plain = bool(stem) and not name.startswith("._")
    kind = _KINDS.get(f"{dot}{suffix.lower()}") if is_plain else None
    return kind or (FileKind.HIDDEN if _is_hidden(s3_key) else FileKind.OTHER)


def _is_hidden(s3_key: str) -> bool:
    parts = s3_key.split("/")
    is_system = any(part.startswith(".") or part.lower() in _SYSTEM_NAMES for part in parts)
    return is_system or not parts[-1]


def is_original(s3_key: str) -> bool:
    """Whether a preview can be made of a file of this name."""
    return judge_kind(s3_key) in ORIGINAL_KINDS


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


def derive_original_key(s3_key: str, folder: str) -> str:
    """The original of a preview, unless there is one of exactly its name (`derive_namesake`).

    `IMG_1.CR2.jpg` is the preview of `IMG_1.CR2`.
    """
    return derive_namesake(name_original(s3_key), folder)


def derive_namesake(s3_key: str, folder: str) -> str:
    """The key of exactly a preview's name among its originals.

    Only the first /previews/ after the event's folder changes: a photo may well be called
    `previews/previews/1.jpg`.
    """
    head = len(folder) - 1
    return s3_key[:head] + s3_key[head:].replace(PREVIEWS_FOLDER, ORIGINALS_FOLDER, 1)


def derive_originals_prefix(s3_prefix: str, folder: str) -> str:
    """The prefix of the originals of the previews that have a prefix, whatever their suffixes."""
    return derive_namesake(_SUFFIX.sub("", s3_prefix), folder)


def cut_previews_folder(s3_key: str, folder: str) -> str:
    """The prefix of the previews that a preview is one of, up to the first /previews/."""
    head = len(folder) - 1
    before, found, _ = s3_key[head:].partition(PREVIEWS_FOLDER)
    return s3_key[:head] + before + found


def derive_preview_key(s3_key: str, folder: str) -> str | None:
    """The key of an original's preview; None for a key that is no original.

    The inverse of `derive_original_key`: the first of the two folders' names decides. No two
    originals share a preview, so that of a JPEG called `IMG_1.CR2.jpg` is `IMG_1.CR2.jpg.jpg`.
    """
    head = len(folder) - 1
    before, found, after = s3_key[head:].partition(ORIGINALS_FOLDER)
    if not found or PREVIEWS_FOLDER in f"{before}/" or find_viewed(s3_key, folder):
        return None
    return s3_key[:head] + before + PREVIEWS_FOLDER + name_preview(after)


def derive_view_key(s3_key: str, folder: str, kind: ViewKind) -> str:
    """The key of a preview's view; `find_viewed` leads back."""
    head = len(folder) - 1
    beside = s3_key[head:].replace(PREVIEWS_FOLDER, VIEW_FOLDERS[kind], 1)
    return f"{s3_key[:head]}{beside}{_VIEW_SUFFIXES[kind]}"


def derive_view_keys(s3_key: str, folder: str) -> dict[ViewKind, str] | None:
    """The keys of a preview's views, in the order in which they are put.

    None where it can have none: one would be too long for S3, or another preview's too, as where
    an album of the event is called views.
    """
    keys = {kind: derive_view_key(s3_key, folder, kind) for kind in ViewKind}
    fit = all(len(key.encode()) <= MAX_KEY_BYTES for key in keys.values())
    return keys if fit and find_viewed(keys[ViewKind.VIEW], folder) == s3_key else None


def find_viewed(s3_key: str, folder: str) -> str | None:
    """The preview of which a key would be a view; None for a key that is no view's."""
    head = len(folder) - 1
    found = _VIEW_KEY.fullmatch(s3_key[head:])
    if found is None or {"previews", "originals"} & set(found["before"].split("/")):
        return None
    preview = f"{s3_key[:head]}{found['before']}{PREVIEWS_FOLDER}{found['thumb'] or found['view']}"
    return preview if is_image_key(preview) else None


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


def rank_original(s3_key: str) -> int:
    """The place of an original's kind in MATCHED_FIRST; behind the last: it is no picture."""
    return _RANKS.get(judge_kind(s3_key), len(MATCHED_FIRST))


def fold_key(s3_key: str) -> str:
    """A key as it is compared where Unicode form and case are not to matter."""
    if s3_key.isascii():
        return s3_key.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", s3_key).casefold())


def build_image_url(base_url: str, key: str) -> str:
    """The stored address of an original: {endpoint}/{bucket}/{key}, the key percent-encoded."""
    return f"{base_url}/{quote(key, safe='/~')}"


def build_sort_name(s3_key: str) -> str:
    """What a key is sorted by: IMG_9 before IMG_10, IMG_1 before "IMG_1 (2)", in any case.

    Not left to PostgreSQL: its natural order needs ICU, which not every build of it has, and its
    regular expressions take ten times as long.
    """
    stem, dot, suffix = s3_key.rpartition(".")
    name = stem if dot and "/" not in suffix else s3_key
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
    return _NUMBER.sub(_pad_number, name.casefold())


def _pad_number(found: re.Match[str]) -> str:
    return found[0].lstrip("0").zfill(20)


def build_run_name(event_name: str, s3_prefix: str) -> str:
    """The name of a sync in Prefect's UI, as "Свадьба · events/1/previews/"."""
    return f"{event_name} · {s3_prefix}"


def build_views_name(event_name: str) -> str:
    """The name of a making of views in Prefect's UI."""
    return f"{event_name} · views for guests"


def build_notices_name(event_name: str) -> str:
    """The name of a telling of guests in Prefect's UI."""
    return f"{event_name} · notices for guests"


def build_previews_name(event_name: str) -> str:
    """The name of a making of previews in Prefect's UI."""
    return f"{event_name} · previews of its originals"


def describe_resource(event_uuid: UUID, event_name: str, installation: str) -> dict[str, str]:
    """An event as Prefect's events know it; `installation` is FACEPASS_INSTALLATION."""
    return {
        "prefect.resource.id": f"facepass.event.{event_uuid}",
        "prefect.resource.name": event_name,
        **label_installation(installation),
    }


def label_installation(installation: str) -> dict[str, str]:
    """The label by which installations that share a Prefect server tell their events apart."""
    return {"facepass.installation": installation}


def tag_owner(installation: UUID) -> str:
    """The tag of a database's runs and deployments on a Prefect server."""
    return f"{_OWNER_TAG}{installation}"


def list_owners(tags: Iterable[str]) -> set[str]:
    """The databases that these tags name; none where an earlier release, or a hand, made it."""
    return {tag.removeprefix(_OWNER_TAG) for tag in tags if tag.startswith(_OWNER_TAG)}
