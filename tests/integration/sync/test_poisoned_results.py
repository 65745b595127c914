"""Cached results that somebody else wrote, damaged or put back: none is used and none runs code."""

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prefect.filesystems import LocalFileSystem
from prefect.results import ResultRecord, ResultRecordMetadata
from pydantic import SecretBytes

from deployments.result_storage import BLOCK_SLUG, build_block, create_result_storage
from models.queries.erasures import resume_event
from models.queries.events import read_event
from models.session import open_session
from models.settings import get_settings
from models.vocabulary import PhotoReason
from tasks.faces.detected import PhotoFaces, pack_faces
from tasks.results.erasure import erase_event_faces, erase_photo_faces
from tasks.results.prune import delete_event_results
from tasks.results.signed import RawBytes, SignedStorage
from tasks.results.storage import load_storage_block
from tasks.sync import embed
from tests.support.event_box import EventBox
from tests.support.photos import read_group, read_sample, vary
from tests.support.poison import POISONS, flip_bytes, write_module

HALF = np.full((2, 4), 0.5, np.float32)
ARRAYS = {
    "counts": np.array([1, 1]),
    "turns": np.zeros(2, np.int16),
    "verdicts": np.array(["", ""]),
    "boxes": HALF,
    "scores": HALF[:, 0],
    "embeddings": np.full((2, 128), 128**-0.5, np.float32),
}


def save_arrays(**others: Any) -> bytes:
    """A batch's two faces, some arrays of them otherwise."""
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, **{**ARRAYS, **others})
    return buffer.getvalue()


UNREADABLE = {
    "no bytes": b"",
    "no archive": b"faces",
    "damaged archive": b"PK\x03\x04" + b"x" * 100,
    "another name": save_arrays().replace(b"scores", b"merits"),
    "three photos": save_arrays(
        counts=np.array([1, 1, 0]), turns=np.zeros(3), verdicts=np.array(["", "", "empty"])
    ),
    "a face short": save_arrays(boxes=HALF[:1], scores=HALF[:1, 0], embeddings=HALF[:1]),
    "a score short": save_arrays(scores=HALF[:1, 0]),
    "boxes of five numbers": save_arrays(boxes=np.full((2, 5), 0.5, np.float32)),
    "boxes in a row": save_arrays(boxes=HALF.ravel()),
    "boxes of text": save_arrays(boxes=np.full((2, 4), "x")),
    "vectors of one number": save_arrays(embeddings=HALF[:, 0]),
    "vectors of no number": save_arrays(embeddings=HALF * np.nan),
}
FORGET_PHOTOS = "DELETE FROM photo WHERE event_id = :event RETURNING id"


class Results:
    """One storage as somebody sees it who may write there."""

    def __init__(self, storage: Any, list_names: Callable[[EventBox], list[str]]) -> None:
        self._storage, self._list_names = storage, list_names

    def find(self, event: EventBox) -> str:
        """The path of the event's only result."""
        (name,) = self._list_names(event)
        return f"embed/{event.id}/{name}"

    def read(self, path: str) -> bytes:
        """What lies there."""
        return bytes(self._storage.read_path(path, _sync=True))

    def write(self, path: str, content: bytes) -> None:
        """Put something there."""
        self._storage.write_path(path, content, _sync=True)

    def sign(self, event: EventBox, path: str, product: bytes) -> None:
        """Put a product there as this installation does."""
        metadata = ResultRecordMetadata(storage_key=path, serializer=RawBytes())
        self.sign_record(event, path, ResultRecord(metadata=metadata, result=product).serialize())

    def sign_record(self, event: EventBox, path: str, record: bytes) -> None:
        """The same with a record of Prefect's."""
        with open_session() as session:
            secret = SecretBytes(read_event(session, event.id).result_key.bytes)
        SignedStorage(storage=self._storage, secret=secret).write_path(path, record)


def open_folder(environment: dict[str, str]) -> Results:
    """The local folder."""
    root = Path(environment["PREFECT_LOCAL_STORAGE_PATH"])

    def list_names(event: EventBox) -> list[str]:
        return [file.name for file in (root / "embed" / str(event.id)).iterdir()]

    return Results(LocalFileSystem(basepath=str(root)), list_names)


def open_bucket() -> Results:
    """The bucket that workers share."""
    block = build_block(get_settings())
    client = block.credentials.get_client("s3")

    def list_names(event: EventBox) -> list[str]:
        prefix = f"results/embed/{event.id}/"
        answer = client.list_objects_v2(Bucket=block.bucket_name, Prefix=prefix)
        return [item["Key"].removeprefix(prefix) for item in answer.get("Contents", [])]

    return Results(block, list_names)


@pytest.fixture(params=["local folder", "S3"])
def results(
    request: pytest.FixtureRequest, joined_stack: dict[str, str], configure: Callable[..., None]
) -> Iterator[Results]:
    """Each of the two storages."""
    load_storage_block.cache_clear()
    if request.param == "local folder":
        yield open_folder(joined_stack)
        return
    create_result_storage(get_settings())
    configure(result_storage=BLOCK_SLUG)
    yield open_bucket()
    load_storage_block.cache_clear()


@pytest.fixture
def folder(joined_stack: dict[str, str]) -> Results:
    """The local folder alone."""
    return open_folder(joined_stack)


def sync_two(event: EventBox) -> None:
    for index in range(2):
        event.put(f"{index}.jpg", vary(read_sample("astronaut.png"), index))
    assert event.sync().result["new_photos"] == 2


def sync_again(event: EventBox) -> dict[str, int]:
    """Sync photos that the database does not know any more; the faces of each."""
    event.query(FORGET_PHOTOS)
    outcome = event.sync()
    assert outcome.state.is_completed(), outcome.state
    return event.face_counts()


