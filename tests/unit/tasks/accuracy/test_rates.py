"""Rates over thresholds, and the rule that chooses thresholds."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.errors import MeasurementRefusedError
from tasks.accuracy.rates import (
    EVENT_PHOTOS,
    THRESHOLDS,
    Rates,
    Scores,
    find_doubtful,
    rate_pairs,
    require_enough,
)

SHAPE = (4, 9)
similarities = arrays(np.float32, SHAPE, elements=st.floats(-1, 1, width=32))


def make_scores(values: np.ndarray) -> Scores:
    """Each search has three photos of its own and five strangers'; the first one is its selfie."""
    own, strangers = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    own[:, 1:4], strangers[:, 4:] = True, True
    return Scores(values, own, strangers)


def test_rates_count_own_photos_and_strangers_and_never_the_selfie() -> None:
    values = np.zeros(SHAPE, np.float32)
    values[:, 0] = 1.0  # the selfie itself
    values[0, 1:4] = 0.6  # all three of the first guest's
    values[1, 1] = 0.5  # on the threshold: shown
    values[1, 4:6] = 0.7  # two strangers, to one guest
    assert make_scores(values).rate(0.5) == Rates(0.5, recall=4 / 12, wrong=0.5, wrong_any=0.25)


@settings(deadline=None)
@given(similarities)
def test_a_higher_threshold_never_shows_more(values: np.ndarray) -> None:
    rates = make_scores(values).rate_all()
    assert [one.threshold for one in rates] == list(THRESHOLDS)
    for lower, higher in pairwise(rates):
        assert higher.recall <= lower.recall
        assert higher.wrong <= lower.wrong
        assert higher.wrong_any <= lower.wrong_any


@settings(deadline=None)
@given(similarities, st.sampled_from([0.01, 0.1, 1.0]))
def test_the_rule_takes_the_lowest_threshold_that_is_good_enough(
    values: np.ndarray, most_wrong: float
) -> None:
    scores = make_scores(values)
    strangers = 5

    def show_wrong(threshold: float) -> float:
        return scores.rate(threshold).wrong * EVENT_PHOTOS / strangers

    try:
        chosen = scores.choose_threshold(most_wrong)
    except MeasurementRefusedError:
        assert show_wrong(THRESHOLDS[-1]) > most_wrong
        return
    assert show_wrong(chosen) <= most_wrong
    assert all(show_wrong(one) > most_wrong for one in THRESHOLDS if one < chosen)


@settings(deadline=None)
@given(similarities, similarities, st.lists(st.booleans(), min_size=4, max_size=4))
def test_a_search_without_a_seed_shows_what_it_shows_plainly(
    plain: np.ndarray, expanded: np.ndarray, seeded: list[bool]
) -> None:
    expanded = np.where(np.array(seeded)[:, None], expanded, np.nan)
    scores = make_scores(plain).expand(expanded, fallback=0.45)
    for threshold in (0.2, 0.48, 0.8):
        shown = scores.similarities >= threshold
        wanted = [
            row >= threshold if has_seed else without >= 0.45
            for row, without, has_seed in zip(expanded, plain, seeded, strict=True)
        ]
        assert np.array_equal(shown, np.array(wanted))


def test_pairs_are_told_with_their_number_and_their_rare_end() -> None:
    values = np.linspace(0, 1, 1001, dtype=np.float32)
    rates = rate_pairs(values, (0.5, 0.9))
    assert rates.pairs == 1001
    assert rates.rare == pytest.approx(0.999)
    assert rates.above == {0.5: pytest.approx(501 / 1001), 0.9: pytest.approx(101 / 1001)}
    assert rate_pairs(np.zeros(0, np.float32), (0.5,)).rare is None


@pytest.mark.parametrize(
    ("people", "searches", "is_enough"), [(99, 500, 0), (100, 9, 0), (100, 500, 1)]
)
def test_thresholds_need_people_and_comparisons(people: int, searches: int, is_enough: int) -> None:
    strangers = np.ones((searches, 1000), bool)
    scores = Scores(np.zeros(strangers.shape, np.float32), ~strangers, strangers)
    if is_enough:
        require_enough(people, scores)
        return
    with pytest.raises(MeasurementRefusedError, match=f"here are {people} .*nothing is written"):
        require_enough(people, scores)


def make_people(photos: int, people: int, alike: float = 0.6, strange: float = 0.1) -> Scores:
    """Everybody has the same number of photos, and each of them searches."""
    person = np.repeat(np.arange(people), photos)
    same = person[:, None] == person[None, :]
    values = np.where(same, alike, strange).astype(np.float32)
    own = same & ~np.eye(len(person), dtype=bool)
    return Scores(np.where(np.eye(len(person)), -1, values).astype(np.float32), own, ~same)


def test_a_photo_in_the_wrong_folder_is_doubtful_and_spoils_no_rule() -> None:
    scores, guests = make_people(photos=4, people=5), np.repeat(np.arange(5), 4)
    assert not find_doubtful(scores, guests).any()
    # The last person's last photo is really of the first person.
    scores.similarities[-1, :], scores.similarities[:, -1] = 0.1, 0.1
    scores.similarities[-1, :4] = scores.similarities[:4, -1] = 0.65
    doubtful = find_doubtful(scores, guests)
    assert np.flatnonzero(doubtful).tolist() == [19]
    assert scores.choose_threshold(0.01) == 0.66
    trusted = scores.leave_out(doubtful, doubtful)
    assert trusted.similarities.shape == (19, 20)
    assert trusted.choose_threshold(0.01) == 0.2
    assert trusted.rate(0.5) == Rates(0.5, recall=1.0, wrong=0.0, wrong_any=0.0)


def test_a_hard_photo_and_a_twin_are_not_doubtful() -> None:
    guests = np.repeat(np.arange(5), 4)
    hard = make_people(photos=4, people=5)
    hard.similarities[-1, :], hard.similarities[:, -1] = 0.2, 0.2  # nobody's, by its vector
    assert not find_doubtful(hard, guests).any()
    twins = make_people(photos=4, people=5)
    twins.similarities[:4, 4:8] = twins.similarities[4:8, :4] = 0.6  # as alike as each to itself
    assert not find_doubtful(twins, guests).any()
