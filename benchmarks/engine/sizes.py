"""The guide's second table: the time a photo takes by the size of its preview."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import cv2

from benchmarks.engine.pictures import draw_faces_picture
from models.settings import Settings
from tasks.faces.engine import FaceEngine
from tasks.images.decode import BgrImage, decode_photo
from tasks.packs.registry import resolve_pack

SIZES = ((640, 640), (1920, 1080), (4000, 3000))  # the guide's
FACES = 2
PHOTOS = 12
MAX_PIXELS = 50_000_000


@dataclass(frozen=True)
class SizeRow:
    """One line of the guide's second table."""

    width: int
    height: int
    alone_ms: float  # one photo, nothing else under way
    together_ms: float  # a photo's share, many at a time


def measure_sizes(pack_folder: str) -> list[SizeRow]:
    """Decode, detect and embed photos with two faces each, in memory."""
    pack = resolve_pack(Settings(model_pack=pack_folder))
    engine = FaceEngine(pack, "cpu")
    rows = []
    for width, height in SIZES:
        content = _encode(draw_faces_picture(width, height, FACES, seed=1))
        readers = [partial(decode_photo, content, MAX_PIXELS)] * PHOTOS
        engine.embed_all(readers[:2])
        alone = min(_clock(engine, readers[:1]) for _ in range(3))
        rows.append(SizeRow(width, height, alone, _clock(engine, readers) / PHOTOS))
    return rows


def _encode(picture: BgrImage) -> bytes:
    encoded: bytes = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    return encoded


def _clock(engine: FaceEngine, readers: "Sequence[partial[BgrImage]]") -> float:
    began = time.perf_counter()
    found = engine.embed_all(readers)
    if any(isinstance(faces, Exception) or len(faces.scores) != FACES for faces in found):
        raise AssertionError("the pictures' faces were not found")
    return 1000 * (time.perf_counter() - began)
