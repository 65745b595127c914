"""The measurements of `make bench-gpu`: loops and engines on one device, over bytes in memory."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.engine.pictures import BenchPhoto, count_faces, make_bench_photos
from benchmarks.engine.rounds import compute_similarity, match_faces
from benchmarks.engine.variants import embed_plain, open_plain
from benchmarks.stored import MAX_PIXELS
from models.errors import ModelPackError
from models.settings import Settings
from tasks.faces.detected import DetectedFaces
from tasks.faces.engine import FaceEngine
from tasks.images.decode import BgrImage, decode_photo
from tasks.packs.registry import resolve_pack

DECK = 24  # different photos; runs repeat them
_OPENCV_DEFAULT = -1  # threads: all cores
BARE_CALLS, BARE_S = 20, 3.0  # of each model: so many, or as many as there is time for


@dataclass(frozen=True)
class Deck:
    """The photos of a run: a few different ones, repeated."""

    photos: list[BenchPhoto]

    @classmethod
    def draw(cls, count: int) -> "Deck":
        """A deck for runs of `count` photos."""
        return cls(make_bench_photos(min(DECK, count)))

    @property
    def faces_a_photo(self) -> float:
        """As drawn."""
        return count_faces(self.photos) / len(self.photos)

    def repeat(self, count: int) -> list[bytes]:
        """So many photos, as JPEG."""
        return [self.photos[number % len(self.photos)].jpeg for number in range(count)]


@dataclass(frozen=True)
class Loaded:
    """A way to find the faces of photos, ready to run, and the seconds that took."""

    load_s: float
    embed_all: Callable[[Sequence[bytes]], list[DetectedFaces]]

    def measure(self, photos: Sequence[bytes]) -> float:
        """Photos a second of one run."""
        began = time.perf_counter()
        self.embed_all(photos)
        return len(photos) / (time.perf_counter() - began)


@dataclass(frozen=True)
class LoadedEngine(Loaded):
    """The product's engine; its load includes its warm-up."""

    engine: FaceEngine


def load_plain(pack_folder: str, providers: Sequence[str], first: bytes, *, tuned: bool) -> Loaded:
    """The guide's loop, one photo at a time; `first` is a photo to warm up with."""
    began = time.perf_counter()
    pack = resolve_pack(Settings.model_validate({"model_pack": pack_folder}))
    analysis = open_plain(pack, tuned=tuned, providers=providers)
    if any(m.session.get_providers()[0] != providers[0] for m in analysis.models.values()):
        raise ModelPackError(f"onnxruntime fell back to the CPU: {providers[0]} does not work here")
    embed_plain(analysis, first)
    return Loaded(time.perf_counter() - began, partial(_embed_plainly, analysis))


def _embed_plainly(analysis: Any, photos: Sequence[bytes]) -> list[DetectedFaces]:  # noqa: ANN401 (InsightFace publishes no types)
    cv2.setNumThreads(_OPENCV_DEFAULT)  # our engine, in this process, has set one
    try:
        return [embed_plain(analysis, photo) for photo in photos]
    finally:
        cv2.setNumThreads(1)


def load_engine(
    pack_folder: str, inference: str, threads: int | None = None, *, batching: bool | None = None
) -> LoadedEngine:
    """The product's engine, which the readers of all photos are given at once."""
    began = time.perf_counter()
    settings = Settings.model_validate({"model_pack": pack_folder, "inference": inference})
    engine = FaceEngine(resolve_pack(settings), inference, threads, batching=batching)
    return LoadedEngine(time.perf_counter() - began, partial(_embed_all, engine), engine)


def _embed_all(engine: FaceEngine, photos: Sequence[bytes]) -> list[DetectedFaces]:
    def read(content: bytes) -> BgrImage:
        return decode_photo(content, MAX_PIXELS, engine.budget.reserve)

    found = []
    for faces in engine.embed_all([partial(read, photo) for photo in photos]):
        if not isinstance(faces, DetectedFaces):
            raise faces
        found.append(faces)
    return found


@dataclass(frozen=True)
class Bare:
    """Nothing but inference: full batches of random pixels, one call after the other."""

    photos_a_call: int
    faces_a_call: int
    ms_a_photo: float
    ms_a_face: float

    def compute_rate(self, faces_a_photo: float) -> float:
        """Photos a second, where a photo has so many faces."""
        return 1000 / (self.ms_a_photo + self.ms_a_face * faces_a_photo)


def measure_bare(engine: FaceEngine, calls: int = BARE_CALLS) -> Bare:
    """The models of a batching engine in their largest batches."""
    detector: Any = engine._detector
    recogniser: Any = engine._recogniser
    photos, faces = detector.sizes[-1], recogniser.sizes[-1]
    detecting = _time_calls(detector.compute, photos, detector.input_size[0], calls)
    embedding = _time_calls(recogniser.compute, faces, recogniser.input_size[0], calls)
    return Bare(photos, faces, 1000 * detecting / photos, 1000 * embedding / faces)


def _time_calls(
    compute: Callable[[npt.NDArray[np.uint8]], object], size: int, side: int, calls: int
) -> float:
    """The median call's seconds."""
    pixels = np.random.default_rng(0).integers(0, 256, (size, side, side, 3), np.uint8)
    compute(pixels)
    seconds: list[float] = []
    while len(seconds) < calls and sum(seconds) < BARE_S:
        began = time.perf_counter()
        compute(pixels)
        seconds.append(time.perf_counter() - began)
    return median(seconds)


@dataclass(frozen=True)
class Parity:
    """What one way finds against another: its faces, and how alike their vectors are."""

    same_faces: bool
    cosine: float | None  # the least of all faces; none where the faces are others


def compare(ours: Sequence[DetectedFaces], theirs: Sequence[DetectedFaces]) -> Parity:
    """The parity of two ways over the same photos."""
    counts = [len(faces.scores) for faces in theirs]
    if [len(faces.scores) for faces in ours] != counts:
        return Parity(same_faces=False, cosine=None)
    if not sum(counts):
        return Parity(same_faces=True, cosine=1.0)
    boxes, vectors = zip(_join(ours), _join(theirs), strict=True)
    order = match_faces(*boxes, np.array(counts))
    return Parity(same_faces=True, cosine=compute_similarity(vectors[0][order], vectors[1]))


def _join(
    photos: Sequence[DetectedFaces],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The boxes and the vectors of all photos' faces."""
    found = [faces for faces in photos if len(faces.scores)]
    return (
        np.concatenate([faces.boxes for faces in found]),
        np.concatenate([faces.embeddings for faces in found]),
    )
