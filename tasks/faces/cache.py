"""The cache of face engines in this process, one for each model pack and detection size.

Each engine is loaded once, at its first use, and only a few are kept. A thread waits only for the
engine it asked for.
"""

import gc
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from functools import lru_cache

from models.errors import ModelPackError
from models.settings import get_settings
from tasks.faces.engine import FaceEngine, SharedLimits
from tasks.faces.limits import count_cores
from tasks.packs.registry import USUAL_DET_SIZE, ModelPack, resolve_pack

# Each holds its models in memory.
MOST_ENGINES = 2

EngineKey = tuple[str, int]  # model pack and detector size


class ModelCache:
    """Engines by key; the one that was not asked for longest makes room for the next.

    An engine whose batch is still under way lives until that batch lets go of it.
    """

    def __init__(self, load: Callable[[EngineKey], FaceEngine], size: int = MOST_ENGINES) -> None:
        """load: makes an engine; what it raises is raised to all who wait for that engine."""
        self._load = load
        self._size = size
        self._engines: OrderedDict[EngineKey, Future[FaceEngine]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: EngineKey) -> FaceEngine:
        """The engine, loaded by the first who asks; one that failed is tried anew by the next."""
        with self._lock:
            engine = self._engines.get(key)
            is_first = engine is None
            if engine is None:
                while len(self._engines) >= self._size:  # before, so that no more are ever there
                    self._engines.popitem(last=False)
                    gc.collect()  # its parts hold each other, and a card's memory
                engine = self._engines[key] = Future()
            self._engines.move_to_end(key)
        if is_first:
            try:
                engine.set_result(self._load(key))
            except BaseException as error:  # noqa: BLE001 (raised where the engine is asked for)
                with self._lock:
                    if self._engines.get(key) is engine:
                        del self._engines[key]
                engine.set_exception(error)
        return engine.result()

    def holds(self, key: EngineKey) -> bool:
        """Whether `get` would give the engine at once."""
        with self._lock:
            engine = self._engines.get(key)
        return engine is not None and engine.done()


_lock = threading.Lock()


def get_model_cache() -> ModelCache:
    """This process's engines, as the settings say when they are first asked for."""
    with _lock:  # else two threads that ask at once would build one each
        return _build_model_cache()


def reset_model_cache() -> None:
    """Have the next who asks build the cache anew, for tests that change the settings."""
    _build_model_cache.cache_clear()
    _find_pack.cache_clear()


@lru_cache(maxsize=1)
def _build_model_cache() -> ModelCache:
    settings = get_settings()
    # Shared by all its engines, however many of them compute.
    limits = SharedLimits(settings.engine_threads or count_cores())

    def load(key: EngineKey) -> FaceEngine:
        pack = resolve_pack(settings, *key)
        return FaceEngine(pack, settings.inference, settings.engine_threads, limits)

    return ModelCache(load)


def get_face_engine(model_pack: str | None = None, det_size: int = USUAL_DET_SIZE) -> FaceEngine:
    """This process's engine for a pack, the one that its settings name unless told another.

    Loaded when it is first asked for. Raises ModelPackError.
    """
    return get_model_cache().get((model_pack or get_settings().model_pack, det_size))


def find_pack(model_pack: str | None = None, det_size: int = USUAL_DET_SIZE) -> ModelPack:
    """A pack, the one that the settings name unless told another; its engine is not loaded.

    Its files are read when it is first asked for. Raises ModelPackError.
    """
    return _find_pack(model_pack or get_settings().model_pack, det_size)


@lru_cache(maxsize=8)
def _find_pack(model_pack: str, det_size: int) -> ModelPack:
    return resolve_pack(get_settings(), model_pack, det_size)


def has_face_engine(model_pack: str | None = None, det_size: int = USUAL_DET_SIZE) -> bool:
    """Whether `get_face_engine` would give it at once."""
    return get_model_cache().holds((model_pack or get_settings().model_pack, det_size))


def require_face_engine(
    pack_identity: str, model_pack: str | None = None, det_size: int = USUAL_DET_SIZE
) -> FaceEngine:
    """As get_face_engine, for a pack that somebody has planned with.

    Raises ModelPackError when this machine's pack of that name is another one.
    """
    engine = get_face_engine(model_pack, det_size)
    if engine.pack.identity != pack_identity:
        raise ModelPackError(
            f"This worker runs the model pack {engine.pack.identity}, the sync was planned for "
            f"{pack_identity}: give all workers the same FACEPASS_MODEL_PACK and "
            "FACEPASS_INFERENCE."
        )
    return engine
