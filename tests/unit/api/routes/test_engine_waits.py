"""Searches wait for their own pack's engine, and for no other."""

import threading

import anyio
import anyio.to_thread
import pytest
from starlette.datastructures import State

from api.routes.search import EngineWaits, warm_engine
from models.errors import ModelPackError
from tasks.faces import cache

LIMIT_S = 20


def test_a_load_keeps_only_those_waiting_who_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    ready: set[str] = set()
    go_on = threading.Event()

    def load(pack: str) -> None:
        loads.append(pack)
        assert pack == "quick" or go_on.wait(LIMIT_S)
        ready.add(pack)

    monkeypatch.setattr(cache, "get_face_engine", load)
    monkeypatch.setattr(cache, "has_face_engine", lambda pack: pack in ready)
    waits, done = EngineWaits(), []

    async def search(pack: str) -> None:
        await waits.wait(pack)
        done.append(pack)

    async def play() -> None:
        with anyio.fail_after(LIMIT_S):
            async with anyio.create_task_group() as tasks:
                # More than the threads that a process has for such work.
                for _ in range(100):
                    tasks.start_soon(search, "slow")
                await anyio.sleep(0)
                await search("quick")
                assert done == ["quick"]
                # And other calls have their threads.
                assert await anyio.to_thread.run_sync(lambda: "answer") == "answer"
                go_on.set()

    anyio.run(play)
    assert sorted(loads) == ["quick", "slow"]
    assert done == ["quick", *["slow"] * 100]


@pytest.mark.parametrize("error", [None, ModelPackError("no such folder"), ValueError("odd")])
def test_the_engine_is_loaded_at_the_start_and_a_failure_is_only_logged(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception | None,
) -> None:
    loads: list[str | None] = []

    def load(pack: str | None) -> None:
        loads.append(pack)
        if error is not None:
            raise error

    monkeypatch.setattr(cache, "get_face_engine", load)
    monkeypatch.setattr(cache, "has_face_engine", lambda _: False)
    anyio.run(warm_engine, State())
    assert loads == [None]  # the settings' own
    assert ("is not loaded yet" in caplog.text) is (error is not None)


def test_an_api_that_stops_does_not_wait_for_its_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(cache, "get_face_engine", lambda _: go_on.wait(LIMIT_S))
    monkeypatch.setattr(cache, "has_face_engine", lambda _: False)

    async def play() -> None:
        with anyio.fail_after(LIMIT_S / 2):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(warm_engine, State())
                await anyio.sleep(0.05)
                tasks.cancel_scope.cancel()
        go_on.set()

    anyio.run(play)
