"""From which similarity a face is shown: one table, by model pack and purpose, with its sources.

Cosine similarity. A pack's figure says nothing about another pack's, and one for comparing two
photos (verification) says nothing about picking one person out of thousands (search).
"""

from enum import StrEnum


class Purpose(StrEnum):
    """What a threshold is for."""

    SEARCH = "search"  # below it a photo is left out, unless the caller asks for less
    SURELY = "surely"  # from it on a match is told as certain, below it as possible


_SFACE = {
    # OpenCV Zoo verifies pairs at 0.363, DeepFace at 0.407. On the demo's photos (126 faces of 7
    # people; mirrored, darker, cropped) different people reach 0.36, a guest's selfie against them
    # 0.38, and the hardest person, turned away and blurred, comes down to 0.42 of her own.
    Purpose.SEARCH: 0.40,
    # PhotoPrism accepts a face as a person's at 0.549 (and links unasked at 0.696).
    Purpose.SURELY: 0.55,
}
_ARCFACE = {
    # Immich's default (maxDistance 0.5) and where Frames-of-Me drops a face; DeepFace: 0.45.
    Purpose.SEARCH: 0.50,
    # Frames-of-Me tells a photo as "yours" from 0.60 (and is sure at 0.70). Not measured here:
    # the pack's weights cannot be had where this is built.
    Purpose.SURELY: 0.60,
}
THRESHOLDS: dict[str, dict[Purpose, float]] = {"opencv_zoo": _SFACE, "buffalo_l": _ARCFACE}
# InsightFace's other packs, and packs of one's own, are of ArcFace's kind.
OTHERS = _ARCFACE


def read_threshold(pack_name: str, purpose: Purpose) -> float:
    """The cosine similarity of a pack for a purpose."""
    return THRESHOLDS.get(pack_name, OTHERS)[purpose]
