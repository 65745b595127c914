"""The query that finds the photos of one event whose faces are nearest to a given face.

The search is exact, without a vector index. It returns each photo once, in pages. In an expanded
search the faces nearest to the selfie, its seeds, are averaged in.
"""

import base64
import binascii
import math
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt
from sqlalchemy import exists, func, text
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from models.copying import copy_into, encode_rows, encode_values, encode_vector
from models.errors import InvalidCursorError
from models.keys import derive_original_key
from models.queries.events import read_event
from models.tables import Face, Pack, Photo
from models.vocabulary import PhotoStatus

NO_PACK = 0  # packs are counted from 1
MOST_SEEDS = 20
_PACKED = struct.Struct("<dqh")
_SEED = struct.Struct("<q")
_NO_CURSOR = "cursor must be an earlier answer's next_cursor, unchanged."
_SEEDS_CHANGED = (
    "The photos that this search began with were changed meanwhile, or it was another selfie's: "
    "ask for the first page again."
)


@dataclass(frozen=True)
class Cursor:
    """The end of a page: the last photo's distance and id. It names nobody and opens nothing.

    The pack is in it too, since distances of another pack's vectors are in another order, and so
    are the seeds' face ids, ascending: a photo that is stored meanwhile must not change what a
    later page searches with.
    """

    distance: float
    photo_id: int
    pack_id: int = NO_PACK
    seeds: tuple[int, ...] = ()

    def encode(self) -> str:
        """The opaque text of an answer."""
        packed = _PACKED.pack(self.distance, self.photo_id, self.pack_id)
        packed += b"".join(_SEED.pack(seed) for seed in self.seeds)
        return base64.urlsafe_b64encode(packed).decode()

    @classmethod
    def decode(cls, encoded: str) -> Self:
        """Read what `encode` wrote. Raises InvalidCursorError."""
        try:
            packed = base64.b64decode(encoded.encode(), b"-_", validate=True)
            seeds = tuple(seed for (seed,) in _SEED.iter_unpack(packed[_PACKED.size :]))
            cursor = replace(cls(*_PACKED.unpack_from(packed)), seeds=seeds)
        except (binascii.Error, struct.error, ValueError) as error:
            raise InvalidCursorError(_NO_CURSOR) from error
        ascending = all(first < second for first, second in pairwise((0, *seeds)))
        if not math.isfinite(cursor.distance) or not ascending or len(seeds) > MOST_SEEDS:
            raise InvalidCursorError(_NO_CURSOR)
        if cursor.encode() != encoded:
            raise InvalidCursorError(_NO_CURSOR)
        return cursor


@dataclass(frozen=True)
class FaceQuery:
    """A face to look for in one event, among the faces of packs whose vectors are comparable.

    embedding: float32 (dim,), of length 1; min_similarity: cosine. seeds: ids of faces that are
    averaged in, each at least `seed_similarity` to the embedding. not_photos: ids of photos that
    are left out, as if they had no faces.
    """

    event_id: int
    pack_ids: Sequence[int]
    embedding: npt.NDArray[np.float32]
    min_similarity: float
    seeds: Sequence[int] = ()
    seed_similarity: float = 0.0
    not_photos: Sequence[int] = ()


@dataclass(frozen=True)
class FoundPhoto:
    """A photo and the face in it that is nearest; box: x1 y1 x2 y2 in 0..1.

    distance: to what was searched with; selfie_distance: to the selfie alone.
    """

    photo_id: int
    s3_key: str
    image_url: str
    original_key: str
    original_missing: bool
    distance: float
    selfie_distance: float
    box: tuple[float, float, float, float]

    @property
    def similarity(self) -> float:
        """Cosine; halves of vectors may multiply to a little more than 1."""
        return min(1.0, -self.distance)

    @property
    def selfie_similarity(self) -> float:
        """Cosine to the selfie alone."""
        return min(1.0, -self.selfie_distance)


