"""The choice of faults for each round, drawn from the seed."""

import random
from collections.abc import Sequence

from benchmarks.faults.kinds import Fault

EVENTS = 2  # synced at a time: what the embedded stack's pool allows
FAULTS_A_ROUND = 5


class Deck:
    """All kinds in turn, shuffled anew each time round; a fault that missed is drawn again."""

    def __init__(self, kinds: Sequence[Fault], chance: random.Random) -> None:
        self._kinds = kinds
        self._chance = chance
        self._cards: list[Fault] = []

    def draw(self, most: int) -> list[Fault]:
        """The next round's faults: no kind twice, and no more of one event's own than events."""
        drawn: list[Fault] = []
        for _ in range(min(most, FAULTS_A_ROUND)):
            card = self._draw_beside(drawn)
            if card is not None:
                drawn.append(card)
        return drawn

    def put_back(self, missed: Sequence[Fault]) -> None:
        """Draw these first in the next round."""
        self._cards[:0] = missed

    def _draw_beside(self, drawn: Sequence[Fault]) -> Fault | None:
        if not self._cards:
            self._cards = self._chance.sample(self._kinds, len(self._kinds))
        own = sum(fault.is_own for fault in drawn)
        for card in self._cards:
            if card not in drawn and not (card.is_own and own == EVENTS):
                self._cards.remove(card)
                return card
        return None
