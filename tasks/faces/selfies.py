"""Several selfies of one person: each judged by itself, their vectors averaged by quality.

A second picture from another side finds photos that the first one misses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.errors import SelfieError
from models.vocabulary import SelfieCode, SelfieFace
from tasks.faces.engine import SHORTEST_VECTOR, FaceEngine, Floats
from tasks.faces.selfie import Selfie, read_selfie

# A share of the pack's search threshold: two selfies less alike than that are taken for two
# people's. With opencv_zoo it is 0.225: below it are 93 % of LFW's pairs of two people, and 1.2 %
# of those of one (1,629 pairs), every one of them with one of four photos; the next are at 0.33.
LEAST_LIKENESS = 0.5


@dataclass(frozen=True)
class PersonsSelfies:
    """What a person is searched by. faces: of each selfie the one that counts, in their order.

    embedding: float32 (dim,), of length 1; it is never stored.
    """

    faces: tuple[SelfieFace, ...]
    embedding: Floats


def read_selfies(
    contents: Sequence[bytes], engine: FaceEngine, max_pixels: int, chosen: Sequence[int | None]
) -> PersonsSelfies:
    """Find and embed the face of each selfie; `chosen` as read_selfie's, one for each or none.

    Raises SelfieError, which tells by `file` which selfie it is about, the first being 1.
    """
    selfies = []
    for number, content in enumerate(contents, 1):
        try:
            choice = chosen[number - 1] if chosen else None
            selfies.append(read_selfie(content, engine, max_pixels, choice))
        except SelfieError as error:
            sentence = f"Selfie {number}: {error}" if len(contents) > 1 else str(error)
            raise SelfieError(sentence, error.code, error.faces, number) from error
    return average_selfies(selfies, LEAST_LIKENESS * engine.pack.figures.search)


def average_selfies(selfies: Sequence[Selfie], least: float) -> PersonsSelfies:
    """The selfies' mean, each weighted by its quality.

    Raises SelfieError where two are less similar than `least`.
    """
    vectors = np.stack([selfie.embedding for selfie in selfies])
    similarities = np.round(vectors @ vectors.T, 6)
    np.fill_diagonal(similarities, 1)  # so that of two neither is less like itself
    if similarities.min() < least:
        # The one least like the others; of two, the one that was added.
        stranger = len(selfies) - 1 - int(np.argmin(similarities.sum(axis=0)[::-1]))
        raise SelfieError(
            f"Selfie {stranger + 1} does not show the person of the others: send selfies of one "
            "person, or leave this one out.",
            SelfieCode.DIFFERENT_PEOPLE,
            (selfies[stranger].face,),
            stranger + 1,
        )
    total = np.asarray([selfie.quality for selfie in selfies], np.float32) @ vectors
    length = max(float(np.linalg.norm(total)), SHORTEST_VECTOR)
    faces = tuple(selfie.face for selfie in selfies)
    return PersonsSelfies(faces, (total / length).astype(np.float32))
