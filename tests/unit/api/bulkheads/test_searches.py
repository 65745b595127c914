"""The queue of searches: fair turns, bounded places and bytes, and nothing for who has gone."""

import threading
from collections.abc import Awaitable, Callable

import anyio
import pytest
from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import Message

from api.bulkheads import searches
from api.bulkheads.searches import SearchQueue, Turns, run_while_connected
from models.errors import TooBusyError

LIMIT_S = 20


def play(scene: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        with anyio.fail_after(LIMIT_S):
            await scene()

    anyio.run(run)


def test_turns_go_round_the_addresses() -> None:
    order: list[str] = []

    async def scene() -> None:
        turns = Turns(1)

        async def take(customer: str) -> None:
            async with turns.take(customer):
                order.append(customer)
                await anyio.sleep(0)

        async with anyio.create_task_group() as tasks, turns.take("first"):
            for customer in ["busy"] * 50 + ["other", "third"]:
                tasks.start_soon(take, customer)
            await anyio.sleep(0.05)

    play(scene)
    assert order[:3] == ["busy", "other", "third"]
    assert len(order) == 52


def test_who_waits_too_long_or_goes_holds_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "TURN_S", 0.05)

    async def scene() -> None:
        turns = Turns(1)
        async with turns.take("first"):
            with pytest.raises(TooBusyError):
                async with turns.take("second"):
                    pass
            with anyio.move_on_after(0.01):
                async with turns.take("third"):
                    pass
        async with turns.take("fourth"):
            pass

    play(scene)


def test_places_are_bounded_and_an_address_never_has_all() -> None:
    async def scene() -> None:
        queue = SearchQueue(1)
        held = [queue.hold_place("one") for _ in range(searches.MOST_AN_ADDRESS)]
        for place in held:
            place.__enter__()
        with pytest.raises(TooBusyError), queue.hold_place("one"):
            pass
        with queue.hold_place("another"):
            assert queue.places == searches.MOST_AN_ADDRESS + 1
        for place in held:
            place.__exit__(None, None, None)
        assert queue.places == 0

    play(scene)


def test_bytes_of_all_pictures_together_are_bounded() -> None:
    async def scene() -> None:
        queue = SearchQueue(1)
        with queue.hold_place("one") as count:
            count(searches.MOST_BYTES - 10)
            with queue.hold_place("two") as count_another, pytest.raises(TooBusyError):
                count_another(11)
        with queue.hold_place("two") as count:
            count(11)

    play(scene)


def test_a_search_whose_guest_goes_while_it_waits_is_dropped() -> None:
    go_on, computed = threading.Event(), []

    async def scene() -> None:
        queue, gone = SearchQueue(1), anyio.Event()

        async def receive() -> Message:
            await gone.wait()
            return {"type": "http.disconnect"}

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(queue.compute, "first", go_on.wait)
            await anyio.sleep(0.05)

            async def leave() -> None:
                gone.set()

            tasks.start_soon(leave)
            with pytest.raises(ClientDisconnect):
                await run_while_connected(
                    Request({"type": "http"}, receive),
                    lambda: queue.compute("second", lambda: computed.append(1)),
                )
            go_on.set()

    play(scene)
    assert computed == []


def test_what_the_search_raises_is_raised_as_it_is() -> None:
    async def scene() -> None:
        async def receive() -> Message:
            await anyio.sleep_forever()
            return {}

        async def fail() -> None:
            raise TooBusyError("full")

        with pytest.raises(TooBusyError):
            await run_while_connected(Request({"type": "http"}, receive), fail)

    play(scene)
