"""Deletion of expired cached results; Prefect stops using them, but never deletes them.

A result expires CACHE_LIFETIME after it was written, so its age is enough and it is not read.
"""

import logging
import os
import stat
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from prefect import get_run_logger, task
from prefect.filesystems import LocalFileSystem, WritableFileSystem

from tasks.results.storage import CACHE_FOLDER, CACHE_LIFETIME, list_result_storages
from tasks.s3.errors import map_s3_errors

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

logger = logging.getLogger(__name__)

EVER = datetime.max.replace(tzinfo=UTC)


@task(name="prune_expired", persist_result=False)
def prune_expired() -> dict[str, int]:
    """Delete what has expired in every storage in use; counts of deleted, kept, failed, bytes."""
    written_before = datetime.now(UTC) - CACHE_LIFETIME
    counts = Counter(deleted=0, kept=0, failed=0, bytes=0)
    for storage in list_result_storages():
        counts.update(prune_storage(storage, written_before) or {})
    get_run_logger().info(
        "Pruned results: %(deleted)d deleted (%(bytes)d bytes), %(kept)d kept, "
        "%(failed)d could not be deleted",
        counts,
    )
    return dict(counts)


def delete_event_results(event_id: int, written_before: datetime = EVER) -> Counter[str]:
    """Delete an event's results from every storage in use, those of before a moment only.

    What lies in a storage that cannot be pruned from here counts as one failed. Raises
    S3DownloadError, S3AccessError and ConfigurationError.
    """
    counts = Counter(deleted=0, kept=0, failed=0, bytes=0)
    for storage in list_result_storages():
        found = prune_storage(storage, written_before, f"{CACHE_FOLDER}/{event_id}")
        counts.update(found if found is not None else {"failed": 1})
    return counts


def prune_storage(
    storage: WritableFileSystem, written_before: datetime, folder: str = CACHE_FOLDER
) -> Counter[str] | None:
    """Delete one storage's results that were written before a moment.

    None for a storage of a kind that cannot be pruned from here.
    """
    if isinstance(storage, LocalFileSystem):
        root = Path(storage.basepath or ".").expanduser()
        return prune_folder(root / folder, written_before)
    from prefect_aws import S3Bucket  # a slow import

    if isinstance(storage, S3Bucket):
        client: S3Client = storage.credentials.get_client("s3")
        prefix = f"{(PurePosixPath(storage.bucket_folder) / folder).as_posix()}/"
        with map_s3_errors(storage.bucket_name):
            return prune_bucket(client, storage.bucket_name, prefix, written_before)
    logger.warning("Results in a %s cannot be pruned from here.", type(storage).__name__)
    return None


def prune_folder(folder: Path, written_before: datetime) -> Counter[str]:
    """Delete a folder's files of before a moment, its folders' too; links are not followed.

    Emptied folders stay: a sync may be about to write into one.
    """
    counts: Counter[str] = Counter()
    files = (Path(parent) / name for parent, _, names in os.walk(folder) for name in names)
    for file in files:
        try:
            found = file.lstat()
            expired = found.st_mtime < written_before.timestamp()
            if not stat.S_ISREG(found.st_mode):
                continue
            if expired:
                file.unlink()
        except FileNotFoundError:
            continue  # another prune, or an erasure, was faster
        except OSError as error:
            logger.warning("A result could not be deleted: %s", error)
            counts["failed"] += 1
            continue
        counts["deleted" if expired else "kept"] += 1
        counts["bytes"] += found.st_size if expired else 0
    return counts


def prune_bucket(
    client: "S3Client", bucket: str, prefix: str, written_before: datetime
) -> Counter[str]:
    """Delete objects under a prefix that were written before a moment, page by page.

    A page's expired objects are one request: both have at most 1000. Raises boto3's.
    """
    counts: Counter[str] = Counter()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        objects = page.get("Contents", [])
        sizes = {o["Key"]: o["Size"] for o in objects if o["LastModified"] < written_before}
        counts["kept"] += len(objects) - len(sizes)
        refused = set()
        if sizes:
            wanted: Any = {"Objects": [{"Key": key} for key in sizes], "Quiet": True}
            for error in client.delete_objects(Bucket=bucket, Delete=wanted).get("Errors", []):
                logger.warning("A result could not be deleted: %s", error.get("Code"))
                refused.add(error["Key"])
        counts["failed"] += len(refused)
        counts["deleted"] += len(sizes) - len(refused)
        counts["bytes"] += sum(size for key, size in sizes.items() if key not in refused)
    return counts
