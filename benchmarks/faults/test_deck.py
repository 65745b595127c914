"""Tests of the deck: drawn from the seed alone, every kind in its turn, none forgotten."""

import random
from collections import Counter

import pytest

from benchmarks.faults.__main__ import DEFAULT_FAULTS
from benchmarks.faults.deck import EVENTS, FAULTS_A_ROUND, Deck
from benchmarks.faults.kinds import FAULTS


def draw_rounds(seed: int, rounds: int) -> list[list[str]]:
    deck = Deck(FAULTS, random.Random(seed))
    return [[fault.name for fault in deck.draw(100)] for _ in range(rounds)]


def test_a_seed_gives_the_same_campaign() -> None:
    assert draw_rounds(1, 10) == draw_rounds(1, 10) != draw_rounds(2, 10)


@pytest.mark.parametrize("seed", range(10))
def test_a_campaign_holds_every_kind_at_least_twice(seed: int) -> None:
    assert DEFAULT_FAULTS >= 60
    names = [name for drawn in draw_rounds(seed, DEFAULT_FAULTS) for name in drawn]
    counts = Counter(names[:DEFAULT_FAULTS])
    assert counts.keys() == {fault.name for fault in FAULTS}
    assert min(counts.values()) >= 2


@pytest.mark.parametrize("seed", range(10))
def test_a_round_has_no_kind_twice_and_no_more_than_it_can_bear(seed: int) -> None:
    deck = Deck(FAULTS, random.Random(seed))
    for _ in range(20):
        drawn = deck.draw(100)
        assert 0 < len(drawn) <= FAULTS_A_ROUND
        assert len({fault.name for fault in drawn}) == len(drawn)
        assert sum(fault.is_own for fault in drawn) <= EVENTS


def test_no_more_are_drawn_than_are_wanted() -> None:
    assert len(Deck(FAULTS, random.Random(1)).draw(1)) == 1


def test_a_fault_that_missed_comes_again_at_once() -> None:
    deck = Deck(FAULTS, random.Random(1))
    missed = deck.draw(2)
    deck.put_back(missed)
    assert deck.draw(2) == missed
