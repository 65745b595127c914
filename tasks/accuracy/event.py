"""An event's faces in memory, and the search among them as the product does it in SQL.

Arrays in, arrays out: tasks/search.py and models/queries/search.py are the product's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from tasks.packs.figures import Expansion

MOST_SEEDS = 20
NOTHING = -1.0  # the similarity of a photo without a face

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.intp]


@dataclass(frozen=True)
class EventFaces:
    """All faces of an event. vectors: float32 (F, dim), of length 1; owners: (F,), photo numbers.

    photos: their number, also of those without a face.
    """

    vectors: Floats
    owners: Numbers
    photos: int

    @classmethod
    def of(cls, photos: Sequence[Floats]) -> Self:
        """The faces of photos, each (F, dim)."""
        counts = [len(vectors) for vectors in photos]
        found = [vectors for vectors in photos if len(vectors)]
        stacked = np.concatenate(found) if found else np.zeros((0, 1), np.float32)
        return cls(stacked, np.repeat(np.arange(len(photos)), counts), len(photos))

    def replace(self, photo: int, vectors: Floats) -> "EventFaces":
        """The same event with other faces in one photo."""
        kept = self.owners != photo
        parts = [self.vectors[kept], *([vectors] if len(vectors) else [])]
        owners = [self.owners[kept], np.full(len(vectors), photo)]
        return EventFaces(np.concatenate(parts), np.concatenate(owners), self.photos)

    def rate_photos(self, wanted: Floats, left_out: int | None) -> tuple[Floats, Numbers]:
        """Each photo's similarity by its best face, and that face's row; -1 where it has none."""
        best = np.full(self.photos, -1)
        if not len(self.owners):
            return np.full(self.photos, NOTHING, np.float32), best
        similar = self.vectors @ wanted
        order = np.argsort(similar, kind="stable")
        best[self.owners[order]] = order  # of a photo's faces the last one stays: the most similar
        if left_out is not None:
            best[left_out] = -1
        return np.where(best < 0, np.float32(NOTHING), similar[best]), best


@dataclass(frozen=True)
class Search:
    """Similarities of photos (P,): to the selfie; to the expanded vector, where there is one."""

    plain: Floats
    expanded: Floats | None


def search_event(
    selfie: Floats, event: EventFaces, expansion: Expansion | None, left_out: int | None = None
) -> Search:
    """Both passes: the nearest photos' faces that are similar enough are averaged into the selfie.

    selfie: (dim,), of length 1; left_out: the photo it was taken from, which is then as one without
    a face. At most MOST_SEEDS faces, one a photo, weighted by similarity.
    """
    plain, best = event.rate_photos(selfie, left_out)
    if expansion is None:
        return Search(plain, None)
    nearest = np.argsort(-plain, kind="stable")[:MOST_SEEDS]
    seeds = nearest[plain[nearest] >= expansion.seed]
    if not len(seeds):
        return Search(plain, None)
    total = selfie + plain[seeds] @ event.vectors[best[seeds]]
    expanded, _ = event.rate_photos((total / np.linalg.norm(total)).astype(np.float32), left_out)
    return Search(plain, expanded)
