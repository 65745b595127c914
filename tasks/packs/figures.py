"""The figures of model packs: thresholds with their source, and whether commercial use is allowed.

A pack carries them in its manifest, in the section that folder.py reads and writes. They say
nothing about another pack's, and one for comparing two photos (verification) says nothing about
picking one person out of thousands (search).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace


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
    source: where the figures come from, in one line; empty where search and surely are not
    measured, and a pack without them is not used.
    """

    detection: float
    search: float
    surely: float
    expansion: Expansion | None
    source: str
    commercial: bool  # whether the licence allows commercial use
    doubt: Doubt = Doubt()
    licence: str = ""  # in one line; empty: what the folder's MODEL.LICENSE says


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
    licence="MIT (YuNet), Apache-2.0 (SFace); commercial use allowed",
)
# Of true pairs of LFW 4.4 % are rejected at 0.40, 5.4 % at 0.50 and 14.9 % at 0.60; at 0.40, 5 in
# 100,000 pairs of strangers are accepted, and at 0.50 strangers were not counted.
BUFFALO_L_FIGURES = PackFigures(
    detection=0.5,  # InsightFace's default
    search=0.50,
    surely=0.60,
    expansion=None,
    source="search: Immich's default, rejects 5.4 % of LFW's true pairs; surely: Frames-of-Me's "
    '"yours", rejects 14.9 %; not measured here',
    commercial=False,
    licence="non-commercial research only (InsightFace)",
)
# AuraFace v1 (fal/AuraFace-v1) with YuNet, not measured here. Taken over from irlume
# (github.com/archledger/irlume): at 0.45 it accepts 1 of 12,000 pairs of strangers of LFW, AgeDB,
# CALFW and CPLFW, with the mirror image averaged in (benchmarks/results-recognition.json); at 0.50
# 3 in 100,000 of LFW's 87 million (docs/FAIRNESS.md); 0.55 is what it ships (issue 276). By
# another's run 18 % of LFW's true pairs are rejected at 0.50, and 46 % at 0.60.
AURAFACE_FIGURES = PackFigures(
    detection=OPENCV_ZOO_FIGURES.detection,  # the same detector
    search=0.45,
    surely=0.55,
    expansion=None,
    source="taken over from irlume's measurements (LFW with YuNet; AgeDB, CALFW, CPLFW); not "
    "measured here",
    commercial=True,
    doubt=OPENCV_ZOO_FIGURES.doubt,
    licence="Apache-2.0 (AuraFace), MIT (YuNet); commercial use allowed",
)
# Of a pack that says nothing: it can be measured by these, and nothing is shown by them.
UNMEASURED_FIGURES = PackFigures(
    detection=0.5, search=0.50, surely=0.60, expansion=None, source="", commercial=False
)
# InsightFace's other packs: nobody is known to have measured them for search.
INSIGHTFACE_FIGURES = replace(UNMEASURED_FIGURES, licence=BUFFALO_L_FIGURES.licence)
BUILT_IN = "built_in"
MEASURED = ("search", "surely", "expansion", "source")


def parse_figures(section: object) -> PackFigures:
    """The figures that a manifest's section tells; ValueError, in words, for what cannot be.

    A section may tell of the detector and the licence alone, as that of a pack to be measured.
    """
    if not isinstance(section, Mapping):
        raise ValueError("they are no JSON object")
    licence, commercial = section.get("licence", ""), section.get("commercial", False)
    if not isinstance(licence, str) or not isinstance(commercial, bool):
        raise ValueError("licence is no text, or commercial neither true nor false")
    figures = replace(
        UNMEASURED_FIGURES,
        detection=_read_threshold(section, "detection"),
        commercial=commercial,
        doubt=_parse_doubt(section.get("doubt")),
        licence=licence,
    )
    if not any(name in section for name in MEASURED):
        return figures
    source = section.get("source")
    if not isinstance(source, str) or not source.strip():
        raise ValueError("source does not say where they come from")
    search, surely = _read_bands(section)
    expansion = _parse_expansion(section.get("expansion"))
    return replace(figures, search=search, surely=surely, expansion=expansion, source=source)


def build_section(figures: PackFigures, *, built_in: bool = False) -> dict[str, object]:
    """The section that parse_figures reads as these figures. Raises ValueError as it does.

    built_in: they are the product's own, and a later release may replace them.
    """
    section: dict[str, object] = asdict(figures)
    if not figures.source:
        section = {name: value for name, value in section.items() if name not in MEASURED}
    parse_figures(section)
    return {**section, BUILT_IN: True} if built_in else section


def is_built_in(section: object) -> bool:
    """Whether the product's own figures stand in the section, and not the owner's."""
    return isinstance(section, Mapping) and section.get(BUILT_IN) is True


def _parse_doubt(section: object) -> Doubt:
    if section is None:
        return Doubt()
    if not isinstance(section, Mapping):
        raise ValueError("doubt is no JSON object")
    scores = (section.get("doubtful"), section.get("poor"))
    if scores == (0, 0):
        return Doubt()
    doubtful, poor = (_read_threshold(section, name, "doubt.") for name in ("doubtful", "poor"))
    return Doubt(doubtful, poor)


def _parse_expansion(section: object) -> Expansion | None:
    if section is None:
        return None
    if not isinstance(section, Mapping):
        raise ValueError("expansion is no JSON object")
    search, surely = _read_bands(section, "expansion.")
    return Expansion(_read_threshold(section, "seed", "expansion."), search, surely)


def _read_bands(section: Mapping[str, object], where: str = "") -> tuple[float, float]:
    search, surely = (_read_threshold(section, name, where) for name in ("search", "surely"))
    if surely < search:
        raise ValueError(f"{where}surely is below {where}search")
    return search, surely


def _read_threshold(section: Mapping[str, object], name: str, where: str = "") -> float:
    value = section.get(name)
    # A bool is an int in Python, and its JSON allows NaN, which lies in no range.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ValueError(f"{where}{name} is no number above 0 and up to 1")
    return float(value)
