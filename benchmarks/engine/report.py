"""The bench's tables: on the terminal, and as the picture of docs/benchmarks.md."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.terminal_theme import MONOKAI

from benchmarks.engine.peak import Peak
from benchmarks.engine.real_job import CountRow, Thousand
from benchmarks.engine.rounds import Variant
from benchmarks.engine.sizes import SizeRow
from benchmarks.engine.variants import EXACT, GUIDE, TUNED

WIDTH = 116  # columns of the picture
LABELS = {
    GUIDE: "the guide's loop, as written",
    TUNED: "the same, tuned",
    EXACT: "FacePass, onnxruntime fp32 (default)",
    "openvino": "FacePass, OpenVINO fp32",
    "openvino-bf16": "FacePass, OpenVINO bf16 (not identical)",
    "cuda": "FacePass, CUDA",
}


def build_variant_table(
    title: str, variants: Mapping[str, Variant], gflop: float | None, peak: Peak
) -> Table:
    """Variants against the guide's loop; `gflop` a photo, where it is known."""
    table = Table(title=title, title_justify="left", width=WIDTH)
    table.add_column("")
    for name in ("ms a photo", "vs guide", "vs tuned", "of fp32 peak", "cosine to guide"):
        table.add_column(name, justify="right")
    guide, tuned = variants[GUIDE].ms_a_photo, variants[TUNED].ms_a_photo
    for name, variant in variants.items():
        share = compute_peak_share(variant, gflop, peak)
        table.add_row(
            LABELS.get(name, name),
            f"{variant.ms_a_photo:.0f}",
            f"{guide / variant.ms_a_photo:.2f}",
            f"{tuned / variant.ms_a_photo:.2f}",
            "" if share is None else f"{share:.0%}",
            f"{variant.similarity:.5f}",
        )
    return table


def compute_peak_share(variant: Variant, gflop: float | None, peak: Peak) -> float | None:
    """The share of the machine's fp32 peak that a variant's arithmetic makes use of."""
    return None if gflop is None else gflop / (variant.ms_a_photo / 1000) / peak.gflops


def build_count_table(rows: Sequence[CountRow]) -> Table:
    """The guide's table by number of photos, with what it says itself (2 to 3 s a photo)."""
    table = Table(
        title="The whole job: S3, Prefect, PostgreSQL (stand-in buffalo_l)",
        title_justify="left",
        width=WIDTH,
    )
    for name in ("photos", "the guide says", "here", "a photo", "from the call to the answer"):
        table.add_column(name, justify="right")
    for row in rows:
        said = f"{row.photos * 2 / 60:.1f} to {row.photos * 3 / 60:.1f} min"
        each = f"{1000 * row.seconds / row.photos:.0f} ms"
        table.add_row(str(row.photos), said, f"{row.seconds:.1f} s", each, f"{row.wall:.1f} s")
    return table


def build_size_table(rows: Sequence[SizeRow]) -> Table:
    """The guide's table by size of the preview."""
    table = Table(
        title="By size of the preview (two faces, det_size 640, stand-in)",
        title_justify="left",
        width=WIDTH,
    )
    for name in ("pixels", "one photo alone", "a photo of many"):
        table.add_column(name, justify="right")
    for row in rows:
        size = f"{row.width}x{row.height}"
        table.add_row(size, f"{row.alone_ms:.0f} ms", f"{row.together_ms:.0f} ms")
    return table


def build_thousand_table(thousand: Thousand) -> Table:
    """A thousand previews with opencv_zoo, and the memory of each process."""
    table = Table(
        title="1,000 previews of two faces, opencv_zoo, through the worker",
        title_justify="left",
        width=WIDTH,
    )
    for name in ("new", "replaced", "known", "largest memory of each process, MiB"):
        table.add_column(name)
    runs = (thousand.first, thousand.second, thousand.third)
    memory = ", ".join(f"{name} {mib}" for name, mib in sorted(thousand.peak_mib.items()))
    table.add_row(*(f"{run['seconds']:.1f} s" for run in runs), memory)
    return table


def show_tables(headline: str, tables: Sequence[Table], picture: Path | None) -> None:
    """Print them; with `picture`, also as an SVG."""
    console = Console(record=picture is not None, width=WIDTH, highlight=False)
    console.print(headline)
    for table in tables:
        console.print(table)
    if picture is not None:
        drawn = console.export_svg(title="make bench", theme=MONOKAI)
        picture.write_text(remove_fonts(drawn))


def remove_fonts(svg: str) -> str:
    """Without web fonts: whoever looks at a picture is not to ask another server for anything."""
    return re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