@pytest.mark.parametrize("poison", POISONS)
def test_a_poisoned_result_runs_nothing_and_is_replaced(
    event: EventBox,
    results: Results,
    poison: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    marker = tmp_path / "ran"
    monkeypatch.syspath_prepend(tmp_path)
    write_module(tmp_path, marker)
    sync_two(event)
    path = results.find(event)
    results.write(path, POISONS[poison](marker))

    assert sync_again(event) == {"0.jpg": 1, "1.jpg": 1}

    assert not marker.exists()
    assert results.read(path).startswith(b"facepass result ")


@pytest.mark.parametrize(
    "damage",
    [flip_bytes, lambda content: content[: len(content) // 2], lambda _: b""],
    ids=["flipped", "half", "empty"],
)
def test_a_damaged_result_is_computed_again(
    event: EventBox, results: Results, damage: Callable[[bytes], bytes]
) -> None:
    sync_two(event)
    path = results.find(event)
    sound = results.read(path)
    damaged = damage(sound)
    assert damaged != sound
    results.write(path, damaged)

    assert sync_again(event) == {"0.jpg": 1, "1.jpg": 1}
    assert results.read(path) != damaged


def test_a_pickled_result_of_an_older_release_is_forgotten(
    event: EventBox, results: Results
) -> None:
    sync_two(event)
    path = results.find(event)
    no_faces = pack_faces([PhotoFaces(None, PhotoReason.NO_FACE_DETECTED.value)] * 2)
    pickled = ResultRecord(metadata=ResultRecordMetadata(storage_key=path), result=no_faces)
    assert pickled.metadata.serializer.type == "pickle"
    results.write(path, pickled.serialize())

    assert sync_again(event) == {"0.jpg": 1, "1.jpg": 1}
    assert results.read(path).startswith(b"facepass result ")


def test_a_result_of_an_older_release_in_another_format_is_computed_once_more(
    event: EventBox, folder: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    event.put("0.jpg", vary(read_sample("astronaut.png"), 0))
    with monkeypatch.context() as patch:
        patch.setattr(embed, "pack_faces", lambda _: b"another format")
        assert not event.sync().state.is_completed()
    before = folder.read(folder.find(event))

    assert sync_again(event) == {"0.jpg": 1}
    assert folder.read(folder.find(event)) != before


@pytest.mark.parametrize("product", UNREADABLE.values(), ids=UNREADABLE)
def test_a_sound_result_that_this_release_cannot_read_is_computed_once_more(
    event: EventBox, folder: Results, product: bytes
) -> None:
    """Signed and whole, as another release of this installation would leave it."""
    sync_two(event)
    path = folder.find(event)
    folder.sign(event, path, product)
    unreadable = folder.read(path)

    assert sync_again(event) == {"0.jpg": 1, "1.jpg": 1}
    assert folder.read(path) != unreadable


@pytest.mark.parametrize("record", [b"", b"{}", b'{"metadata": {}, "result": "AA=="}'])
def test_a_signed_record_that_prefect_cannot_read_is_computed_once_more(
    event: EventBox, folder: Results, record: bytes
) -> None:
    sync_two(event)
    folder.sign_record(event, folder.find(event), record)
    assert sync_again(event) == {"0.jpg": 1, "1.jpg": 1}


@pytest.mark.parametrize("what", ["result", "folder"])
def test_a_storage_that_fails_costs_time_and_no_photo(
    event: EventBox, joined_stack: dict[str, str], folder: Results, what: str
) -> None:
    """Neither read nor written: where the result belongs is something else."""
    sync_two(event)
    result = Path(joined_stack["PREFECT_LOCAL_STORAGE_PATH"]) / folder.find(event)
    result.unlink()
    if what == "result":
        result.mkdir()
    else:
        result.parent.rmdir()
        result.parent.write_text("no folder")

    assert sync_again(event) == {"0.jpg": 1, "1.jpg": 1}

    if what == "result":
        result.rmdir()
    else:
        result.parent.unlink()


@pytest.mark.parametrize("what", ["event", "photo"])
def test_a_result_that_was_saved_before_an_erasure_is_not_read_after_it(
    event: EventBox, results: Results, what: str
) -> None:
    sync_two(event)
    path = results.find(event)
    saved = results.read(path)
    if what == "event":
        erase_event_faces(event.id)
        with open_session() as session:
            resume_event(session, event.id)
    else:
        erase_photo_faces(event.id, event.photos()["0.jpg"].id)
    results.write(path, saved)

    assert sync_again(event) == {"0.jpg": 1, "1.jpg": 1}
    assert results.read(path) != saved


def test_another_events_result_is_not_read(
    make_event: Callable[..., EventBox], results: Results
) -> None:
    event, other = make_event(), make_event("Другая")
    sync_two(event)
    for index in range(2):
        other.put(f"{index}.jpg", vary(read_group(), index))
    other.sync()
    results.write(results.find(event), results.read(results.find(other)))

    assert sync_again(event) == {"0.jpg": 1, "1.jpg": 1}


def test_a_result_is_still_found_by_whoever_did_not_write_it(
    event: EventBox, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other side of all this: what is sound is not computed again."""
    sync_two(event)
    saved = results.read(results.find(event))
    monkeypatch.setattr(embed, "require_face_engine", lambda *_: pytest.fail("computed again"))

    assert sync_again(event) == {"0.jpg": 1, "1.jpg": 1}
    assert results.read(results.find(event)) == saved
    assert delete_event_results(event.id)["deleted"] == 1
