"""Dask workers that wait instead of computing, several in one process.

`python -m benchmarks.dask.worker SCHEDULER COUNT` starts them. All else is the product's: they
fetch, decode, keep results, store and tell Prefect as any worker does. The seconds to wait for a
photo are read from the file WAIT_FILE, photo by photo.
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tasks.faces.detected import DetectedFaces
from tasks.faces.engine import FaceEngine
from tasks.images.decode import BgrImage

THREADS = 2  # photos a worker computes at a time: a machine of two cores
FACES, DIMENSIONS = 2, 512  # a photo's faces, and numbers a vector, as buffalo_l's


class WaitingEngine(FaceEngine):
    """Takes as long as another pack, and finds always the same."""

    def embed(self, photo: BgrImage) -> DetectedFaces:
        """Wait; two faces in two corners, of length 1."""
        del photo
        time.sleep(float(Path(os.environ["WAIT_FILE"]).read_text()))
        vectors = np.ones((FACES, DIMENSIONS), np.float32)
        corners = np.array([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]], np.float32)
        return DetectedFaces(
            boxes=corners[:FACES],
            scores=np.full(FACES, 0.9, np.float32),
            embeddings=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        )


async def serve(address: str, count: int) -> None:
    """Run so many workers until they are killed."""
    from distributed import Worker

    here: dict[str, Any] = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    workers = [await Worker(address, nthreads=2, memory_limit=0, **here) for _ in range(count)]
    await asyncio.gather(*(worker.finished() for worker in workers))


def main() -> None:
    """Put the engine in the product's place, and serve."""
    from tasks.faces import cache

    replaced: Any = cache
    address, count = sys.argv[1], int(sys.argv[2])
    os.environ["FACEPASS_ENGINE_THREADS"] = str(THREADS * count)
    replaced.FaceEngine = WaitingEngine
    asyncio.run(serve(address, count))


if __name__ == "__main__":
    main()
