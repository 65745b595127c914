"""Findings of a sync besides its faces: the event's false rate, previews that lie.

Two faces in one photo are two people, so an event measures by itself how often two people look
alike: from the similarities of all pairs of faces that share a photo.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

BINS = 200  # of a histogram of cosine similarities, from -1 to 1
# From here on a pair is one face met twice: in a mirror, on a screen, in a collage, or detected
# twice. With SFace on LFW mirror images lie at 0.92 and above, 80,000 pairs of different people
# below 0.48. Two shots of one person lie between (a tenth of them above 0.8): where a photo holds
# both they raise the threshold, and `surely` bounds that.
SAME_PERSON = 0.8
ODDS = 1_000
# So that three pairs decide what one in a thousand is, and a single odd pair does not.
LEAST_PAIRS = 3 * ODDS


@dataclass(frozen=True)
class FalseRate:
    """An event's false rate: of its `pairs` of different people one in 1,000 at most is as similar.

    per_thousand_above: the cosine similarity, rounded up to a hundredth.
    """

    pairs: int
    per_thousand_above: float

    @classmethod
    def from_counts(cls, counts: Sequence[int]) -> Self | None:
        """The false rate that a histogram of BINS counts shows; None where it has too few pairs."""
        counts = counts[: round((SAME_PERSON + 1) * BINS / 2)]
        pairs = sum(counts)
        if pairs < LEAST_PAIRS:
            return None
        bin_, above = len(counts), 0
        while (above := above + counts[bin_ - 1]) <= pairs // ODDS:
            bin_ -= 1
        return cls(pairs, round(bin_ * 2 / BINS - 1, 2))


def raise_threshold(lowest: float, surely: float, rate: FalseRate | None) -> float:
    """The search threshold `lowest`, raised to what the event shows, but never above `surely`."""
    if rate is None:
        return lowest
    return max(lowest, min(rate.per_thousand_above, surely))


def tell_findings(result: Mapping[str, Any]) -> Iterator[str]:
    """A result's findings in sentences, with what to do; none for one of a release before them."""
    if lying := result.get("lying_previews"):
        previews = "1 preview lies" if lying == 1 else f"{lying} previews lie"
        yield (
            f"{previews} on a side or upside down: apply EXIF's orientation when you make previews "
            "(with Pillow: ImageOps.exif_transpose), or leave them to `facepass push` or "
            "make_previews. The faces are found all the same."
        )
    if rate := result.get("false_rate"):
        yield (
            "In this event 1 pair of different people in 1,000 looks alike above "
            f"{rate['per_thousand_above']:.2f}."
        )


def describe_findings(rate: FalseRate | None, lying_previews: int) -> dict[str, Any]:
    """The fields of a result."""
    return {"lying_previews": lying_previews, "false_rate": asdict(rate) if rate else None}
