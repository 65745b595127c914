"""The query that finds the photos of one event whose faces are nearest to a given face.

The search is exact, without a vector index. It returns each photo once, in pages.
"""

import base64
import binascii
import math
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from sqlalchemy import exists, func, text
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from models.copying import copy_into, encode_rows, encode_vector
from models.errors import InvalidCursorError
from models.tables import Face, Pack, Photo
from models.vocabulary import PhotoStatus

NO_PACK = 0  # packs are counted from 1
_PACKED = struct.Struct("<dqh")
_NO_CURSOR = "cursor must be an earlier answer's next_cursor, unchanged."


@dataclass(frozen=True)
class Cursor:
    """The end of a page: the last photo's distance and id. It names nobody and opens nothing.

    The pack is in it too, since distances of another pack's vectors are in another order.
    """

    distance: float
    photo_id: int
    pack_id: int = NO_PACK

    def encode(self) -> str:
        """The opaque text of an answer."""
        packed = _PACKED.pack(self.distance, self.photo_id, self.pack_id)
        return base64.urlsafe_b64encode(packed).decode()

    @classmethod
    def decode(cls, encoded: str) -> Self:
        """Read what `encode` wrote. Raises InvalidCursorError."""
        try:
            cursor = cls(*_PACKED.unpack(base64.b64decode(encoded.encode(), b"-_", validate=True)))
        except (binascii.Error, struct.error, ValueError) as error:
            raise InvalidCursorError(_NO_CURSOR) from error
        if not math.isfinite(cursor.distance):
            raise InvalidCursorError(_NO_CURSOR)
        return cursor


@dataclass(frozen=True)
class FaceQuery:
    """A face to look for in one event, among the faces of packs whose vectors are comparable.

    embedding: float32 (dim,), of length 1; min_similarity: cosine.
    """

    event_id: int
    pack_ids: Sequence[int]
    embedding: npt.NDArray[np.float32]
    min_similarity: float


@dataclass(frozen=True)
class FoundPhoto:
    """A photo and the face in it that is nearest; box: x1 y1 x2 y2 in 0..1."""

    photo_id: int
    s3_key: str
    image_url: str
    original_missing: bool
    distance: float
    box: tuple[float, float, float, float]

    @property
    def similarity(self) -> float:
        """Cosine; halves of vectors may multiply to a little more than 1."""
        return min(1.0, -self.distance)


# The vectors of an event are read in one pass and compared there: at the size of an event that is
# as quick as an index of vectors, and exact. Materialised, or the planner would compute a distance
# once more for everything that is asked of it. OFFSET 0 keeps PostgreSQL from reading all photos
# of the event for the few that are near. Only `indexed`: whatever other status comes is not shown.
_NEAREST = text("""
WITH face_query AS MATERIALIZED (
    SELECT wanted FROM searched_face
), near AS MATERIALIZED (
    SELECT photo_id, embedding <#> (SELECT wanted FROM face_query) AS distance, x1, y1, x2, y2
    FROM face
    WHERE event_id = :event_id AND pack_id = ANY(CAST(:pack_ids AS smallint[]))
      AND embedding <#> (SELECT wanted FROM face_query) <= :max_distance
), best AS (
    SELECT DISTINCT ON (photo_id) * FROM near ORDER BY photo_id, distance, x1, y1
)
SELECT photo_id, s3_key, image_url, original_missing, distance, x1, y1, x2, y2
FROM best CROSS JOIN LATERAL (
    SELECT s3_key, image_url, original_missing FROM photo
    WHERE photo.id = best.photo_id AND photo.event_id = :event_id AND photo.status = :indexed
    OFFSET 0
) AS photo
WHERE (distance, photo_id) > (CAST(:after_distance AS float8), CAST(:after_id AS bigint))
ORDER BY distance, photo_id
LIMIT :limit
""")
# Compiling the query takes longer than running it, and so does starting a parallel worker. The face
# goes ahead of the query, for this transaction only, by a COPY: a guest's face has no place in a
# log (models/copying.py). The empty table stays with the connection: to make one for each search
# would fill PostgreSQL's catalogues with the dead.
_PREPARE = text("""
SET LOCAL jit = off;
SET LOCAL max_parallel_workers_per_gather = 0;
CREATE TEMPORARY TABLE IF NOT EXISTS searched_face (wanted halfvec) ON COMMIT DELETE ROWS;
DELETE FROM searched_face
""")
_COPY_FACE = "COPY searched_face FROM STDIN (FORMAT binary)"
_FIRST = Cursor(-math.inf, 0)


def find_photos(
    session: Session, query: FaceQuery, *, after: Cursor | None, limit: int
) -> Sequence[FoundPhoto]:
    """Photos with a face that is near enough, the nearest first; those behind `after`."""
    session.execute(_PREPARE)
    copy_into(session, _COPY_FACE, encode_rows([[encode_vector(query.embedding)]]))
    after = after or _FIRST
    rows = session.execute(
        _NEAREST,
        {
            "event_id": query.event_id,
            "pack_ids": list(query.pack_ids),
            "max_distance": -query.min_similarity,
            "indexed": PhotoStatus.INDEXED,
            "after_distance": after.distance,
            "after_id": after.photo_id,
            "limit": limit,
        },
    )
    return [
        FoundPhoto(photo_id, s3_key, image_url, original_missing, distance, (x1, y1, x2, y2))
        for photo_id, s3_key, image_url, original_missing, distance, x1, y1, x2, y2 in rows
    ]


def has_foreign_faces(session: Session, event_id: int, pack_ids: Sequence[int]) -> bool:
    """Whether photos of the event are still known by faces of other packs than these.

    They cannot be compared, so a search would silently leave these photos out.
    """
    return find_foreign_photo(session, event_id, pack_ids) is not None


def find_foreign_photo(
    session: Session, event_id: int, pack_ids: Sequence[int], *, listed: Collection[str] = ()
) -> str | None:
    """The key of one such photo that lies in none of the `listed` prefixes.

    Faces that are made ready beside a photo's own (models/queries/reembeds.py) are nothing to
    wait for.
    """
    faces = exists().where(col(Face.event_id) == event_id, col(Face.pack_id) == Pack.id)
    # Pack by pack: a place of the index is read for each, and there is mostly nothing in any.
    others = select(Pack.id).where(col(Pack.id).not_in(pack_ids), faces)
    if session.exec(others.limit(1)).first() is None:
        return None
    own = aliased(Face)
    photos = select(Photo.s3_key).where(
        Photo.event_id == event_id,
        col(Photo.status).in_((PhotoStatus.INDEXED, PhotoStatus.PENDING)),
        func.coalesce(Photo.pack_id, NO_PACK).not_in(pack_ids),
        exists().where(col(Face.photo_id) == Photo.id),
        ~exists().where(col(own.photo_id) == Photo.id, col(own.pack_id).in_(pack_ids)),
        *(~func.starts_with(Photo.s3_key, prefix) for prefix in listed),
    )
    return session.exec(photos.limit(1)).first()
