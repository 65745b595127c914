"""The thresholds of a search: the pack's, and others where it was expanded."""

from dataclasses import replace

import pytest

from models.findings import FalseRate
from tasks.packs.figures import BUFFALO_L_FIGURES, OPENCV_ZOO_FIGURES, PackFigures
from tasks.search import Thresholds, choose_thresholds


@pytest.mark.parametrize("figures", [OPENCV_ZOO_FIGURES, BUFFALO_L_FIGURES])
@pytest.mark.parametrize("expanded", [False, True])
def test_what_is_told_as_certain_lies_above_what_is_shown(
    figures: PackFigures, expanded: bool
) -> None:
    thresholds = choose_thresholds(figures, None, expanded=expanded)
    assert 0 < thresholds.lowest < thresholds.surely < 1


def test_an_expanded_search_has_thresholds_of_its_own() -> None:
    figures = OPENCV_ZOO_FIGURES
    assert figures.expansion is not None
    assert choose_thresholds(figures, None, expanded=False) == Thresholds(
        figures.search, figures.surely
    )
    assert choose_thresholds(figures, None, expanded=True) == Thresholds(
        figures.expansion.search, figures.expansion.surely
    )
    without = replace(figures, expansion=None)
    assert choose_thresholds(without, None, expanded=True) == choose_thresholds(
        figures, None, expanded=False
    )


@pytest.mark.parametrize(("above", "lowest"), [(0.30, 0.48), (0.50, 0.50), (0.70, 0.52)])
def test_an_events_own_false_rate_raises_what_is_shown_up_to_what_is_certain(
    above: float, lowest: float
) -> None:
    rate = FalseRate(pairs=10_000, per_thousand_above=above)
    assert choose_thresholds(OPENCV_ZOO_FIGURES, rate, expanded=True) == Thresholds(lowest, 0.52)
