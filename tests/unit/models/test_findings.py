"""What a sync finds out about its event: the false rate, by which the threshold rises, in words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.findings import (
    BINS,
    LEAST_PAIRS,
    FalseRate,
    describe_findings,
    raise_threshold,
    tell_findings,
)

HISTOGRAMS = st.lists(st.integers(0, 400), min_size=BINS, max_size=BINS)
SIMILARITIES = st.integers(0, 100).map(lambda hundredths: hundredths / 100)
RATES = st.none() | SIMILARITIES.map(lambda similarity: FalseRate(9000, similarity))


def count(**pairs: int) -> list[int]:
    """A histogram; count(at_47=3): three pairs from 0.47 up to 0.48."""
    counts = [0] * BINS
    for name, number in pairs.items():
        counts[100 + int(name.removeprefix("at_"))] = number
    return counts


def count_from(counts: list[int], similarity: float) -> int:
    """Pairs of different people that are at least so similar."""
    return sum(counts[round((similarity + 1) * 100) : 180])


@given(HISTOGRAMS)
def test_at_most_one_pair_in_a_thousand_lies_above_and_more_a_hundredth_below(
    counts: list[int],
) -> None:
    rate = FalseRate.from_counts(counts)
    if rate is None:
        assert sum(counts[:180]) < LEAST_PAIRS
        return
    assert rate.pairs == sum(counts[:180])
    assert count_from(counts, rate.per_thousand_above) * 1000 <= rate.pairs
    assert count_from(counts, rate.per_thousand_above - 0.01) * 1000 > rate.pairs


@given(HISTOGRAMS, st.integers(0, 10**6))
def test_one_person_met_twice_in_photos_changes_nothing(counts: list[int], twice: int) -> None:
    mirrored = [*counts[:180], *(twice for _ in range(20))]
    assert FalseRate.from_counts(mirrored) == FalseRate.from_counts(counts)


def test_a_few_pairs_say_nothing_and_one_odd_pair_decides_nothing() -> None:
    assert FalseRate.from_counts([]) is None
    assert FalseRate.from_counts(count(at_10=LEAST_PAIRS - 1)) is None
    assert FalseRate.from_counts(count(at_10=LEAST_PAIRS)) == FalseRate(LEAST_PAIRS, 0.11)
    odd = FalseRate.from_counts(count(at_10=LEAST_PAIRS, at_79=1))
    assert odd == FalseRate(LEAST_PAIRS + 1, 0.11)


def test_its_edge_is_the_upper_one() -> None:
    counts = count(at_10=9990, at_46=1, at_47=4, at_60=6)
    assert FalseRate.from_counts(counts) == FalseRate(10001, 0.47)


@given(SIMILARITIES, SIMILARITIES, RATES)
def test_a_threshold_rises_to_the_rate_and_never_above_surely(
    lowest: float, surely: float, rate: FalseRate | None
) -> None:
    raised = raise_threshold(lowest, surely, rate)
    assert raised >= lowest
    assert raised <= max(lowest, surely)
    if rate is None:
        assert raised == lowest
    else:
        assert raised >= min(rate.per_thousand_above, surely)
        assert raised in {lowest, surely, rate.per_thousand_above}


@pytest.mark.parametrize(
    ("rate", "lying", "told"),
    [
        (None, 0, []),
        (FalseRate(9000, 0.4), 0, ["1 pair of different people in 1,000 looks alike above 0.40."]),
        (None, 1, ["1 preview lies on a side or upside down: apply EXIF's orientation"]),
        (FalseRate(9000, 0.47), 30, ["30 previews lie", "looks alike above 0.47."]),
    ],
)
def test_findings_are_told_in_sentences(
    rate: FalseRate | None, lying: int, told: list[str]
) -> None:
    result: dict[str, Any] = describe_findings(rate, lying)
    sentences = list(tell_findings(result))
    assert len(sentences) == len(told)
    assert all(part in sentence for part, sentence in zip(told, sentences, strict=True))


def test_the_result_of_an_older_release_has_no_findings() -> None:
    assert list(tell_findings({"new_photos": 3})) == []
