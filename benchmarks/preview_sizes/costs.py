"""The cost of a size of preview: bytes, and time on one thread and on all cores.

Times are the processor's, so that other work on the machine hardly counts. Measured with
opencv_zoo, whose detector is light, and for detection alone with buffalo_l's stand-in, whose
detector is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time, thread_time

import numpy as np

from benchmarks.engine.pictures import draw_faces_picture
from benchmarks.engine.standin import write_standin_buffalo
from models.settings import Settings
from tasks.faces.engine import FaceEngine
from tasks.faces.limits import count_cores
from tasks.images.decode import decode_photo
from tasks.packs.loading import load_analysis
from tasks.packs.registry import resolve_pack

MAX_PIXELS = 50_000_000
PHOTOS = 12  # that are timed; more would say the same
ROUNDS = 3
STANDIN_ROUNDS = 7


@dataclass(frozen=True)
class Costs:
    """Medians a photo, on one thread; photos a second on all cores; kilobytes a preview.

    photos_per_s: cores by the time a photo takes while all of them compute.
    """

    decode_ms: float
    detect_ms: float
    face_ms: float  # to align and embed one face
    faces: float  # detected in a photo
    photos_per_s: float
    kilobytes: float

    @property
    def photo_ms(self) -> float:
        """All of it, with the faces these photos have."""
        return self.decode_ms + self.detect_ms + self.faces * self.face_ms


def measure_costs(engine: FaceEngine, previews: Sequence[bytes]) -> Costs:
    """Time the engine's steps over PHOTOS previews, the first once more for its warming up."""
    sizes = [len(preview) for preview in previews]
    previews = previews[:PHOTOS]
    engine.embed(decode_photo(previews[0], MAX_PIXELS))
    steps = np.array([_time_steps(engine, preview) for preview in previews])
    decode, detect, embed, faces = steps.T
    return Costs(
        decode_ms=1000 * float(np.median(decode)),
        detect_ms=1000 * float(np.median(detect)),
        face_ms=1000 * float(embed.sum() / max(1, faces.sum())),
        faces=float(faces.mean()),
        photos_per_s=median(_count_photos_per_s(engine, previews) for _ in range(ROUNDS)),
        kilobytes=float(np.mean(sizes)) / 1000,
    )


def _time_steps(engine: FaceEngine, preview: bytes) -> tuple[float, float, float, int]:
    """Seconds to decode, to detect, to align and embed; and the number of faces."""
    started = thread_time()
    photo = decode_photo(preview, MAX_PIXELS)
    decoded = thread_time()
    landmarks = [face.landmarks for face in engine.find_faces(photo)]
    detected = thread_time()
    engine.embed_crops([engine.align(photo, points) for points in landmarks])
    ended = thread_time()
    return decoded - started, detected - decoded, ended - detected, len(landmarks)


def _count_photos_per_s(engine: FaceEngine, previews: Sequence[bytes]) -> float:
    readers = [partial(decode_photo, preview, MAX_PIXELS) for preview in previews]
    started = process_time()
    engine.embed_all(readers)
    return count_cores() * len(previews) / (process_time() - started)


def time_buffalo(folder: Path, det_sizes: Sequence[int]) -> dict[int, float]:
    """Milliseconds in which buffalo_l detects on one thread, a detector size: its stand-in's.

    folder: where its 310 MB are written.
    """
    write_standin_buffalo(folder)
    pack = resolve_pack(Settings(model_pack=str(folder), model_root=folder))
    times = {}
    for det_size in det_sizes:
        detector = load_analysis(pack, "cpu", det_size=det_size).det_model
        photo = draw_faces_picture(det_size, det_size * 2 // 3, faces=2, seed=0)
        rounds = []
        for _ in range(STANDIN_ROUNDS):
            started = thread_time()
            detector.detect(photo)
            rounds.append(thread_time() - started)
        times[det_size] = 1000 * median(rounds)
    return times
