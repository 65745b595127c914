"""The photographer's folder: its photos, their names in S3, and its source (its folder in S3).

The same files always get the same names, and no two files share one. A marker file (or
`--source`) gives each folder its own source, so two memory cards do not overwrite or delete each
other's `DCIM/IMG_001.jpg`.
"""

import contextlib
import json
import os
import re
import secrets
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any
from unicodedata import normalize

from models.errors import PushRefusedError
from models.keys import SYSTEM_FOLDERS, find_pairs, is_original, is_storable, judge_kind

MARKER = ".facepass-push.json"
MAX_LABEL_BYTES = 100
# Eight hex digits: of four, a hundred cards called DCIM would have two alike in 7 of 100 events.
ID_BYTES = 4
LONG_STEM_BYTES = 100
_UNKEPT = re.compile(r"[\\\x00-\x1f\x7f]")


@dataclass(frozen=True)
class LocalFile:
    """A photo on disk; `relative` is its path below the folder, with slashes."""

    path: Path
    relative: str
    size: int
    modified: int = 0  # nanoseconds
    device: int = 0  # the file system that holds it

    @property
    def stamp(self) -> tuple[int, int]:
        """What changes with the file."""
        return self.size, self.modified


@dataclass
class Scan:
    """What is in a folder.

    `skipped`: kind of file -> how many; `raw_pair` are RAW files beside a photo of the same name,
    `unnameable` photos whose names are no text, which S3 cannot hold.
    """

    photos: list[LocalFile] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    pairs: Collection[str] = frozenset()  # paths of `raw_pair`


def check_folder(folder: Path) -> Path:
    """The folder's own path. Raises PushRefusedError where there is none to push."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise PushRefusedError(f"{folder} {what}: name the folder that holds the photos.")
    found = folder.resolve()
    if (found / "originals").is_dir() and (found / "previews").is_dir():
        raise PushRefusedError(
            f"{folder} holds originals and previews, so each photo would be there twice: "
            f"push {folder / 'originals'}; its previews are made on the way."
        )
    return found


def scan_folder(folder: Path) -> Scan:
    """Every photo below a folder, in the order of their paths. Links are never followed.

    Raises PushRefusedError where a folder cannot be read: what is in it would count as deleted.
    """
    scan = Scan()
    try:
        for entry in _walk(folder, scan.skipped):
            relative = Path(entry.path).relative_to(folder).as_posix()
            if not is_original(entry.name):
                scan.skipped[judge_kind(entry.name)] += 1
            elif not is_storable(relative):
                scan.skipped["unnameable"] += 1
            else:
                stat = entry.stat(follow_symlinks=False)
                stamp = stat.st_size, stat.st_mtime_ns, stat.st_dev
                scan.photos.append(LocalFile(Path(entry.path), relative, *stamp))
    except OSError as error:
        raise PushRefusedError(
            f"{error.filename} cannot be read ({error.strerror}): make it readable or move it "
            "elsewhere; nothing was sent."
        ) from error
    pairs = scan.pairs = find_pairs(photo.relative for photo in scan.photos)
    if pairs:
        scan.skipped["raw_pair"] = len(pairs)
        scan.photos = [photo for photo in scan.photos if photo.relative not in pairs]
    scan.photos.sort(key=lambda photo: photo.relative)
    return scan


def _walk(folder: Path, skipped: Counter[str]) -> Iterator["os.DirEntry[str]"]:
    """The regular files that somebody put there."""
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as found:
            entries = list(found)
        for entry in entries:
            if entry.name.startswith("."):
                skipped.update(["hidden"] if entry.name != MARKER else [])
            elif entry.is_symlink():
                skipped["link"] += 1
            elif entry.is_dir(follow_symlinks=False):
                if entry.name.lower() in SYSTEM_FOLDERS:
                    skipped["hidden"] += 1
                else:
                    waiting.append(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield entry
            else:
                skipped["other"] += 1


def compose(text: str) -> str:
    """One spelling for "ё" and "й", which macOS writes as two characters each (NFC)."""
    return normalize("NFC", text)


def clean_path(relative: str) -> str:
    """The path as every S3 server keeps it: composed, without line ends and such.

    Some make a slash of a backslash, so that it comes back from a listing as another name.
    """
    return _UNKEPT.sub("_", compose(relative))


def assign_names(relatives: Iterable[str], max_bytes: int) -> dict[str, str]:
    """Path below the folder -> name below the source: the path itself, cleaned.

    Where two paths become one, or where it has more than `max_bytes`, a digest of the path
    keeps them apart.
    """
    claims: dict[str, list[str]] = defaultdict(list)
    for relative in relatives:
        claims[clean_path(relative)].append(relative)
    names: dict[str, str] = {}
    others: list[str] = []
    for name, claimants in claims.items():
        owner = name if name in claimants or len(claimants) > 1 else claimants[0]
        if len(name.encode()) <= max_bytes and owner in claimants:
            names[owner] = name
        others += [relative for relative in claimants if relative not in names]
    taken = set(names.values())
    for relative in sorted(others):
        tries = _try_names(relative, max_bytes)
        names[relative] = next(name for name in tries if name not in taken)
        taken.add(names[relative])
    return names


def shorten(text: str, max_bytes: int) -> str:
    """So much of a text as fits, without half a character at its end."""
    return text.encode()[:max_bytes].decode("utf-8", "ignore")


def _try_names(relative: str, max_bytes: int) -> Iterator[str]:
    stem, _, suffix = clean_path(relative).rpartition(".")
    for attempt in count():
        mark = sha256(f"{attempt}/{relative}".encode()).hexdigest()[:16]
        name = f"{stem}~{mark}.{suffix}"
        if len(name.encode()) > max_bytes:
            name = f"{shorten(stem.rpartition('/')[2], LONG_STEM_BYTES)}~{mark}.{suffix}"
        yield name


@dataclass(frozen=True)
class Source:
    """The folder's name in S3. `called_before`: what the folder was called at its first push."""

    name: str
    called_before: str | None = None


