"""The command of `make preview-study`: faces found, and costs, by preview size and detector size.

It makes scenes of 6000x4000 pixels with real faces of known heights and searches their previews.
The last line is JSON; with --docs it also writes the tables and the plot of docs/previews.md, which
explains the figures.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from benchmarks.preview_sizes.costs import measure_costs, time_buffalo
from benchmarks.preview_sizes.faces import CutOut, cut_out_people
from benchmarks.preview_sizes.report import Row, write_docs, write_tables
from benchmarks.preview_sizes.scenes import HEIGHT, WIDTH, Scene, make_scene
from benchmarks.preview_sizes.score import (
    PhotoScore,
    count_mistakes,
    score_photo,
    summarise_heights,
)
from models.settings import Settings
from tasks.faces.engine import FaceEngine
from tasks.faces.limits import count_cores
from tasks.images.decode import decode_photo
from tasks.images.preview import PreviewRecipe, make_preview
from tasks.packs.opencv_zoo import build_opencv_zoo
from tasks.packs.registry import resolve_pack

SCENES = 42  # a multiple of the people's number and of the rooms'
# Pixels of the original, of a face's box. Small ones are many in a photo.
HEIGHTS = (60, 60, 80, 80, 110, 110, 150, 150, 200, 200, 280, 400, 560, 800)
PREVIEW_SIDES = (640, 1280, 1600)
DET_SIZES = (640, 1280)
PACK = "opencv_zoo"

console = Console(stderr=True, highlight=False)


def main() -> None:
    """Measure, print, and with --docs write."""
    parser = argparse.ArgumentParser(prog="make preview-study", description=__doc__)
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--docs", type=Path, help="the folder whose previews.md is made anew")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fp-") as folder:
        engines = load_engines(Path(folder))
        rows = run_study(engines, chosen.scenes)
        buffalo = time_buffalo(Path(folder) / "buffalo_l", DET_SIZES)
    write_tables(console, rows)
    if chosen.docs is not None:
        write_docs(chosen.docs, rows)
    line = {
        "scenes": chosen.scenes,
        "faces": chosen.scenes * len(HEIGHTS),
        "cores": count_cores(),
        "buffalo_l_detect_ms": {size: round(value, 1) for size, value in buffalo.items()},
        "rows": [describe_row(row) for row in rows],
    }
    sys.stdout.write(json.dumps(line) + "\n")


def load_engines(folder: Path) -> dict[int, FaceEngine]:
    """An engine for each detector size, its pack built in `folder`."""
    engines = {}
    for det_size in DET_SIZES:
        place = folder / f"{PACK}_{det_size}"
        place.mkdir()
        build_opencv_zoo(place, det_size)
        pack = resolve_pack(Settings(model_pack=str(place), model_root=folder))
        engines[det_size] = FaceEngine(pack, "cpu")
    return engines


def run_study(engines: dict[int, FaceEngine], scenes: int) -> list[Row]:
    """One row a preview size and detector size."""
    people = cut_out_people(engines[max(engines)])
    scores: dict[tuple[int, int], list[PhotoScore]] = {
        (side, det_size): [] for side in PREVIEW_SIDES for det_size in engines
    }
    previews: dict[int, list[bytes]] = {side: [] for side in PREVIEW_SIDES}
    for number in track(range(scenes), "scenes", console=console):
        scene = make_scene(number, people, HEIGHTS, (WIDTH, HEIGHT))
        for side in PREVIEW_SIDES:
            previews[side].append(make_preview(scene.original, PreviewRecipe(side)))
        for (side, det_size), found in scores.items():
            found.append(score_preview(engines[det_size], previews[side][-1], scene, people))
    threshold = engines[min(engines)].pack.figures.search
    rows = []
    for (side, det_size), found in scores.items():
        costs = measure_costs(engines[det_size], previews[side])
        mistakes = count_mistakes(found, threshold)
        rows.append(Row(side, det_size, summarise_heights(found, threshold), *mistakes, costs))
    return rows


def score_preview(
    engine: FaceEngine, preview: bytes, scene: Scene, people: Sequence[CutOut]
) -> PhotoScore:
    """What the engine finds in a preview, judged."""
    photo = decode_photo(preview, max_pixels=WIDTH * HEIGHT)
    return score_photo(scene.faces, engine.embed(photo), people)


def describe_row(row: Row) -> dict[str, Any]:
    """A row as JSON has it."""
    heights = {
        one.height: {
            name: value if value is None else round(value, 3)
            for name, value in asdict(one).items()
            if name != "height"
        }
        for one in row.heights
    }
    costs = {name: round(value, 2) for name, value in asdict(row.costs).items()}
    return {
        "preview_side": row.preview_side,
        "det_size": row.det_size,
        "by_face_height": heights,
        "false_detections": row.false_detections,
        "mistaken": row.mistaken,
        **costs,
    }


if __name__ == "__main__":
    main()
