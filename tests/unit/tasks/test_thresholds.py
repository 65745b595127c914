"""One table of thresholds: whole, and in order."""

import pytest

from tasks.packs.registry import INSIGHTFACE_PACKS, OPENCV_ZOO
from tasks.search import THRESHOLDS, Purpose, read_threshold


@pytest.mark.parametrize("pack", [OPENCV_ZOO, *INSIGHTFACE_PACKS, "one of our own"])
def test_every_pack_has_one_for_each_purpose_and_surely_is_higher(pack: str) -> None:
    assert 0 < read_threshold(pack, Purpose.SEARCH) < read_threshold(pack, Purpose.SURELY) < 1


def test_packs_have_their_own() -> None:
    assert {set(row) == set(Purpose) for row in THRESHOLDS.values()} == {True}
    assert read_threshold(OPENCV_ZOO, Purpose.SEARCH) != read_threshold("buffalo_l", Purpose.SEARCH)
