"""One table of thresholds, in order."""

import pytest

from tasks.packs.registry import INSIGHTFACE_PACKS, OPENCV_ZOO
from tasks.search import find_thresholds


@pytest.mark.parametrize("pack", [OPENCV_ZOO, *INSIGHTFACE_PACKS, "one of our own"])
def test_every_pack_has_both_thresholds_and_surely_is_higher(pack: str) -> None:
    thresholds = find_thresholds(pack)
    assert 0 < thresholds.search < thresholds.surely < 1


def test_packs_have_their_own() -> None:
    assert find_thresholds(OPENCV_ZOO) != find_thresholds("buffalo_l")
