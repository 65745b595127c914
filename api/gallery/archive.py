"""The zip of original photos, streamed from S3 in chunks.

Unsafe characters in file names are replaced, and a name that appears twice gets a number. Photos
are not compressed, because JPEGs would not get smaller and the CPU is needed for faces.
"""

import re
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from pathlib import PurePosixPath
from zipfile import ZIP_STORED

from zipstream import ZipStream  # type: ignore[import-untyped]  # publishes no types

from models.errors import PhotoUnavailableError
from tasks.s3.bucket import Bucket, open_original_stream

MAX_ZIP_PHOTOS = 500
MAX_NAME_BYTES = 200  # file systems take 255; a number and .zip may be added
# What Windows or a shell would take for something else, and what turns text around.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f\\/:*?"<>|\u202a-\u202e\u2066-\u2069\ud800-\udfff]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def stream_zip(
    bucket: Bucket, keys: Sequence[str], *, missing_name: str, missing_text: str
) -> Generator[bytes, None, None]:
    """The zip of these objects; those that are not there are listed in a text file at its end.

    Raises S3DownloadError or S3AccessError when S3 fails: a broken download is seen, a zip that
    ends early but looks whole is not.
    """
    archive = ZipStream(compress_type=ZIP_STORED)
    missing = []
    # The list's own name comes first, so that no photo can take it.
    list_name, *names = name_files([missing_name, *(key.rpartition("/")[2] for key in keys)])
    for key, name in zip(keys, names, strict=True):
        try:
            size, pieces = open_original_stream(bucket, key)
        except PhotoUnavailableError:
            missing.append(name)
            continue
        with closing(pieces):  # a zip that is left lets go of its connection to S3
            archive.add(pieces, name, size=size)
            yield from archive.all_files()
    if missing:
        # With a byte order mark: Windows' editor would guess another encoding.
        archive.add(f"\ufeff{missing_text}\r\n\r\n" + "\r\n".join(missing) + "\r\n", list_name)
    yield from archive.finalize()


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


def name_files(names: Iterable[str]) -> list[str]:
    """A name a file, in order; the second `IMG_1.jpg` becomes `IMG_1 (2).jpg`.

    Upper and lower case are one: on Windows and macOS they would overwrite each other.
    """
    taken: set[str] = set()
    chosen = []
    for name in names:
        clean = clean_file_name(name)
        path, number = PurePosixPath(clean), 1
        while clean.casefold() in taken:
            number += 1
            clean = f"{path.stem} ({number}){path.suffix}"
        taken.add(clean.casefold())
        chosen.append(clean)
    return chosen
