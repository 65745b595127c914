"""The photographer's folder: which files are photos, and how many are not."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from deployments.push.source import MARKER
from models.errors import PushRefusedError
from models.keys import is_image_key, is_storable

# What a file is that is no photo for a gallery, by its suffix.
_RAW = (
    ".3fr .ari .arw .bay .cap .cr2 .cr3 .crw .dcr .dng .eip .erf .fff .gpr .iiq .k25 .kdc .mef "
    ".mos .mrw .nef .nrw .orf .pef .ptx .r3d .raf .raw .rw2 .rwl .rwz .sr2 .srf .srw .x3f"
)
_VIDEO = (
    ".3g2 .3gp .asf .avi .braw .crm .flv .insv .lrv .m2t .m2ts .m4v .mkv .mov .mp4 .mpe .mpeg "
    ".mpg .mts .mxf .ogv .ts .vob .webm .wmv"
)
_OTHER_PICTURES = ".avif .bmp .gif .heic .heif .hif .jp2 .jxl .psb .psd .tif .tiff"
KINDS = {
    suffix: kind
    for kind, suffixes in (
        ("raw", _RAW),
        ("video", _VIDEO),
        ("other_picture", _OTHER_PICTURES),
    )
    for suffix in suffixes.split()
}
# What systems keep on a card beside its photos: deleted ones, thumbnails, resource forks.
SYSTEM_FOLDERS = frozenset(
    {"$recycle.bin", "recycler", "system volume information", "@eadir", "__macosx", "lost+found"}
)


@dataclass(frozen=True)
class LocalFile:
    """A photo on disk; `relative` is its path below the folder, with slashes."""

    path: Path
    relative: str
    size: int


@dataclass
class Scan:
    """What is in a folder.

    `skipped`: kind of file -> how many; `unnameable` are photos whose names are no text, which S3
    cannot hold.
    """

    photos: list[LocalFile] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


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
    for entry in _walk(folder, scan.skipped):
        relative = Path(entry.path).relative_to(folder).as_posix()
        if not is_image_key(entry.name):
            scan.skipped[KINDS.get(Path(entry.name).suffix.lower(), "other")] += 1
        elif not is_storable(relative):
            scan.skipped["unnameable"] += 1
        else:
            try:
                size = entry.stat(follow_symlinks=False).st_size
            except OSError as error:
                raise _explain_unreadable(Path(entry.path), error) from error
            scan.photos.append(LocalFile(Path(entry.path), relative, size))
    scan.photos.sort(key=lambda photo: photo.relative)
    return scan


def _walk(folder: Path, skipped: Counter[str]) -> Iterator["os.DirEntry[str]"]:
    """The regular files that somebody put there."""
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        try:
            with os.scandir(current) as found:
                entries = list(found)
        except OSError as error:
            raise _explain_unreadable(current, error) from error
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


def _explain_unreadable(place: Path, error: OSError) -> PushRefusedError:
    return PushRefusedError(
        f"{place} cannot be read ({error.strerror}): make it readable or move it elsewhere; "
        "nothing was sent."
    )
