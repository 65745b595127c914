"""A process's engines: one a pack and size, a few at a time, none waiting for another's load."""

import gc
import shutil
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ModelPackError
from models.settings import get_settings
from tasks.faces.cache import EngineKey, EngineShelf, get_own_engine, has_own_engine, open_shelf
from tests.support.standin_pack import draw_markers, write_standin_pack

LIMIT_S = 20  # for events that come at once
A, B, C = ("a", 640), ("b", 640), ("c", 640)


class FakeEngine:
    """Stands in for an engine; knows what it was made for."""

    def __init__(self, key: EngineKey) -> None:
        self.key = key


def make_shelf(loads: list[EngineKey], size: int = 2) -> EngineShelf:
    """A shelf that writes down what it loads."""

    def load(key: EngineKey) -> Any:
        loads.append(key)
        return FakeEngine(key)

    return EngineShelf(load, size)


@given(st.lists(st.sampled_from([A, B, C, ("a", 1280)]), max_size=30))
def test_an_engine_is_that_of_its_key_and_the_latest_two_are_kept(keys: list[EngineKey]) -> None:
    loads: list[EngineKey] = []
    shelf = make_shelf(loads)
    used: list[EngineKey] = []  # the latest last
    for key in keys:
        before = len(loads)
        engine: Any = shelf.get(key)
        assert engine.key == key
        assert (len(loads) == before) == (key in used[-2:])
        used = [*(other for other in used if other != key), key]
        assert {other for other in {*keys} if shelf.holds(other)} == {*used[-2:]}


def test_no_more_engines_than_the_shelf_has_place_for_are_ever_alive() -> None:
    alive: list[Any] = []

    def load(key: EngineKey) -> Any:
        assert sum(engine() is not None for engine in alive) <= 1
        engine = FakeEngine(key)
        alive.append(weakref.ref(engine))
        return engine

    shelf = EngineShelf(load, 2)
    for key in (A, B, C, A, B, C):
        shelf.get(key)


def test_who_asks_for_another_pack_does_not_wait_for_one_that_is_being_loaded() -> None:
    go_on, begun = threading.Event(), threading.Event()

    def load(key: EngineKey) -> Any:
        if key == A:
            begun.set()
            assert go_on.wait(LIMIT_S)
        return FakeEngine(key)

    shelf = EngineShelf(load)
    with ThreadPoolExecutor(3) as threads:
        slow = [threads.submit(shelf.get, A) for _ in range(2)]
        assert begun.wait(LIMIT_S)
        assert not shelf.holds(A)
        quick: Any = shelf.get(B)
        assert quick.key == B
        assert not any(future.done() for future in slow)
        go_on.set()
        first, second = (future.result(LIMIT_S) for future in slow)
    assert first is second


def test_a_load_that_failed_is_told_and_tried_again() -> None:
    failures = [ModelPackError("broken")]

    def load(key: EngineKey) -> Any:
        if failures:
            raise failures.pop()
        return FakeEngine(key)

    shelf = EngineShelf(load)
    with pytest.raises(ModelPackError, match="broken"):
        shelf.get(A)
    assert not shelf.holds(A)
    engine: Any = shelf.get(A)
    assert engine.key == A


# --- the real thing ---


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Three packs of one's own, by the names of their folders; the first is the settings'."""
    names = ["один", "два", "три"]
    write_standin_pack(tmp_path / "models" / names[0])
    for name in names[1:]:
        shutil.copytree(tmp_path / "models" / names[0], tmp_path / "models" / name)
    monkeypatch.setenv("FACEPASS_MODEL_ROOT", str(tmp_path))
    monkeypatch.setenv("FACEPASS_MODEL_PACK", names[0])
    for cache in (get_settings, open_shelf):
        cache.cache_clear()
    yield names
    for cache in (get_settings, open_shelf):
        cache.cache_clear()


def test_engines_beside_each_other_share_cores_and_pixels_and_leave_nothing(
    packs: list[str],
) -> None:
    first = get_own_engine()
    assert get_own_engine(packs[0]) is first
    second = get_own_engine(packs[1])
    assert (first.pack.name, second.pack.name) == (packs[0], packs[1])
    assert first._computing is second._computing
    assert first.budget is second.budget
    photo = draw_markers(640, 640, [(200, 200)])
    (found,) = first.embed_all([lambda: photo])
    session = weakref.ref(first._detector.session)
    gone = weakref.ref(first)
    assert has_own_engine()
    del first, found

    get_own_engine(packs[2])

    gc.collect()
    assert (gone(), session()) == (None, None)
    assert not has_own_engine()
    assert get_own_engine(packs[1]) is second


def test_an_engine_that_made_room_finishes_its_batch(packs: list[str]) -> None:
    photo = draw_markers(640, 640, [(200, 200)])

    def read_late() -> Any:
        for name in packs[1:]:
            get_own_engine(name)
        assert not has_own_engine()
        return photo

    (faces,) = get_own_engine().embed_all([read_late])
    assert len(faces.scores) == 1  # type: ignore[union-attr]
