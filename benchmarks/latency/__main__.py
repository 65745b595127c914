"""The command of `make bench-latency`: the time to a sync's answer and to its first face.

It ends with one line of JSON: {"trigger_p95_ms": ..., "trigger_20_p95_ms": ..., "first_face_s":
...}. docs/latency.md explains the figures.
"""

import json
import sys
from itertools import pairwise
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.latency.first_face import FirstFace, measure_engine_load, measure_first_face
from benchmarks.latency.stack import open_stack
from benchmarks.latency.triggers import AT_ONCE, compute_p95, measure_triggers
from deployments.command_line.signals import interrupt_on_signals
from deployments.sample_photos import make_sample_photos

FIRST_FACE_RUNS = 5
PHOTOS = 20

STEPS = {
    "answered": "POST is answered",
    "submitted": "the worker takes the run",
    "running": "its process is started, Prefect is imported, the flow is called",
    "held": "the event is held",
    "planned": "S3 is listed, the plan is written",
    "embedding": "the first batch begins",
    "embedded": "the engine is loaded, the first batch is embedded",
    "first_face": "the first face is seen in PostgreSQL",
}

console = Console(stderr=True, highlight=False, soft_wrap=True)


def main() -> int:
    """Measure on a stack of its own, show where the time goes, print the figures."""
    photos = [photo for photo in make_sample_photos() if photo.faces][:PHOTOS]
    with interrupt_on_signals(), open_stack(lambda line: console.print(f"  {line}")) as doors:
        console.print("Triggers ...")
        singles, rounds = measure_triggers(doors)
        console.print("First faces ...")
        runs = [measure_first_face(doors, photos) for _ in range(FIRST_FACE_RUNS)]
        engine_s = measure_engine_load(doors)
    together = [took for one in rounds for took in one]
    console.print(_tabulate_triggers(singles, rounds))
    console.print(_tabulate_steps(runs))
    console.print(f"Engine, loaded alone in a process of its own: {engine_s:.2f} s")
    figures = {
        "trigger_p95_ms": round(compute_p95(singles), 1),
        "trigger_20_p95_ms": round(compute_p95(together), 1),
        "first_face_s": round(median(run.first_face for run in runs), 2),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


def _tabulate_triggers(singles: list[float], rounds: list[list[float]]) -> Table:
    table = Table(title="POST sync-s3, ms")
    for heading in ("calls", "median", "p95", "slowest"):
        table.add_column(heading, justify="left" if heading == "calls" else "right")
    rows = {f"{len(singles)} single": singles}
    rows |= {f"{AT_ONCE} at once, round {i + 1}": one for i, one in enumerate(rounds)}
    for name, values in rows.items():
        figures = (median(values), compute_p95(values), max(values))
        table.add_row(name, *(f"{figure:.0f}" for figure in figures))
    return table


def _tabulate_steps(runs: list[FirstFace]) -> Table:
    """Each step's moment in each run, and what the step took in the middle of all runs."""
    table = Table(title="POST to first face, s after the POST")
    table.add_column("reached when")
    for number in range(len(runs)):
        table.add_column(f"run {number + 1}", justify="right")
    table.add_column("step takes", justify="right")
    took = {"answered": median(run.answered for run in runs)} | {
        now: median(getattr(run, now) - getattr(run, before) for run in runs)
        for before, now in pairwise(STEPS)
    }
    for step, meaning in STEPS.items():
        moments = (f"{getattr(run, step):.2f}" for run in runs)
        table.add_row(meaning, *moments, f"{took[step]:.2f}")
    return table


if __name__ == "__main__":
    sys.exit(main())
