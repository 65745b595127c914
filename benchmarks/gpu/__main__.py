"""The command of `make bench-gpu`: the guide's loop and our engine on one NVIDIA card, in one run.

It needs no database, S3 or Prefect. Where there is no card it says so and ends well. The last line
is JSON; with --out the figures are in a file as soon as each is known.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from rich.console import Console

from benchmarks.engine.decoding import compare_threads
from benchmarks.engine.standin import write_standin_buffalo
from benchmarks.engine.variants import CPU, EXACT, GUIDE, TUNED
from benchmarks.gpu.cores import describe_processor, measure_cores
from benchmarks.gpu.measure import (
    DECK,
    Deck,
    Loaded,
    LoadedEngine,
    Parity,
    compare,
    load_engine,
    load_plain,
    measure_bare,
)
from models.errors import ModelPackError
from tasks.faces.detected import DetectedFaces
from tasks.faces.limits import count_cores
from tasks.packs.cuda import PROVIDER, find_card, require_cuda

CUDA, HALF, BATCHING = "cuda", "cuda-fp16", "batching"
# What must find the same faces, and vectors at least so alike, as the CPU does.
EXACT_WAYS, EXACT_COSINE = (CUDA, BATCHING), 0.9999
PHOTOS, ROUNDS = 2400, 2
PLAIN_PHOTOS = 96  # a round: the guide's loop shows its speed sooner
LONGEST_RUN_S = 15.0  # a slower way gets fewer photos
DECODING_S = 1.0  # each way

console = Console(stderr=True, highlight=False)
Value = TypeVar("Value")


class Record:
    """The figures so far, on the terminal and in a file: a run that is cut off leaves them."""

    def __init__(self, out: Path | None) -> None:
        self._out = out
        self.figures: dict[str, Any] = {}
        self.failures: dict[str, str] = {}

    def note(self, name: str, figures: Mapping[str, object]) -> None:
        """Add to what is known of `name`."""
        self.figures.setdefault(name, {}).update(figures)
        console.print(f"  {name}: {json.dumps(figures)}", markup=False)
        self._write()

    def attempt(self, name: str, work: Callable[[], Value]) -> Value | None:
        """Do a part of the work; one that fails leaves its error, and does not end the others."""
        try:
            return work()
        except Exception as error:  # noqa: BLE001 (the runtimes share no base class)
            self.failures[name] = f"{type(error).__name__}: {error}"[:2000]
            console.print(f"  {name} failed: {self.failures[name]}", markup=False, style="red")
            self._write()
            return None

    def build_line(self) -> dict[str, Any]:
        """All of it."""
        return {**self.figures, **({"failures": self.failures} if self.failures else {})}

    def _write(self) -> None:
        if self._out:
            self._out.write_text(json.dumps(self.build_line(), indent=1) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print: 0, also where there is no card; 1 where a part failed."""
    chosen = _parse(arguments)
    record = Record(chosen.out)
    if chosen.provider == CUDA:
        try:
            card = find_card()
        except ModelPackError as error:
            console.print(f"There is no GPU here, nothing is measured. {error}", markup=False)
            sys.stdout.write(json.dumps({"gpu": None}) + "\n")
            return 0
        record.note("gpu", asdict(card))
    with tempfile.TemporaryDirectory(prefix="fp-") as folder:
        record.attempt("bench", lambda: run_bench(chosen, Path(folder), record))
    sys.stdout.write(json.dumps(record.build_line()) + "\n")
    return int(bool(record.failures))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-gpu", description=__doc__)
    parser.add_argument("--photos", type=int, default=PHOTOS, help="photos an engine's round")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--provider", choices=(CUDA, EXACT), default=CUDA)
    parser.add_argument("--pack", type=Path, help="a pack's folder; unset means the stand-in")
    parser.add_argument("--out", type=Path, help="a file for the figures, as they come")
    parser.add_argument(
        "--cores", type=_parse_counts, default=(), help="also the CPU on 1,2,4 of its cores"
    )
    return parser.parse_args(arguments)


