"""The whole corpus: the same files for the same seed, in the same order."""

import random
from collections.abc import Callable, Container, Iterable, Iterator

from benchmarks.hostile.bombs import (
    list_chunk_bombs,
    list_claims,
    list_frame_bombs,
    list_large_pictures,
    list_pixel_bombs,
    list_scan_bombs,
)
from benchmarks.hostile.cameras import list_camera_bombs, list_cameras, list_damaged_cameras
from benchmarks.hostile.damage import list_flipped, list_holes, list_truncated
from benchmarks.hostile.files import HostileFile
from benchmarks.hostile.foreign import list_foreign, list_names, list_polyglots
from benchmarks.hostile.formats import list_animations, list_colours, list_formats, list_shapes
from benchmarks.hostile.notes import list_exif, list_profiles

SEED = 20_240_601

FIXED: tuple[Callable[[], Iterable[HostileFile]], ...] = (
    list_formats,
    list_colours,
    list_shapes,
    list_animations,
    list_names,
    list_polyglots,
    list_claims,
    list_scan_bombs,
    list_chunk_bombs,
    list_frame_bombs,
    list_pixel_bombs,
    list_large_pictures,
    list_cameras,
    list_camera_bombs,
)
SEEDED: tuple[Callable[[random.Random], Iterable[HostileFile]], ...] = (
    list_truncated,
    list_flipped,
    list_holes,
    list_exif,
    list_profiles,
    list_foreign,
    list_damaged_cameras,
)


def build_corpus(
    seed: int = SEED, leave_out: Container[Callable[[], Iterable[HostileFile]]] = ()
) -> Iterator[HostileFile]:
    """Every file, made when it is asked for: some are large.

    leave_out: builders that a caller has no time for.
    """
    for build in FIXED:
        if build not in leave_out:
            yield from build()
    for build_seeded in SEEDED:
        # Each builder's own chance: adding to one leaves the others' files as they were.
        chance = random.Random(f"{seed} {build_seeded.__name__}")  # noqa: S311 (not for secrets)
        yield from build_seeded(chance)
