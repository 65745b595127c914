"""Originals as one zip, streamed: a piece of one file in memory at a time, nothing deflated.

JPEGs do not get smaller by deflating, and storing them keeps the processor for faces.
"""

from collections.abc import Iterator, Sequence
from zipfile import ZIP_STORED

from zipstream import ZipStream  # type: ignore[import-untyped]  # publishes no types

from api.gallery.file_names import name_files
from models.errors import PhotoUnavailableError
from tasks.s3.bucket import Bucket, open_original

MAX_ZIP_PHOTOS = 500


def stream_zip(
    bucket: Bucket, keys: Sequence[str], *, missing_name: str, missing_text: str
) -> Iterator[bytes]:
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
            size, pieces = open_original(bucket, key)
        except PhotoUnavailableError:
            missing.append(name)
            continue
        archive.add(pieces, name, size=size)
        yield from archive.all_files()
    if missing:
        # With a byte order mark: Windows' editor would guess another encoding.
        archive.add(f"\ufeff{missing_text}\r\n\r\n" + "\r\n".join(missing) + "\r\n", list_name)
    yield from archive.finalize()
