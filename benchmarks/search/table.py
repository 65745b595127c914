"""Events full of random faces, written into the product's own tables by COPY."""

from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Engine, text

DIMENSION = 512  # buffalo_l's
FACES_A_PHOTO = 3
# The guest of an event is the first face of so many photos, each so similar to the others.
GUESTS_PHOTOS = 25
LIKENESS = 0.6
PACK = "search-bench@0000000000000000"
COPY_FACES = (
    "COPY face (photo_id, event_id, pack_id, x1, y1, x2, y2, confidence, embedding, id)"
    " FROM STDIN BINARY"
)
_COLUMNS = [
    ("photo_id", ">i8"), ("event_id", ">i4"), ("pack_id", ">i2"), ("x1", ">f8"), ("y1", ">f8"),
    ("x2", ">f8"), ("y2", ">f8"), ("confidence", ">f8"),
]  # fmt: skip
Floats = npt.NDArray[np.float32]


def make_vectors(event_id: int, faces: int, dimension: int = DIMENSION) -> Floats:
    """An event's unit vectors (faces, dimension), as halves; the same at every call.

    Random ones, but for those of its guest.
    """
    generator = np.random.default_rng(event_id)
    vectors = generator.standard_normal((faces, dimension), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    own = vectors[: GUESTS_PHOTOS * FACES_A_PHOTO : FACES_A_PHOTO]
    own[:] = [resemble_guest(event_id, vector) for vector in own]
    return vectors.astype(np.float16).astype(np.float32)


def resemble_guest(event_id: int, vector: Floats) -> Floats:
    """A random unit vector turned into one of the event's guest."""
    guest = np.random.default_rng(-event_id % 2**32).standard_normal(len(vector), np.float32)
    guest /= np.linalg.norm(guest)
    mixed = LIKENESS**0.5 * guest + (1 - LIKENESS) ** 0.5 * vector
    return np.asarray(mixed / np.linalg.norm(mixed), np.float32)


def add_pack(database: Engine) -> int:
    """The pack that the random faces are of."""
    statement = "INSERT INTO pack (id, identity, licence) VALUES (9999, :pack, '') RETURNING id"
    with database.begin() as connection:
        return int(connection.execute(text(statement), {"pack": PACK}).scalar_one())


def add_event(database: Engine, event_id: int, pack_id: int, faces: int) -> None:
    """An event with so many faces, three a photo, written together as a sync does."""
    photos = -(-faces // FACES_A_PHOTO)
    first = event_id * 1_000_000  # ids of photos and faces
    values = {"event": event_id, "first": first, "last": photos - 1, "pack": pack_id}
    with database.begin() as connection:
        connection.execute(text(_ADD_EVENT), values)
        connection.execute(text(_ADD_PHOTOS), values)
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor:
            cursor.copy_expert(COPY_FACES, BytesIO(pack_faces(event_id, pack_id, first, faces)))


def pack_faces(
    event_id: int, pack_id: int, first: int, faces: int, dimension: int = DIMENSION
) -> bytes:
    """The faces in COPY's binary form: each value after its length, all big-endian."""
    vector = [("dimension", ">i2"), ("unused", ">i2"), ("vector", ">f2", (dimension,))]
    fields: list[Any] = [("count", ">i2")]
    for name, kind in _COLUMNS:
        fields += [(f"{name}_length", ">i4"), (name, kind)]
    fields += [("vector_length", ">i4"), *vector, ("id_length", ">i4"), ("id", ">i8")]
    rows = np.zeros(faces, np.dtype(fields))
    for name, kind in [*_COLUMNS, ("id", ">i8")]:
        rows[f"{name}_length"] = np.dtype(kind).itemsize
    rows["count"], rows["vector_length"] = len(_COLUMNS) + 2, 4 + 2 * dimension
    rows["dimension"], rows["vector"] = dimension, make_vectors(event_id, faces, dimension)
    rows["photo_id"] = first + np.arange(faces) // FACES_A_PHOTO
    rows["id"] = first + np.arange(faces)
    rows["event_id"], rows["pack_id"] = event_id, pack_id
    rows["x2"] = rows["y2"] = rows["confidence"] = 1
    return b"PGCOPY\n\xff\r\n\0" + bytes(8) + rows.tobytes() + b"\xff\xff"


_ADD_EVENT = """
INSERT INTO event (id, uuid, name, gallery_token, sync_epoch, pending_prefixes, active_until,
                   created_at)
VALUES (:event, gen_random_uuid(), 'bench', 'bench ' || :event, 0, '{}', now(), now())
"""
_ADD_PHOTOS = """
INSERT INTO photo (id, event_id, s3_key, etag, size, image_url, original_missing, status,
                   confidence, attempts, change, pack_id, created_at)
SELECT :first + number, :event, 'events/' || :event || '/previews/IMG_' || number || '.jpg',
       md5(number::text), 50000, 'http://127.0.0.1/bucket/events/' || number, false, 'indexed', 1,
       0, 'new', :pack, now()
FROM generate_series(0, :last) AS number
"""


def analyse(database: Engine) -> None:
    """What autovacuum does a minute after a sync."""
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE face, photo"))
