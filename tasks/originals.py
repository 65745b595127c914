"""Originals, read piece by piece: for a guest's zip, never for the engine."""

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from tasks.s3_errors import map_object_errors
from tasks.storage import Bucket, map_s3_errors

if TYPE_CHECKING:
    from botocore.response import StreamingBody

PIECE_BYTES = 256 * 1024


def open_original(bucket: Bucket, key: str) -> tuple[int, Iterator[bytes]]:
    """An object's size and its bytes, a piece at a time: memory does not grow with it.

    Raises PhotoUnavailableError where it is not there, S3DownloadError or S3AccessError about S3
    itself; while its bytes are read, too.
    """
    with map_object_errors(bucket.name):
        answer = bucket.client.get_object(Bucket=bucket.name, Key=key)
    return answer["ContentLength"], _read_pieces(bucket, answer["Body"])


def _read_pieces(bucket: Bucket, body: "StreamingBody") -> Iterator[bytes]:
    # Ends with an empty read: that is when botocore compares what came with what was announced.
    with map_s3_errors(bucket.name), closing(body):
        while piece := body.read(PIECE_BYTES):
            yield piece
