"""A simulated S3: photos in a folder, each arriving after a latency of its own."""

import random
import time
from dataclasses import dataclass
from pathlib import Path

from tasks.images.decode import BgrImage, decode_photo

LATENCY_S = (0.020, 0.050)
MAX_PIXELS = 50_000_000


@dataclass(frozen=True)
class StoredPhoto:
    """A preview in the simulated S3."""

    file: Path
    latency_s: float

    def get(self) -> bytes:
        """Its bytes, after S3's latency."""
        time.sleep(self.latency_s)
        return self.file.read_bytes()

    def read(self) -> BgrImage:
        """Its pixels."""
        return decode_photo(self.get(), MAX_PIXELS)


def list_stored(folder: Path) -> list[StoredPhoto]:
    """The folder's photos, each with a latency of its own that is the same in every run."""
    chance = random.Random(7)  # noqa: S311 (latencies, no secrets)
    files = sorted(folder.glob("*.jpg"))
    return [StoredPhoto(file, chance.uniform(*LATENCY_S)) for file in files]