def find_source(folder: Path, name: str | None) -> Source:
    """The folder's source: `name` if given, else as its marker says, which the first push writes.

    Raises PushRefusedError.
    """
    if name is not None:
        return Source(_check_name(name))
    if not (folder / MARKER).exists():
        _write_marker(folder, {"id": secrets.token_hex(ID_BYTES), "label": label_folder(folder)})
    marker = _read_marker(folder)
    renamed = marker["label"] != label_folder(folder)
    return Source(f"{marker['label']}-{marker['id']}", marker["label"] if renamed else None)


def has_source(folder: Path, source: str) -> bool:
    """Whether the folder's marker names this source; not where another card is in its place."""
    try:
        marker = _read_marker(folder)
    except PushRefusedError:
        return False
    return f"{marker['label']}-{marker['id']}" == source


def rewrite_marker(folder: Path, source: str) -> None:
    """Write a source's marker again, which was deleted. Raises PushRefusedError."""
    label, _, number = source.rpartition("-")
    _write_marker(folder, {"id": number, "label": label})


def label_folder(folder: Path) -> str:
    """A folder's name as a part of a key."""
    printable = "".join(c if c.isprintable() else "_" for c in compose(folder.name))
    return shorten(printable, MAX_LABEL_BYTES) or "photos"


def _check_name(name: str) -> str:
    composed = compose(name.strip())
    fits = 0 < len(composed.encode("utf-8", "replace")) <= MAX_LABEL_BYTES
    if not fits or "/" in composed or composed in {".", ".."} or not composed.isprintable():
        raise PushRefusedError(
            f"--source must be one short name without slashes, such as camera-2; not {name!r}."
        )
    return composed


def _read_marker(folder: Path) -> dict[str, str]:
    try:
        found: Any = json.loads((folder / MARKER).read_text("utf-8"))
        marker = {"id": str(found["id"]), "label": str(found["label"])}
        if re.fullmatch(r"[0-9a-f]{4,32}", marker["id"]) and "/" not in marker["label"]:
            return marker
        raise ValueError("These are no source's.")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PushRefusedError(
            f"{folder / MARKER} is damaged: give the folder's name in the event as --source NAME, "
            "or delete that file to push the folder as a new one, beside what it sent before."
        ) from error


def _write_marker(folder: Path, marker: dict[str, str]) -> None:
    """Whole or not at all; of two pushes that begin at once both take the same one."""
    new = folder / f"{MARKER}.{secrets.token_hex(4)}"
    try:
        new.write_text(json.dumps(marker, ensure_ascii=False) + "\n", "utf-8")
        try:
            os.link(new, folder / MARKER)
        except FileExistsError:
            pass  # another push was quicker
        except OSError:  # cards' file systems know no links
            new.replace(folder / MARKER)
    except OSError as error:
        raise PushRefusedError(
            f"{folder} cannot be written to ({error.strerror}), so it cannot be told from other "
            "folders: name it with --source NAME, a name of its own in this event."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
