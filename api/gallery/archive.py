"""The zip of photos, streamed from S3 in chunks.

Unsafe characters in file names are replaced, and a name that appears twice gets a number. Photos
are not compressed, because JPEGs would not get smaller and the CPU is needed for faces.
"""

import re
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from zipfile import ZIP_STORED

from zipstream import ZipStream  # type: ignore[import-untyped]  # publishes no types

from models.errors import PhotoChangedError, PhotoUnavailableError
from tasks.s3.bucket import Bucket, ObjectStream, measure_original, open_original_stream

MAX_ZIP_PHOTOS = 500
SIZES_AT_ONCE = 8  # asked for before a zip begins: a browser then tells how far it is
MAX_NAME_BYTES = 200  # file systems take 255; a number and .zip may be added
# What Windows or a shell would take for something else, and what turns text around.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f\\/:*?"<>|\u202a-\u202e\u2066-\u2069\ud800-\udfff]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


@dataclass(frozen=True)
class ZipEntry:
    """One photo of a zip: the first of these objects that is there, by its key and its name."""

    sources: Sequence[tuple[str, str]]


def open_zip(
    bucket: Bucket, entries: Sequence[ZipEntry], *, missing: tuple[str, str]
) -> tuple[int, Generator[bytes, None, None]]:
    """A zip's size, and its bytes; photos that are not there are listed in a text file at its end.

    missing: that file's name, and its first line.
    Raises S3DownloadError or S3AccessError when S3 fails. What fails or changes after its size was
    told breaks the download: that is seen, a zip that ends early but looks whole is not.
    """
    archive = ZipStream(compress_type=ZIP_STORED, sized=True)
    reader = _Reader(bucket)
    names = FileNames()
    list_name = names.take(missing[0])  # before all: no photo can have it
    absent = []
    for entry, found in zip(entries, _find_all(bucket, entries), strict=True):
        if found is None:
            absent.append(names.take(entry.sources[0][1]))
        else:
            key, name, size = found
            archive.add(reader.read(key, size), names.take(name), size=size)
    if absent:
        # With a byte order mark: Windows' editor would guess another encoding.
        archive.add(f"\ufeff{missing[1]}\r\n\r\n" + "\r\n".join(absent) + "\r\n", list_name)
    return len(archive), _stream(archive, reader)


def _stream(archive: ZipStream, reader: "_Reader") -> Generator[bytes, None, None]:
    with closing(reader):  # a zip that is left lets go of its connection to S3
        yield from archive


class _Reader:
    """Reads objects one after the other."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._open: ObjectStream | None = None

    def read(self, key: str, size: int) -> Generator[bytes, None, None]:
        """An object's bytes; it is opened by the first."""
        self._open = open_original_stream(self._bucket, key)
        if self._open.size != size:
            raise PhotoChangedError("An original was replaced while it was sent.")
        yield from self._open
        self.close()

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


def _find_all(bucket: Bucket, entries: Sequence[ZipEntry]) -> list[tuple[str, str, int] | None]:
    """Each entry's first object that is there, as key, name and size."""
    threads = ThreadPoolExecutor(SIZES_AT_ONCE)
    try:
        return list(threads.map(partial(_find, bucket), entries))
    finally:
        threads.shutdown(wait=False, cancel_futures=True)  # the first failure is enough


def _find(bucket: Bucket, entry: ZipEntry) -> tuple[str, str, int] | None:
    for key, name in entry.sources:
        with suppress(PhotoUnavailableError):
            return key, name, measure_original(bucket, key)[0]
    return None


def clean_file_name(name: str) -> str:
    """A file's name that cannot leave its folder and that every system can store."""
    safe = _UNSAFE.sub("_", name).strip().strip(".").strip() or "photo"
    if _DEVICES.match(safe):
        safe = f"_{safe}"
    path = PurePosixPath(safe)
    suffix = path.suffix if len(path.suffix) <= 10 else ""
    stem = safe.removesuffix(suffix) if suffix else safe
    room = MAX_NAME_BYTES - len(suffix.encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip() + suffix


class FileNames:
    """The names of a zip's files; the second `IMG_1.jpg` becomes `IMG_1 (2).jpg`.

    Upper and lower case are one: on Windows and macOS they would overwrite each other.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, name: str) -> str:
        """A name of its own for the next file."""
        clean = clean_file_name(name)
        path, number = PurePosixPath(clean), 1
        while clean.casefold() in self._taken:
            number += 1
            clean = f"{path.stem} ({number}){path.suffix}"
        self._taken.add(clean.casefold())
        return clean
