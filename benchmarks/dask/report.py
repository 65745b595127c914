"""Tables and the SVG plot of `make bench-dask`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from benchmarks.dask.worker import THREADS

PARTS = ("Dask workers", "PostgreSQL", "S3", "Prefect server", "Dask scheduler", "flow", "others")
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 720, 420, 70, 40, 20, 50
LIFTS = (-20, 10)  # of the values written at a line's points: below the one, above the other
COLOURS = ("#1f77b4", "#d9480f", "#2b8a3e")
STYLE = "font-family='sans-serif' font-size='13' fill='#333'"


@dataclass(frozen=True)
class Run:
    """One measured sync; `cpu`: milliseconds of processor time a photo, by part."""

    what: str
    workers: int
    photos: int
    seconds: float
    cpu: dict[str, float]

    @property
    def pace(self) -> float:
        """Photos a second, from the event's being taken to the result."""
        return self.photos / self.seconds


def build_table(runs: Sequence[Run]) -> Table:
    """One row a run."""
    table = Table("run", "workers", "photos", "seconds", "photos a second")
    for run in runs:
        values = (run.photos, f"{run.seconds:.1f}", f"{run.pace:.1f}")
        table.add_row(run.what, str(run.workers or "–"), *map(str, values))
    return table


def build_cpu_table(runs: Sequence[Run]) -> Table:
    """Where the processor's time goes: milliseconds a photo, by part."""
    table = Table("ms of a core a photo", "workers", *PARTS)
    for run in runs:
        cells = (f"{run.cpu.get(part, 0.0):.1f}" for part in PARTS)
        table.add_row(run.what, str(run.workers or "–"), *cells)
    return table


def draw_plot(runs: Sequence[Run], waits: Mapping[str, float]) -> str:
    """Photos a second over the number of workers, both as powers; dashed: no overhead at all."""
    counts = sorted({run.workers for run in runs})
    ideal = {pack: [count * THREADS / wait for count in counts] for pack, wait in waits.items()}
    paces = [run.pace for run in runs] + [pace for line in ideal.values() for pace in line]
    plot = Plot((counts[0], counts[-1]), (min(paces) / 2, max(paces)))
    for colour, pack, lift in zip(COLOURS, waits, LIFTS, strict=False):
        mine = [(run.workers, run.pace) for run in runs if run.what.endswith(pack)]
        plot.add_line(list(zip(counts, ideal[pack], strict=True)), colour, dashed=True)
        plot.add_line(mine, colour, label=pack, lift=lift)
    plot.add_axes(counts)
    return plot.finish("Photos a second by Dask workers of two cores (dashed: no overhead)")


class Plot:
    """A drawing with two logarithmic axes."""

    def __init__(self, x_range: tuple[float, float], y_range: tuple[float, float]) -> None:
        """Both ranges: the least and the largest value, above 0."""
        self._x, self._y = x_range, y_range
        self._parts: list[str] = []

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a pair of values lies, in pixels."""
        across, up = _share(x, self._x), _share(y, self._y)
        return (
            round(LEFT + across * (WIDTH - LEFT - RIGHT), 1),
            round(HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM), 1),
        )

    def add_line(
        self,
        points: Sequence[tuple[float, float]],
        colour: str,
        *,
        label: str = "",
        lift: float = -20,
        dashed: bool = False,
    ) -> None:
        """A line through the points; a labelled one shows each, and its value `lift` above."""
        placed = [self.place(*point) for point in points]
        path = " ".join(f"{x},{y}" for x, y in placed)
        dashes = " stroke-dasharray='5 5' opacity='0.5'" if dashed else ""
        self._parts.append(
            f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'{dashes}/>"
        )
        if not label:
            return
        for (x, y), (_, value) in zip(placed, points, strict=True):
            self._parts.append(f"<circle cx='{x}' cy='{y}' r='4' fill='{colour}'/>")
            self._write(x, y - lift, f"{value:.0f}", "middle")
        x, y = placed[0]
        self._write(x + 14, y + 5, label, "start", colour)

    def add_axes(self, ticks: Sequence[int]) -> None:
        """The frame, the numbers of workers, and powers of ten of photos a second."""
        left, bottom = self.place(self._x[0], self._y[0])
        right, top = self.place(self._x[1], self._y[1])
        self._parts.append(
            f"<polyline points='{left},{top} {left},{bottom} {right},{bottom}'"
            " fill='none' stroke='#999'/>"
        )
        for tick in ticks:
            self._write(self.place(tick, self._y[0])[0], bottom + 35, f"{tick}", "middle")
        exponents = range(math.ceil(math.log10(self._y[0])), math.floor(math.log10(self._y[1])) + 1)
        for exponent in exponents:
            self._write(left - 8, self.place(self._x[0], 10**exponent)[1], f"{10**exponent}", "end")

    def finish(self, title: str) -> str:
        """The whole file."""
        self._write(LEFT, 20, title, "start")
        body = "\n".join(self._parts)
        return (
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}'>\n"
            f"<rect width='{WIDTH}' height='{HEIGHT}' fill='#fff'/>\n{body}\n</svg>\n"
        )

    def _write(self, x: float, y: float, text: str, anchor: str, colour: str = "#333") -> None:
        style = STYLE.replace("#333", colour)
        self._parts.append(f"<text x='{x}' y='{y}' text-anchor='{anchor}' {style}>{text}</text>")


def _share(value: float, between: tuple[float, float]) -> float:
    """Where a value lies between two, 0 to 1, by its logarithm."""
    low, high = (math.log(bound) for bound in between)
    return (math.log(value) - low) / (high - low) if high > low else 0.5
