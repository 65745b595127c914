"""One variant of the work, run once in its process: `python -m benchmarks.engine.variants`.

Every variant GETs each photo (S3's latency of 20 to 50 ms is slept, the same for each), decodes,
finds and embeds its faces, and commits (3 ms slept). The clock runs from the first GET to the last
commit; models are loaded and tried once before.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.stored import MAX_PIXELS, StoredPhoto, list_stored
from models.settings import Settings
from tasks.faces.detected import DetectedFaces
from tasks.faces.engine import FaceEngine
from tasks.faces.limits import count_cores
from tasks.images.decode import decode_photo
from tasks.packs.registry import ModelPack, resolve_pack

GUIDE, TUNED, EXACT, BARE = "guide", "tuned", "cpu", "bare"
COMMIT_S = 0.003
BATCH = 12  # photos; two batches are in flight, as in the product
SLICE = 10  # photos a commit, as in the product
CPU = "CPUExecutionProvider"


def open_plain(pack: ModelPack, *, tuned: bool, providers: Sequence[str] = (CPU,)) -> Any:  # noqa: ANN401 (no types published)
    """FaceAnalysis as the guide opens it; tuned: two models, and no spinning threads.

    providers: onnxruntime's names of the devices, the wanted one first.
    """
    import onnxruntime
    from insightface import app

    # Its face alignment calls a function that scikit-image deprecates, once a face.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"insightface\.")
    options = onnxruntime.SessionOptions()
    extras: dict[str, Any] = {}
    if tuned:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        extras = {"allowed_modules": ["detection", "recognition"], "sess_options": options}
    analysis = app.FaceAnalysis(name=str(pack.folder), providers=list(providers), **extras)
    device = -1 if providers[0] == CPU else 0
    analysis.prepare(ctx_id=device, det_size=(640, 640), det_thresh=pack.figures.detection)
    return analysis


def run_plain(pack: ModelPack, photos: Sequence[StoredPhoto], *, tuned: bool) -> "Outcome":
    """The guide's loop: one photo at a time, each committed by itself."""
    analysis = open_plain(pack, tuned=tuned)
    analysis.get(np.zeros((640, 640, 3), np.uint8))

    def work() -> list[DetectedFaces]:
        found = []
        for photo in photos:
            found.append(embed_plain(analysis, photo.get()))
            time.sleep(COMMIT_S)
        return found

    return _clock(work)


def embed_plain(analysis: Any, content: bytes) -> DetectedFaces:  # noqa: ANN401 (no types published)
    """A photo's faces, as the guide's loop finds them."""
    pixels: Any = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    return _collect(analysis.get(pixels), pixels.shape)


def _collect(faces: Sequence[Any], shape: tuple[int, ...]) -> DetectedFaces:
    if not faces:
        empty = np.zeros((0, 4), np.float32)
        return DetectedFaces(empty, np.zeros(0, np.float32), np.zeros((0, 0), np.float32))
    scale = np.array([shape[1], shape[0]] * 2, np.float32)
    return DetectedFaces(
        np.array([face.bbox for face in faces], np.float32) / scale,
        np.array([face.det_score for face in faces], np.float32),
        np.array([face.normed_embedding for face in faces], np.float32),
    )


def run_engine(pack: ModelPack, photos: Sequence[StoredPhoto], inference: str) -> "Outcome":
    """The product's engine, fed as the product feeds it: two batches in flight."""
    engine = FaceEngine(pack, inference)
    engine.embed(np.zeros((640, 640, 3), np.uint8))

    def sync(batch: Sequence[StoredPhoto]) -> list[DetectedFaces]:
        found = engine.embed_all([photo.read for photo in batch])
        for _ in range(0, len(batch), SLICE):
            time.sleep(COMMIT_S)
        return [faces for faces in found if isinstance(faces, DetectedFaces)]

    def work() -> list[DetectedFaces]:
        batches = [photos[i : i + BATCH] for i in range(0, len(photos), BATCH)]
        with ThreadPoolExecutor(2) as threads:
            return [faces for batch in threads.map(sync, batches) for faces in batch]

    return _clock(work)


def run_bare(pack: ModelPack, photos: Sequence[StoredPhoto]) -> "Outcome":
    """Nothing but inference: pixels in memory in, faces out, one thread a core."""
    engine, pixels = (
        FaceEngine(pack, EXACT),
        [decode_photo(p.file.read_bytes(), MAX_PIXELS) for p in photos],
    )
    engine.embed(pixels[0])

    def work() -> list[DetectedFaces]:
        with ThreadPoolExecutor(count_cores()) as threads:
            return list(threads.map(engine.embed, pixels))

    return _clock(work)


@dataclass(frozen=True)
class Outcome:
    """What a variant took, and what it found."""

    seconds: float
    faces: list[DetectedFaces]


def _clock(work: Callable[[], list[DetectedFaces]]) -> Outcome:
    began = time.perf_counter()
    faces = work()
    return Outcome(time.perf_counter() - began, faces)


def main(name: str, pack_folder: str, photos_folder: str, product: str) -> None:
    """Run one variant; its faces go to the file `product`, its time to standard output."""
    inference = name if name not in {GUIDE, TUNED, BARE} else EXACT
    settings = Settings.model_validate({"model_pack": pack_folder, "inference": inference})
    pack, photos = resolve_pack(settings), list_stored(Path(photos_folder))
    ways: dict[str, Callable[[], Outcome]] = {
        GUIDE: partial(run_plain, pack, photos, tuned=False),
        TUNED: partial(run_plain, pack, photos, tuned=True),
        BARE: partial(run_bare, pack, photos),
    }
    outcome = ways.get(name, partial(run_engine, pack, photos, inference))()
    found = [faces for faces in outcome.faces if len(faces.scores)]
    empty = np.zeros((0, 0), np.float32)
    np.savez(
        product,
        counts=np.array([len(faces.scores) for faces in outcome.faces]),
        boxes=np.concatenate([faces.boxes for faces in found]) if found else empty,
        vectors=np.concatenate([faces.embeddings for faces in found]) if found else empty,
    )
    sys.stdout.write(json.dumps({"seconds": outcome.seconds}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
