"""Rates over thresholds: photos found, photos of others shown; and thresholds chosen by a rule."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.errors import MeasurementRefusedError
from tasks.accuracy.event import NOTHING, Floats, Numbers

THRESHOLDS = tuple(round(0.20 + 0.01 * step, 2) for step in range(61))
# The rule: the lowest threshold at which an event of so many photos shows a guest so many wrong
# ones on average.
EVENT_PHOTOS = 2500
MOST_WRONG = 0.10
MOST_WRONG_SURELY = 0.01
# Fewer say nothing of one wrong photo in a hundred searches of 2,500.
LEAST_PEOPLE = 100  # with two photos
LEAST_COMPARISONS = 500_000  # of a selfie with a stranger's photo
# A folder is doubted by the selfies of one other guest, so many at least.
LEAST_SELFIES = 3
OWN_QUARTILE = 0.25
RARE = 0.999  # the quantile of different people's similarities that is told

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rates:
    """What searches show at a threshold.

    recall: the share of the guests' own photos; wrong: photos of others, a search; wrong_any: the
    share of searches with any.
    """

    threshold: float
    recall: float
    wrong: float
    wrong_any: float


@dataclass(frozen=True)
class Scores:
    """Searches against photos: similarities (N, P), and which of the photos are whose.

    own: the guest's; strangers: other people's; the selfie itself is neither.
    """

    similarities: Floats
    own: Flags
    strangers: Flags

    def rate(self, threshold: float) -> Rates:
        """The rates at one threshold."""
        shown = self.similarities >= threshold
        wrong = (shown & self.strangers).sum(axis=1)
        return Rates(
            threshold,
            recall=float((shown & self.own).sum() / max(1, self.own.sum())),
            wrong=float(wrong.mean()),
            wrong_any=float((wrong > 0).mean()),
        )

    def rate_all(self, thresholds: Sequence[float] = THRESHOLDS) -> list[Rates]:
        """The rates at each threshold."""
        return [self.rate(threshold) for threshold in thresholds]

    def leave_out(self, searches: Flags, photos: Flags) -> "Scores":
        """The scores without some searches (N,) and photos (P,)."""
        kept = ~searches
        return Scores(
            self.similarities[kept], self.own[kept] & ~photos, self.strangers[kept] & ~photos
        )

    def expand(self, expanded: Floats, fallback: float) -> "Scores":
        """The scores of expanded searches (N, P).

        A row of not-a-numbers is a search without a seed: at any threshold it shows what it shows
        plainly, at `fallback`.
        """
        plainly = np.where(self.similarities >= fallback, np.inf, -np.inf)
        similarities = np.where(np.isnan(expanded), plainly, expanded).astype(np.float32)
        return Scores(similarities, self.own, self.strangers)

    def choose_threshold(self, most_wrong: float) -> float:
        """The lowest threshold by the rule. Raises MeasurementRefusedError where none is enough."""
        strangers = self.strangers.sum() / len(self.strangers)
        for rates in self.rate_all():
            if rates.wrong * EVENT_PHOTOS / max(1, strangers) <= most_wrong:
                return rates.threshold
        raise MeasurementRefusedError(
            f"This pack shows others' photos even at {THRESHOLDS[-1]}: use another pack, or look "
            "whether the folders' photos are of the people they are sorted by."
        )


def find_doubtful(scores: Scores, guests: Numbers) -> Flags:
    """The photos (P,) whose folder is doubtful; guests: (N,), whose search each is.

    Such a photo resembles another guest's selfies as people resemble themselves (the median, by the
    lower quartile), and each of its own person's less: it lies in the wrong folder, or shows
    somebody else too. A pack's vectors decide it, so it is told, and left out of the rule alone.
    """
    if not scores.own.any():
        return np.zeros(scores.own.shape[1], np.bool_)
    usual = np.quantile(scores.similarities[scores.own], OWN_QUARTILE)
    own = np.where(scores.own, scores.similarities, NOTHING).max(axis=0)
    doubtful = np.zeros(len(own), np.bool_)
    for guest in np.unique(guests):
        rows = guests == guest
        if rows.sum() >= LEAST_SELFIES:
            other = np.median(scores.similarities[rows], axis=0)
            is_stranger = scores.strangers[rows].all(axis=0)
            doubtful |= is_stranger & (other >= usual) & (other > own)
    return doubtful


@dataclass(frozen=True)
class PairRates:
    """Similarities of different people. rare: the 99.9 % quantile; above: shares by threshold."""

    pairs: int
    rare: float | None
    above: dict[float, float]


def rate_pairs(similarities: Floats, thresholds: Sequence[float]) -> PairRates:
    """The rates of pairs of faces that are of two people, (N,)."""
    count = len(similarities)
    return PairRates(
        count,
        float(np.quantile(similarities, RARE)) if count else None,
        {t: float((similarities >= t).mean()) for t in thresholds} if count else {},
    )


def require_enough(people: int, scores: Scores) -> None:
    """Raise MeasurementRefusedError where so few people say nothing of thresholds."""
    comparisons = int(scores.strangers.sum())
    if people < LEAST_PEOPLE or comparisons < LEAST_COMPARISONS:
        raise MeasurementRefusedError(
            f"Thresholds need {LEAST_PEOPLE} people with two photos and {LEAST_COMPARISONS:,} "
            f"comparisons with strangers; here are {people} and {comparisons:,}: measure with "
            "more people, and nothing is written."
        )
