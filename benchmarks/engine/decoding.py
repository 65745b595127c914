"""Decoding alone, on one thread and on every core: photos a second, with OpenCV's beside them.

`python -m benchmarks.engine.decoding` prints one line of JSON.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle, islice
from threading import Barrier

import cv2
import numpy as np

from benchmarks.engine.pictures import make_bench_photos
from tasks.faces.limits import count_cores
from tasks.images.decode import decode_photo

MAX_PIXELS = 50_000_000
SECONDS = 2.0


def main() -> None:
    """Measure and print."""
    photos = [photo.jpeg for photo in make_bench_photos()]
    sys.stdout.write(json.dumps(compare_threads(photos, count_cores())) + "\n")


def compare_threads(
    photos: Sequence[bytes], cores: int, seconds: float = SECONDS
) -> dict[str, float]:
    """Photos a second of the product and of cv2.imdecode, on one thread and on each core."""
    line: dict[str, float] = {"cores": cores}
    for name, decode in (("decode_photo", decode_product), ("imdecode", decode_opencv)):
        alone, together = (
            measure_decoding(photos, threads, decode, seconds) for threads in (1, cores)
        )
        line |= {
            f"{name}_one_thread": round(alone, 1),
            f"{name}_all_cores": round(together, 1),
            f"{name}_ratio": round(together / alone, 2),
        }
    return line


def decode_product(photo: bytes) -> object:
    """As a sync decodes a preview."""
    return decode_photo(photo, MAX_PIXELS)


def decode_opencv(photo: bytes) -> object:
    """libjpeg-turbo and little else: no header is judged, and nothing is turned."""
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    return cv2.imdecode(np.frombuffer(photo, np.uint8), flags)


def measure_decoding(
    photos: Sequence[bytes],
    threads: int,
    decode: Callable[[bytes], object] = decode_product,
    seconds: float = SECONDS,
) -> float:
    """Photos a second that so many threads of one process decode; each photo is in memory."""
    for photo in photos:
        decode(photo)  # imports, and the memory that is kept
    start = Barrier(threads)
    with ThreadPoolExecutor(threads) as pool:
        count = partial(_count_decoded, photos, decode, start, seconds)
        return sum(pool.map(count, range(threads))) / seconds


def _count_decoded(
    photos: Sequence[bytes],
    decode: Callable[[bytes], object],
    start: Barrier,
    seconds: float,
    thread: int,
) -> int:
    """What one thread decodes; each begins with another photo."""
    count = 0
    start.wait()
    end = time.perf_counter() + seconds
    for photo in islice(cycle(photos), thread, None):
        decode(photo)
        if time.perf_counter() >= end:
            break
        count += 1
    return count


if __name__ == "__main__":
    main()