# The vectors of an event are read in one pass and compared there: at the size of an event that is
# as quick as an index of vectors, and exact. Materialised, or the planner would compute a distance
# once more for everything that is asked of it. OFFSET 0 keeps PostgreSQL from reading all photos
# of the event for the few that are near. Only `indexed`: whatever other status comes is not shown.
# While an event is read by another look of its pack, a photo has faces of both: those of the pack
# that it is known by count, so that pages stay as they are until the switch.
_BEST = """
WITH near AS MATERIALIZED (
    SELECT id, photo_id, pack_id, x1, y1, x2, y2,
           embedding <#> (SELECT face FROM searched_faces WHERE wanted) AS distance,
           embedding <#> (SELECT face FROM searched_faces WHERE NOT wanted) AS selfie_distance
    FROM face
    WHERE event_id = :event_id AND pack_id = ANY(CAST(:pack_ids AS smallint[]))
      AND embedding <#> (SELECT face FROM searched_faces WHERE wanted) <= :max_distance
), best AS (
    SELECT DISTINCT ON (photo_id) near.*, s3_key, image_url, original_key, original_missing
    FROM near CROSS JOIN LATERAL (
        SELECT pack_id, s3_key, image_url, original_key, original_missing FROM photo
        WHERE photo.id = near.photo_id AND photo.event_id = :event_id AND photo.status = :indexed
        OFFSET 0
    ) AS photo
    WHERE (photo.pack_id = near.pack_id
           OR (photo.pack_id = ANY(CAST(:pack_ids AS smallint[]))) IS NOT TRUE)
      AND photo_id <> ALL(CAST(:not_photos AS bigint[]))
    ORDER BY photo_id, distance, x1, y1
)
"""
_NEAREST = text(f"""
{_BEST}
SELECT photo_id, s3_key, image_url, original_key, original_missing, distance, selfie_distance,
       x1, y1, x2, y2
FROM best
WHERE (distance, photo_id) > (CAST(:after_distance AS float8), CAST(:after_id AS bigint))
ORDER BY distance, photo_id
LIMIT :limit
""")  # noqa: S608 (parts of this module)
_NEAREST_FACES = text(f"""
{_BEST} SELECT id FROM best
WHERE CAST(:photos AS bigint[]) IS NULL OR photo_id = ANY(CAST(:photos AS bigint[]))
ORDER BY distance, photo_id LIMIT :limit
""")  # noqa: S608 (parts of this module)
# In float32, and added in the order of ids: a page's distances are those of the page before, to
# the bit. A cursor may name any face, so those of another event are out before they are compared.
_EXPAND = text("""
WITH named AS MATERIALIZED (
    SELECT id, embedding FROM face
    WHERE id = ANY(CAST(:seeds AS bigint[])) AND event_id = :event_id
      AND pack_id = ANY(CAST(:pack_ids AS smallint[]))
), seed AS MATERIALIZED (
    SELECT id, CAST(embedding AS vector) AS embedding, -(embedding <#> selfie) AS similarity
    FROM named CROSS JOIN (SELECT face FROM searched_faces WHERE NOT wanted) AS sent (selfie)
    WHERE embedding <#> selfie <= :max_distance
), total AS (
    SELECT count(*) AS seeds, sum(embedding * CAST(
        array_fill(CAST(similarity AS real), ARRAY[vector_dims(embedding)]) AS vector
    ) ORDER BY id) AS embedding
    FROM seed
)
UPDATE searched_faces
SET face = CAST(l2_normalize(CAST(sent.face AS vector) + total.embedding) AS halfvec)
FROM total, searched_faces AS sent
WHERE searched_faces.wanted AND NOT sent.wanted
RETURNING total.seeds
""")
# Compiling the query takes longer than running it, and so does starting a parallel worker; a bitmap
# of the event's faces costs up to a fifth more than the index alone (30,000: 17 ms against 14),
# which gives them in the table's order too. The face goes ahead of the query, for this transaction
# only, by a COPY: a guest's face has no place in a log (models/copying.py). The empty table stays
# with the connection: to make one for each search would fill PostgreSQL's catalogues with the dead.
_PREPARE = text("""
SET LOCAL jit = off;
SET LOCAL max_parallel_workers_per_gather = 0;
SET LOCAL enable_bitmapscan = off;
SET LOCAL enable_seqscan = off;
CREATE TEMPORARY TABLE IF NOT EXISTS searched_faces (wanted boolean, face halfvec)
    ON COMMIT DELETE ROWS;
DELETE FROM searched_faces
""")
# The selfie, and what is wanted: at first the same. A row each, since the two in one row would be
# large enough for PostgreSQL to keep them elsewhere, and to fetch them for every face.
_COPY_SELFIE = "COPY searched_faces FROM STDIN (FORMAT binary)"
_FIRST = Cursor(-math.inf, 0)


def find_seeds(
    session: Session,
    query: FaceQuery,
    *,
    photos: Sequence[int] | None = None,
    limit: int = MOST_SEEDS,
) -> tuple[int, ...]:
    """Ids, ascending, of the faces to expand a search by: the nearest that are near enough.

    At most `limit`, and one a photo: its best; with `photos` of those alone.
    """
    _send_selfie(session, query)
    values = _describe(query) | {
        "photos": None if photos is None else list(photos),
        "limit": limit,
        "max_distance": -query.seed_similarity,
    }
    return tuple(sorted(session.execute(_NEAREST_FACES, values).scalars()))


def find_photos(
    session: Session, query: FaceQuery, *, after: Cursor | None, limit: int
) -> Sequence[FoundPhoto]:
    """Photos with a face that is near enough, the nearest first; those behind `after`.

    Raises InvalidCursorError where one of the query's seeds is none, or none any more.
    """
    _send_selfie(session, query)
    if query.seeds:
        _expand(session, query)
    after = after or _FIRST
    folder = read_event(session, query.event_id).folder
    rows = session.execute(
        _NEAREST,
        _describe(query)
        | {
            "max_distance": -query.min_similarity,
            "after_distance": after.distance,
            "after_id": after.photo_id,
            "limit": limit,
        },
    )
    return [
        FoundPhoto(
            row.photo_id,
            row.s3_key,
            row.image_url,
            row.original_key or derive_original_key(row.s3_key, folder),
            row.original_missing,
            row.distance,
            row.selfie_distance,
            (row.x1, row.y1, row.x2, row.y2),
        )
        for row in rows
    ]


def _send_selfie(session: Session, query: FaceQuery) -> None:
    session.execute(_PREPARE)
    selfie = encode_vector(query.embedding)
    rows = [[*encode_values("?", wanted), selfie] for wanted in (False, True)]
    copy_into(session, _COPY_SELFIE, encode_rows(rows))


def _expand(session: Session, query: FaceQuery) -> None:
    """Have the selfie's vector averaged with its seeds', each weighted by its similarity."""
    values = _describe(query) | {"max_distance": -query.seed_similarity}
    found = session.execute(_EXPAND, values | {"seeds": list(query.seeds)}).scalar_one()
    if found != len(query.seeds):
        raise InvalidCursorError(_SEEDS_CHANGED)


def _describe(query: FaceQuery) -> dict[str, object]:
    return {
        "event_id": query.event_id,
        "pack_ids": list(query.pack_ids),
        "not_photos": list(query.not_photos),
        "indexed": PhotoStatus.INDEXED,
    }


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
