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
from tasks.faces.cache import (
    EngineKey,
    ModelCache,
    get_face_engine,
    has_face_engine,
    reset_model_cache,
)
from tests.support.standin_pack import draw_markers, write_standin_pack

LIMIT_S = 20  # for events that come at once
A, B, C = ("a", 640), ("b", 640), ("c", 640)


@pytest.fixture(autouse=True, scope="module")
def small_heap() -> Iterator[None]:
    """The cache collects garbage at each change; what earlier tests left need not be walked."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


class FakeEngine:
    """Stands in for an engine; knows what it was made for."""

    def __init__(self, key: EngineKey) -> None:
        self.key = key


def make_cache(loads: list[EngineKey], size: int = 2) -> ModelCache:
    """A cache that writes down what it loads."""

    def load(key: EngineKey) -> Any:
        loads.append(key)
        return FakeEngine(key)

    return ModelCache(load, size)


@given(st.lists(st.sampled_from([A, B, C, ("a", 1280)]), max_size=30))
def test_an_engine_is_that_of_its_key_and_the_latest_two_are_kept(keys: list[EngineKey]) -> None:
    loads: list[EngineKey] = []
    cache = make_cache(loads)
    used: list[EngineKey] = []  # the latest last
    for key in keys:
        before = len(loads)
        engine: Any = cache.get(key)
        assert engine.key == key
        assert (len(loads) == before) == (key in used[-2:])
        used = [*(other for other in used if other != key), key]
        assert {other for other in {*keys} if cache.holds(other)} == {*used[-2:]}


def test_no_more_engines_than_the_cache_has_place_for_are_ever_alive() -> None:
    alive: list[Any] = []

    def load(key: EngineKey) -> Any:
        assert sum(engine() is not None for engine in alive) <= 1
        engine = FakeEngine(key)
        alive.append(weakref.ref(engine))
        return engine

    cache = ModelCache(load, 2)
    for key in (A, B, C, A, B, C):
        cache.get(key)


def test_who_asks_for_another_pack_does_not_wait_for_one_that_is_being_loaded() -> None:
    go_on, begun = threading.Event(), threading.Event()

    def load(key: EngineKey) -> Any:
        if key == A:
            begun.set()
            assert go_on.wait(LIMIT_S)
        return FakeEngine(key)

    cache = ModelCache(load)
    with ThreadPoolExecutor(3) as threads:
        slow = [threads.submit(cache.get, A) for _ in range(2)]
        assert begun.wait(LIMIT_S)
        assert not cache.holds(A)
        quick: Any = cache.get(B)
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

    cache = ModelCache(load)
    with pytest.raises(ModelPackError, match="broken"):
        cache.get(A)
    assert not cache.holds(A)
    engine: Any = cache.get(A)
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
    get_settings.cache_clear()
    reset_model_cache()
    yield names
    get_settings.cache_clear()
    reset_model_cache()


def test_engines_beside_each_other_share_cores_and_pixels_and_leave_nothing(
    packs: list[str],
) -> None:
    first = get_face_engine()
    assert get_face_engine(packs[0]) is first
    second = get_face_engine(packs[1])
    assert (first.pack.name, second.pack.name) == (packs[0], packs[1])
    assert first.computing is second.computing
    assert first.budget is second.budget
    photo = draw_markers(640, 640, [(200, 200)])
    (found,) = first.embed_all([lambda: photo])
    session = weakref.ref(first._detector.session)
    gone = weakref.ref(first)
    assert has_face_engine()
    del first, found

    get_face_engine(packs[2])

    gc.collect()
    assert (gone(), session()) == (None, None)
    assert not has_face_engine()
    assert get_face_engine(packs[1]) is second


def test_an_engine_that_made_room_finishes_its_batch(packs: list[str]) -> None:
    photo = draw_markers(640, 640, [(200, 200)])

    def read_late() -> Any:
        for name in packs[1:]:
            get_face_engine(name)
        assert not has_face_engine()
        return photo

    (faces,) = get_face_engine().embed_all([read_late])
    assert len(faces.scores) == 1  # type: ignore[union-attr]
