"""Waiting for an event's face engine without keeping a thread: a guest of another event has it.

A pack takes seconds to load, and minutes to download. Searches that need it wait here, and only
for it; those whose engine is there go on.
"""

from collections import defaultdict

import anyio
import anyio.to_thread
from starlette.datastructures import State

# Loads at a time, in threads of their own. The third pack waits for a thread, and nobody else does.
LOADS_AT_ONCE = 2


class EngineWaits:
    """One load a pack at a time, however many searches ask for it."""

    def __init__(self) -> None:
        self._locks: defaultdict[str | None, anyio.Lock] = defaultdict(anyio.Lock)
        self._loads = anyio.CapacityLimiter(LOADS_AT_ONCE)

    async def wait(self, pack: str | None) -> None:
        """Return once the pack's engine for selfies is loaded; None: the settings' own pack.

        Raises ModelPackError.
        """
        from tasks.faces.cache import get_own_engine, has_own_engine

        async with self._locks[pack]:
            if not has_own_engine(pack):
                await anyio.to_thread.run_sync(get_own_engine, pack, limiter=self._loads)


def get_engine_waits(state: State) -> EngineWaits:
    """The application's one, made by the first search."""
    if not hasattr(state, "engine_waits"):
        state.engine_waits = EngineWaits()
    waits: EngineWaits = state.engine_waits
    return waits
