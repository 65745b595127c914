"""The command of `make bench`: the guide's loop, a tuned loop, our engine, then the whole job.

It uses real photos with opencv_zoo, and a stand-in for buffalo_l with random weights: the speed of
the stand-in is real, its faces are not. The last line is JSON.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.engine.operations import count_work
from benchmarks.engine.peak import Peak, measure_peak, take_median
from benchmarks.engine.pictures import BenchPhoto, count_faces, make_bench_photos, make_real_photos
from benchmarks.engine.real_job import compare_with_bare, measure_counts, measure_thousand
from benchmarks.engine.report import (
    build_count_table,
    build_size_table,
    build_thousand_table,
    build_variant_table,
    compute_peak_share,
    show_tables,
)
from benchmarks.engine.rounds import EXACT_MODES, ROUNDS, Variant, run_rounds, write_photos
from benchmarks.engine.sizes import measure_sizes
from benchmarks.engine.standin import write_standin_buffalo
from benchmarks.engine.variants import EXACT, GUIDE, TUNED
from models.settings import Settings
from tasks.faces.limits import count_cores
from tasks.packs.registry import resolve_pack

PHOTOS = 48  # of the stand-in's; 24 real ones
console = Console(stderr=True, highlight=False)


def main() -> None:
    """Measure, print, write the picture."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--picture", type=Path, help="also write the tables as an SVG")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fp-") as folder:
        line = run_bench(Path(folder), chosen.rounds, chosen.picture)
    sys.stdout.write(json.dumps(line) + "\n")


def run_bench(folder: Path, rounds: int, picture: Path | None) -> dict[str, Any]:
    """All of it, in `folder`; the figures of the last line."""
    cores = count_cores()
    peaks: list[Peak] = []
    standin, models = folder / "buffalo_l", folder / "packs"
    write_standin_buffalo(standin)
    drawn, real = make_bench_photos(PHOTOS), make_real_photos()
    write_photos(folder / "drawn", [photo.jpeg for photo in drawn])
    write_photos(folder / "real", [photo.jpeg for photo in real])
    zoo = resolve_pack(Settings(model_pack="opencv_zoo", model_root=models)).folder

    def report(line: str) -> None:
        console.print(f"  {line}", markup=False)

    def note_peak() -> None:
        # Beside every round: a shared machine's clock is another one minutes later.
        peaks.append(measure_peak(cores))
        report(f"fp32 peak: {peaks[-1].gflops:.0f} GFLOP/s")

    variants = run_rounds(standin, folder / "drawn", folder, report, rounds, note_peak)
    peak = take_median(peaks)
    zoo_variants = run_rounds(zoo, folder / "real", folder, report, rounds)
    sizes = measure_sizes(str(standin))
    counts = measure_counts(standin, [photo.jpeg for photo in drawn], folder / "a", report)
    whole = compare_with_bare(counts, standin, folder / "drawn", folder)
    thousand = measure_thousand(folder / "b", models, report)
    gflop = count_work(standin).total_gflop(len(drawn), count_faces(drawn)) / len(drawn)
    tables = [
        build_variant_table(_name("stand-in buffalo_l", drawn), variants, gflop, peak),
        build_variant_table(_name("opencv_zoo, real photos", real), zoo_variants, None, peak),
        build_count_table(counts),
        build_size_table(sizes),
        build_thousand_table(thousand),
    ]
    headline = (
        f"{cores} cores, fp32 peak {peak.gflops:.0f} GFLOP/s ({peak.method}); "
        f"medians of {rounds} rounds; S3 answers after 20 to 50 ms; the whole job of "
        f"{counts[-1].photos} photos runs at {whole:.0%} of bare inference"
    )
    show_tables(headline, tables, picture)
    return build_line(variants, gflop, peak, whole)


def _name(pack: str, photos: list[BenchPhoto]) -> str:
    spread = " ".join(str(photo.faces) for photo in photos)
    return f"{pack}: {len(photos)} photos, faces a photo: {spread}"


def build_line(
    variants: Mapping[str, Variant], gflop: float, peak: Peak, whole: float
) -> dict[str, Any]:
    """The last line: the default mode's figures, and every mode's."""
    guide, tuned = variants[GUIDE].ms_a_photo, variants[TUNED].ms_a_photo
    modes = {
        name: {
            "ms_a_photo": round(variant.ms_a_photo, 1),
            "vs_guide": round(guide / variant.ms_a_photo, 2),
            "vs_tuned": round(tuned / variant.ms_a_photo, 2),
            "peak_share": round(compute_peak_share(variant, gflop, peak) or 0.0, 3),
            "cosine": round(variant.similarity, 6),
            "identical": name in EXACT_MODES,
        }
        for name, variant in variants.items()
        if name not in {GUIDE, TUNED}
    }
    exact = modes[EXACT]
    figures = {name: exact[name] for name in ("vs_guide", "vs_tuned", "peak_share")}
    return {**figures, "whole_job_vs_bare": round(whole, 3), "modes": modes}


if __name__ == "__main__":
    main()