def _parse_counts(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def run_bench(chosen: argparse.Namespace, folder: Path, record: Record) -> None:
    """All of it, in `folder`."""
    pack = str(chosen.pack or folder / "buffalo_l")
    if chosen.provider == CUDA:
        require_cuda(CUDA)  # the guide's loop needs CUDA's libraries as well
    if chosen.pack is None:
        write_standin_buffalo(Path(pack))
    deck = Deck.draw(chosen.photos)
    record.note("machine", describe_processor())
    record.note("deck", {"photos": len(deck.photos), "faces_a_photo": deck.faces_a_photo})
    content = [photo.jpeg for photo in deck.photos]
    record.note("decoding", compare_threads(content, count_cores(), DECODING_S))
    ways = load_ways(chosen.provider, pack, deck, record)
    check_parity(ways, pack, deck, record)
    measure_rounds(ways, chosen, deck, record)
    for name, way in ways.items():
        if isinstance(way, LoadedEngine):
            record.attempt(f"{name}, bare", partial(note_bare, name, way, deck, record))
    note_ratios(record)
    if chosen.cores:
        record.attempt("cores", lambda: measure_cores(chosen.cores, pack, deck, record.note))


def load_ways(provider: str, pack: str, deck: Deck, record: Record) -> dict[str, Loaded]:
    """The ways that can be loaded, by name."""
    first = deck.photos[0].jpeg
    providers = (PROVIDER, CPU) if provider == CUDA else (CPU,)
    loaders: dict[str, Callable[[], Loaded]] = {
        GUIDE: partial(load_plain, pack, providers, first, tuned=False),
        TUNED: partial(load_plain, pack, providers, first, tuned=True),
    }
    if provider == CUDA:
        loaders |= {mode: partial(load_engine, pack, mode) for mode in (CUDA, HALF)}
    else:
        loaders[BATCHING] = partial(load_engine, pack, EXACT, batching=True)
    ways = {}
    for name, load in loaders.items():
        before = find_card().free_mib if provider == CUDA else 0
        way = record.attempt(f"{name}, loading", load)
        if way is None:
            continue
        ways[name] = way
        record.note(name, {"load_s": round(way.load_s, 2)})
        if provider == CUDA:
            record.note(name, {"card_mib": before - find_card().free_mib})
    return ways


def check_parity(ways: dict[str, Loaded], pack: str, deck: Deck, record: Record) -> None:
    """Compare what each way finds with the CPU's faces and with the guide's."""
    content = [photo.jpeg for photo in deck.photos]
    reference = load_engine(pack, EXACT).embed_all(content)
    found: dict[str, list[DetectedFaces]] = {}
    for name, way in ways.items():
        faces = record.attempt(f"{name}, faces", partial(way.embed_all, content))
        if faces is None:
            continue
        found[name] = faces
        parity = compare(faces, reference)
        figures = {"same_faces_as_cpu": parity.same_faces, "cosine_to_cpu": parity.cosine}
        if isinstance(way, LoadedEngine) and GUIDE in found:
            figures["cosine_to_guide"] = compare(faces, found[GUIDE]).cosine
        record.note(name, figures)
        if name in EXACT_WAYS:
            record.attempt(f"{name}, parity", partial(require_parity, name, parity))


def require_parity(name: str, parity: Parity) -> None:
    """Raise AssertionError for a way that is not exact."""
    if parity.cosine is None:
        raise AssertionError(f"{name} finds other faces than the CPU")
    if parity.cosine < EXACT_COSINE:
        raise AssertionError(f"{name} is not exact: {parity.cosine:.6f}")


def measure_rounds(
    ways: dict[str, Loaded], chosen: argparse.Namespace, deck: Deck, record: Record
) -> None:
    """Run the ways in turn, several times; the median round counts."""
    runs: dict[str, list[bytes]] = {}
    for name, way in ways.items():
        is_ours = isinstance(way, LoadedEngine)
        most = chosen.photos if is_ours else min(chosen.photos, PLAIN_PHOTOS)
        trial = deck.repeat(min(most, PLAIN_PHOTOS if is_ours else DECK))
        rate = record.attempt(f"{name}, trial", partial(way.measure, trial))
        if rate is not None:
            runs[name] = deck.repeat(min(most, max(len(trial), int(rate * LONGEST_RUN_S))))
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(chosen.rounds):
        for name, photos in runs.items():
            rate = record.attempt(f"{name}, round", partial(ways[name].measure, photos))
            if rate is None:
                continue
            rates[name].append(round(rate, 2))
            best = {"photos_s": median(rates[name]), "rounds": rates[name]}
            record.note(name, {"photos": len(photos), **best})


def note_bare(name: str, way: LoadedEngine, deck: Deck, record: Record) -> None:
    """Measure the engine's models alone."""
    bare = measure_bare(way.engine)
    rate = bare.compute_rate(deck.faces_a_photo)
    figures = {key: round(value, 4) for key, value in asdict(bare).items()}
    record.note(name, {"bare": {**figures, "photos_s": round(rate, 1)}})


def note_ratios(record: Record) -> None:
    """Put every way's speed beside the loops', and beside that of its models alone."""
    figures = record.figures
    for name in (TUNED, CUDA, HALF, BATCHING):
        mine = figures.get(name, {})
        if "photos_s" not in mine:
            continue
        ratios = {}
        for other in (GUIDE, TUNED):
            if other != name and "photos_s" in figures.get(other, {}):
                ratios[f"vs_{other}"] = round(mine["photos_s"] / figures[other]["photos_s"], 2)
        if "bare" in mine:
            ratios["bare_share"] = round(mine["photos_s"] / mine["bare"]["photos_s"], 3)
        record.note(name, ratios)


if __name__ == "__main__":
    sys.exit(main())
