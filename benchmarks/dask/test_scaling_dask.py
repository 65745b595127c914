"""Tests of the Dask benchmark's parts: its plot, its tables, its waiting engine."""

from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from benchmarks.dask.report import Plot, Run, build_cpu_table, build_table, draw_plot
from benchmarks.dask.worker import THREADS, WaitingEngine

SVG = "{http://www.w3.org/2000/svg}"
WAITS = {"buffalo_l": 0.3, "opencv_zoo": 0.06}
RUNS = [
    Run(f"waits as {pack}", workers, 100, 100 * wait / workers, {"flow": 7.3})
    for workers in (1, 4, 16)
    for pack, wait in WAITS.items()
]


def test_the_plot_shows_every_run_beside_what_would_be_ideal() -> None:
    drawn = ElementTree.fromstring(draw_plot(RUNS, WAITS))  # noqa: S314 (our own)
    texts = [text.text for text in drawn.iter(f"{SVG}text")]
    assert {"1", "4", "16", *WAITS} <= set(texts)
    assert {f"{run.pace:.0f}" for run in RUNS} <= set(texts)
    lines = [line for line in drawn.iter(f"{SVG}polyline") if line.get("stroke-dasharray")]
    assert len(lines) == len(WAITS)
    # These runs reach half of the ideal: their points lie below the dashed line, all as far.
    marks = [float(circle.get("cy", "")) for circle in drawn.iter(f"{SVG}circle")]
    ideal = [
        float(point.split(",")[1]) for line in lines for point in line.get("points", "").split()
    ]
    gaps = np.array(sorted(marks)) - np.array(sorted(ideal))
    assert gaps.min() > 0
    assert np.ptp(gaps) < 1
    assert THREADS == 2


def test_the_axes_are_logarithmic() -> None:
    plot = Plot((1, 64), (1, 100))
    xs = [plot.place(x, 1)[0] for x in (1, 8, 64)]
    ys = [plot.place(1, y)[1] for y in (1, 10, 100)]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)
    assert ys[0] - ys[1] == pytest.approx(ys[1] - ys[2], abs=0.2)
    assert ys[0] > ys[2]


def test_the_tables_have_a_row_a_run() -> None:
    console = Console(width=140, file=StringIO())
    for table in (build_table(RUNS), build_cpu_table(RUNS)):
        assert table.row_count == len(RUNS)
        console.print(table)
    assert isinstance(console.file, StringIO)
    assert console.file.getvalue().count("7.3") == len(RUNS)


def test_the_waiting_engine_finds_the_same_two_faces_always(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAIT_FILE", str(tmp_path / "wait"))
    (tmp_path / "wait").write_text("0")
    engine = WaitingEngine.__new__(WaitingEngine)
    faces = engine.embed(np.zeros((16, 16, 3), np.uint8))
    assert faces.boxes.shape == (2, 4)
    assert faces.embeddings.shape == (2, 512)
    np.testing.assert_allclose(np.linalg.norm(faces.embeddings, axis=1), 1, rtol=1e-6)
