"""The figures of model packs: thresholds with their source, and whether commercial use is allowed.

A pack's figures say nothing about another pack's, and one for comparing two photos (verification)
says nothing about picking one person out of thousands (search).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Expansion:
    """Cosine similarities of an expanded search (tasks/search.py).

    seed: a face at least so similar to the selfie is taken for the guest's own, and averaged in;
    search and surely: as those of PackFigures, against the averaged vector.
    """

    seed: float
    search: float
    surely: float


@dataclass(frozen=True)
class Doubt:
    """Scores of a detector that puts tilted faces' points too upright; 0 for one that does not.

    doubtful: below it a face is looked at again, turned; poor: below it a face does not show that
    the photo was seen the right way up.
    """

    doubtful: float = 0.0
    poor: float = 0.0


@dataclass(frozen=True)
class PackFigures:
    """What was measured of a pack.

    detection: a face's least score, 0..1, on the detector's own scale. search: the least cosine
    similarity to a selfie at which a photo is shown; surely: from it on a match is told as certain,
    below it as possible. expansion: none where it was not measured, and no search is expanded.
    source: where the figures come from, in one line.
    """

    detection: float
    search: float
    surely: float
    expansion: Expansion | None
    source: str
    commercial: bool  # whether the licence allows commercial use
    doubt: Doubt = Doubt()


# Measured on public photos with this engine: LFW (2,518 photos, 1,200 people) and 368 hard photos.
OPENCV_ZOO_FIGURES = PackFigures(
    # OpenCV's default of 0.9 loses two of the six faces in InsightFace's sample photo t1 (they
    # score 0.88 to 0.93); at 0.6 all six are there, and none in photos without people.
    detection=0.6,
    search=0.45,
    surely=0.55,
    expansion=Expansion(seed=0.50, search=0.48, surely=0.52),
    source="measured on LFW and on 368 hard photos of five athletes",
    commercial=True,
    # Upright faces score 0.93, small ones 0.92; those tilted by 20 degrees 0.92 and 0.90.
    doubt=Doubt(doubtful=0.935, poor=0.85),
)
# Of ArcFace's kind: Immich's default (maxDistance 0.5); Frames-of-Me says "yours" from 0.60.
ARCFACE_FIGURES = PackFigures(
    detection=0.5,  # InsightFace's default
    search=0.50,
    surely=0.60,
    expansion=None,
    source="Immich and Frames-of-Me",
    commercial=False,
)
KNOWN_FIGURES = {"opencv_zoo": OPENCV_ZOO_FIGURES}
