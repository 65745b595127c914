"""Storage for cached faces between runs: a local folder, or a Prefect block that all workers share.

A result's key depends only on what its faces depend on: photos, ETags, attempts and model pack.
The key begins with a folder for the event.
"""

from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any

from prefect.blocks.core import Block
from prefect.filesystems import WritableFileSystem
from prefect.results import get_default_result_storage
from prefect.runtime import flow_run

from models.errors import ConfigurationError
from models.queries.outcomes import PhotoRef
from models.settings import get_settings

CACHE_LIFETIME = timedelta(days=7)
CACHE_FOLDER = "embed"


def open_result_storage() -> WritableFileSystem:
    """The configured block; Prefect's own, mostly a local folder, where none is.

    Raises ConfigurationError for a block that is not there.
    """
    if name := get_settings().result_storage:
        return load_storage_block(name)
    return _find_default_storage(flow_run.get_id())


def list_result_storages() -> list[WritableFileSystem]:
    """Every place where results may lie: the folder used before a block was set, and the block."""
    name = get_settings().result_storage
    shared = [load_storage_block(name)] if name else []
    return [_ask_for_default_storage(), *shared]


@lru_cache(maxsize=2)
def _find_default_storage(_run: str | None) -> WritableFileSystem:
    """Prefect's own, asked for once a run: each answer is a request to Prefect's server."""
    return _ask_for_default_storage()


def _ask_for_default_storage() -> WritableFileSystem:
    get_default: Any = get_default_result_storage  # typed without the argument it takes
    storage: WritableFileSystem = get_default(_sync=True)
    return storage


def name_result_storages() -> list[str]:
    """The storages of `list_result_storages`, in words that give no path away."""
    name = get_settings().result_storage
    return ["local folder", name] if name else ["local folder"]


@lru_cache(maxsize=4)
def load_storage_block(name: str) -> WritableFileSystem:
    """A block document such as `s3-bucket/facepass-results`, asked for once a process.

    Prefect would ask its server again for every batch. A block that changes meanwhile is seen by
    the next run, which is a process of its own. Raises ConfigurationError.
    """
    load: Any = Block.load  # typed without the argument it takes
    try:
        block: object = load(name, _sync=True)
    except ValueError as error:  # what Prefect raises for a document that is not there
        raise ConfigurationError(
            f"FACEPASS_RESULT_STORAGE names the block {name}, and Prefect has none of that name: "
            "run `python -m deployments.result_storage`."
        ) from error
    if not isinstance(block, WritableFileSystem):
        raise ConfigurationError(
            f"FACEPASS_RESULT_STORAGE names the block {name}, which stores no files: "
            "use s3-bucket/NAME or local-file-system/NAME."
        )
    return block


def build_cache_key(photos: Sequence[PhotoRef], pack: str, event_id: int) -> str:
    """The key of a batch's faces in result storage; its folder can be pruned by event.

    Exactly what the faces depend on: the photos' keys and ETags in order, and the pack. A photo's
    `attempts` make a second look a real one, not the first one's answer.
    """
    digest = sha256(pack.encode())
    for photo in photos:
        digest.update(f"\0{photo.s3_key}\0{photo.etag}\0{photo.attempts}".encode())
    return f"{CACHE_FOLDER}/{event_id}/{digest.hexdigest()}"
