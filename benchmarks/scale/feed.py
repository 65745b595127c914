"""A sync without inference: an engine that answers at once, and processor time by part.

`python -m benchmarks.scale.worker feed EVENT_ID` runs it. All else is the product's: photos are
listed, fetched, decoded, kept in result storage and stored as in any sync.
"""

import importlib
import io
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import lru_cache, wraps
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tasks.faces import cache
from tasks.faces.detected import DetectedFaces
from tasks.faces.engine import FaceEngine
from tasks.images.decode import BgrImage

DEVICE_S = "BENCH_DEVICE_S"  # the variable with a pretended card's seconds for a photo
FACES, DIMENSIONS = 2, 512  # a photo's faces, and numbers a vector, as buffalo_l's
DIFFERENT = 4096  # photos' vectors, used in turn
PREVIEW_SIZE, PREVIEW_QUALITY, GRAIN = (640, 427), 85, 5.0  # 54 kB as JPEG

# Part -> where the product looks its functions up. A part's time is without the parts inside it.
PARTS = {
    "fetch": ("tasks.s3.bucket:Bucket.read_photo",),
    "notes": ("tasks.sync.embed:read_taking", "tasks.sync.embed:parse_taking"),
    "decode": ("tasks.sync.embed:decode_photo",),
    "engine": ("tasks.faces.engine:FaceEngine.embed_all", "benchmarks.scale.feed:FeedEngine.embed"),
    "pack, unpack": (
        "tasks.sync.embed:pack_faces",
        "tasks.sync.embed:add_takings",
        "tasks.sync.batch:unpack_product",
        "tasks.sync.batch:require_storable",
    ),
    "result storage": (
        "tasks.results.signed:SignedStorage.read_path",
        "tasks.results.signed:SignedStorage.write_path",
    ),
    "embed task": ("tasks.sync.batch:recall_or_embed",),
    "batch": ("tasks.sync.batch:embed_and_store.fn",),
    "store": ("tasks.sync.batch:store_slice",),
    "plan": ("flows.sync_event_photos:plan_new_photos",),
}


class FeedEngine(FaceEngine):
    """Finds two faces in every photo: at once, or as a card would that takes so long for each."""

    def embed(self, photo: BgrImage) -> DetectedFaces:
        """Two faces in two corners, of length 1; `photo` is not looked at."""
        del photo
        if wait_s := float(os.environ.get(DEVICE_S, "0")):
            with _device:
                time.sleep(wait_s)
        return DetectedFaces(
            boxes=np.array([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]], np.float32),
            scores=np.full(FACES, 0.9, np.float32),
            embeddings=draw_vectors()[next(_turns) % DIFFERENT],
        )


_turns = count()
_device = threading.Lock()


@lru_cache(maxsize=1)
def draw_vectors() -> npt.NDArray[np.float32]:
    """Unit vectors drawn by lot, float32 (DIFFERENT, FACES, DIMENSIONS)."""
    random = np.random.default_rng(7)
    vectors = random.standard_normal((DIFFERENT, FACES, DIMENSIONS), np.float32)
    units: npt.NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=2, keepdims=True)
    return units


def make_preview() -> bytes:
    """A preview of usual size and weight, without a face: soft patches with a grain."""
    width, height = PREVIEW_SIZE
    random = np.random.default_rng(7)
    coarse = Image.fromarray(random.integers(30, 200, (24, 24, 3), dtype=np.uint8))
    patches = np.asarray(coarse.resize(PREVIEW_SIZE, Image.Resampling.BILINEAR), np.float32)
    grain = random.normal(0.0, GRAIN, (height, width, 1))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(patches + grain, 0, 255).astype(np.uint8)).save(
        buffer, "JPEG", quality=PREVIEW_QUALITY
    )
    return buffer.getvalue()


class PartClock:
    """Processor seconds by part, of all threads: each thread's own, as the kernel counts them."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.batches_s = 0.0  # by the wall's clock, while batches were done
        self.batches_cpu_s = 0.0  # of the whole process meanwhile
        self._inner = threading.local()
        self._lock = threading.Lock()

    def time(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed as a part."""

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (whatever the function's are)
            outer = getattr(self._inner, "seconds", 0.0)
            self._inner.seconds = 0.0
            began = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.thread_time() - began
                with self._lock:
                    self.seconds[part] += spent - self._inner.seconds
                self._inner.seconds = outer + spent

        return timed

    def watch_batches(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`map_batches`, watched: what is done before and after it is the same for any event."""

        @wraps(function)
        def watched(*args: Any) -> None:  # noqa: ANN401 (map_batches' own)
            began, cpu_began = time.perf_counter(), time.process_time()
            try:
                function(*args)
            finally:
                self.batches_s += time.perf_counter() - began
                self.batches_cpu_s += time.process_time() - cpu_began

        return watched

    def split(self, cpu_seconds: float) -> dict[str, float]:
        """Seconds by part, of so many in all."""
        plan = self.seconds["plan"]
        in_batches = sum(self.seconds.values()) - plan
        return {
            "start, end": cpu_seconds - self.batches_cpu_s - plan,
            **self.seconds,
            "all else of batches": self.batches_cpu_s - in_batches,
        }


def set_up_feed() -> PartClock:
    """Put the engine and the clock into this process; they stay there."""
    draw_vectors()
    replaced: Any = cache
    replaced.FaceEngine = FeedEngine
    clock = PartClock()
    flow: Any = importlib.import_module("flows.sync_event_photos")
    flow.map_batches = clock.watch_batches(flow.map_batches)
    for part, places in PARTS.items():
        for place in places:
            module, _, path = place.partition(":")
            *owners, name = path.split(".")
            owner: Any = importlib.import_module(module)
            for step in owners:
                owner = getattr(owner, step)
            setattr(owner, name, clock.time(part, getattr(owner, name)))
    return clock
