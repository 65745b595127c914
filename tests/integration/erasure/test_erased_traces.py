"""Nothing of an erased vector is left: both databases, every file and every log are searched.

PostgreSQL's own files are not: rows that were deleted stay in them until they are vacuumed, out of
every query's reach (docs/operations.md says so).
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from PIL import ImageEnhance

from tasks.faces.detected import unpack_faces
from tasks.results.signed import FORMAT, SIGNATURE_LENGTH
from tests.support.administrator import dump_databases
from tests.support.event_box import EventBox
from tests.support.photos import encode_jpeg, read_sample
from tests.support.rest_api import RestApi
from tests.support.waiting import wait_until

Vector = npt.NDArray[np.float32]
HEAP = {"postgres", "models", "pycache"}  # PostgreSQL's files, and what never saw a photo


def make_needles(vector: Vector) -> list[bytes]:
    """Every form in which a vector is written somewhere, or might be by mistake."""
    half = vector.astype(np.float16)
    binary = [
        array.astype(array.dtype.newbyteorder(order)).tobytes()[:24]
        for array in (vector, vector.astype(np.float64), half)
        for order in ("<", ">")
    ]
    raw = vector.astype("<f4").tobytes()
    # Base64 in each alignment; of two pieces that begin 24 bytes apart, one lies within a line of
    # 48 bytes (64 characters), the shortest in use.
    starts = [*range(0, len(raw) - 26, 24)]
    encoded = [base64.b64encode(raw[i + n : i + n + 24]) for i in starts for n in range(3)]
    numbers = [
        [str(number) for number in vector[:3]],
        [repr(float(number)) for number in vector[:3]],
        [str(np.float32(number)) for number in half[:3]],
        [repr(float(number)) for number in half[:3]],
    ]
    written = [separator.join(row).encode() for row in numbers for separator in (",", ", ", " ")]
    return [*binary, *encoded, *written]


def search(places: Iterator[tuple[str, bytes]], needles: list[bytes]) -> set[str]:
    """Names of the places that hold one of the needles."""
    return {name for name, content in places if any(needle in content for needle in needles)}


def read_files(home: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of the stack: results (unwrapped too), logs, S3's data, Prefect's folder."""
    for file in home.rglob("*"):
        name = file.relative_to(home)
        if name.parts[0] in HEAP or not file.is_file():
            continue
        content = file.read_bytes()
        yield str(name), content
        if name.parts[0] == "results":
            yield f"{name} unwrapped", unwrap_result(content)


def unwrap_result(signed: bytes) -> bytes:
    """The product inside a record behind its signature; nothing of what other tests left there."""
    if not signed.startswith(FORMAT):
        return b""
    record = json.loads(signed[len(FORMAT) + SIGNATURE_LENGTH :])
    return base64.b64decode(record["result"])


@pytest.fixture
def searched(event: EventBox, rest: RestApi, joined_stack: dict[str, str]) -> list[bytes]:
    """The forms of two faces that no other test has, synced through the worker."""
    for index, share in enumerate((0.87, 1.09)):
        picture = read_sample("astronaut.png").resize((487 + index, 491))
        event.put(f"{index}.jpg", encode_jpeg(ImageEnhance.Brightness(picture).enhance(share)))
    task_id = rest.start_sync(event)
    wait_until(lambda: rest.read_sync(task_id)["state"] == "completed")
    folder = Path(joined_stack["PREFECT_LOCAL_STORAGE_PATH"]) / "embed" / str(event.id)
    (record,) = [file for file in folder.iterdir() if file.is_file()]
    product = unwrap_result(record.read_bytes())
    vectors = [photo.faces.embeddings[0] for photo in unpack_faces(product, 2) if photo.faces]
    assert len(vectors) == 2
    return [needle for vector in vectors for needle in make_needles(vector)]


@pytest.mark.parametrize("call", ["/faces", "/photos"])
def test_what_was_erased_is_in_no_table_no_file_and_no_log(
    event: EventBox, searched: list[bytes], joined_stack: dict[str, str], call: str
) -> None:
    home = Path(joined_stack["FACEPASS_HOME"])
    result = f"results/embed/{event.id}/"

    # The search finds what is there: in the table, in both of its forms, and in the cached result.
    before = search(dump_databases(), searched) | search(read_files(home), searched)
    kept = {name for name in before if name.startswith(result)}
    assert {name.partition(" ")[2] for name in before - kept} == {
        "public.face text",
        "public.face binary",
    }
    assert {name.partition(" ")[2] for name in kept} == {"", "unwrapped"}

    with httpx.Client(base_url=joined_stack["FACEPASS_API_URL"], timeout=60) as api:
        paths = ["/faces"]
        if call == "/photos":
            paths = [f"/photos/{photo.id}" for photo in event.photos().values()]
        for path in paths:
            api.delete(f"/api/v1/events/{event.uuid}{path}").raise_for_status()

    logs = [name for name, _ in read_files(home) if name.startswith("logs")]
    assert {"logs/worker.log", "logs/api.log", "logs/postgres.log", "logs/prefect.log"} <= {*logs}
    assert search(dump_databases(), searched) == set()
    assert search(read_files(home), searched) == set()


def wrap(encoded: bytes, width: int) -> bytes:
    return b"\n".join(encoded[i : i + width] for i in range(0, len(encoded), width))


def test_the_search_finds_every_form_it_looks_for() -> None:
    vector = np.random.default_rng(1).normal(size=128).astype(np.float32)
    half = vector.astype(np.float16)
    forms = {
        "float32": b"x" + vector.tobytes(),
        "halfvec": half.astype(">f2").tobytes(),
        "base64": base64.b64encode(vector.tobytes()),
        "base64 in lines": base64.encodebytes(b"xx" + vector.tobytes()),
        "base64 in short lines": wrap(base64.b64encode(b"x" + vector.tobytes()), 64),
        "json": json.dumps([float(number) for number in vector]).encode(),
        "halfvec as text": ",".join(str(np.float32(number)) for number in half).encode(),
        "list": str(vector.tolist()).encode(),
    }
    assert search(iter(forms.items()), make_needles(vector)) == {*forms}
