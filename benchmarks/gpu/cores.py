"""The CPU's curve: photos a second on 1, 2, 4… cores, in one process and in several.

Each process is pinned to its cores: `python -m benchmarks.gpu.cores PACK CORES PHOTOS INFERENCE`
loads, says so, and begins when it is told to, so that several begin together.
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.engine.decoding import measure_decoding
from benchmarks.engine.rounds import list_modes
from benchmarks.engine.variants import EXACT
from benchmarks.gpu.measure import Deck, load_engine
from benchmarks.stored import MAX_PIXELS
from tasks.faces.engine import FaceEngine
from tasks.images.decode import BgrImage, decode_photo

# Photos of a run: the slow ones get fewer, and many cores enough to keep each busy.
FEWEST, PHOTOS_A_CORE = 24, 6
DECODING_S = 1.0
BF16 = "openvino-bf16"
PROCESSES = (2, 4)  # that share the cores of the largest number

Note = Callable[[str, Mapping[str, object]], None]


def describe_processor() -> dict[str, Any]:
    """The processor's name, what it can do for a model, and its cores for this process."""
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        told = ""
    lines = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
    fields = {name.strip(): value.strip() for name, value in lines.items()}
    abilities = fields.get("flags", "").split()
    known = ("avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
    return {
        "processor": fields.get("model name", platform.machine()),
        "abilities": [name for name in known if name in abilities],
        "cores": len(list_cores()),
        "physical_cores": len({_read_siblings(core) for core in list_cores()}),
    }


def list_cores() -> list[int]:
    """This process's cores; of two that are one physical core the second one later."""
    if not hasattr(os, "sched_getaffinity"):
        return list(range(os.cpu_count() or 1))
    seen: dict[str, int] = {}
    ranks = []
    for core in sorted(os.sched_getaffinity(0)):
        siblings = _read_siblings(core)
        ranks.append((seen.get(siblings, 0), core))
        seen[siblings] = seen.get(siblings, 0) + 1
    return [core for _, core in sorted(ranks)]


def _read_siblings(core: int) -> str:
    """The threads of this one's physical core; itself where the system does not tell."""
    file = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    try:
        return file.read_text().strip()
    except OSError:
        return str(core)


def measure_cores(counts: Sequence[int], pack: str, deck: Deck, note: Note) -> None:
    """Note the product's speed on so many cores; counts above the machine's are left out."""
    cores = list_cores()
    there = [count for count in counts if count <= len(cores)]
    for count in there:
        note("cores", {f"{count}": _run(pack, [cores[:count]], EXACT)})
    most = max(there, default=1)
    for processes in PROCESSES:
        if most >= 2 * processes:
            parts = [cores[number:most:processes] for number in range(processes)]
            note("cores", {f"{most} in {processes} processes": _run(pack, parts, EXACT)})
    if there and BF16 in list_modes():
        note("cores", {f"{most} {BF16}": _run(pack, [cores[:most]], BF16)})
    note("cores", {"faces_a_photo": deck.faces_a_photo})


def _run(pack: str, parts: Sequence[Sequence[int]], inference: str) -> dict[str, float]:
    """The rates of a process for each part of the cores, added up."""
    with ExitStack() as stack:
        children = []
        for part in parts:
            count = max(FEWEST, PHOTOS_A_CORE * len(part))
            words = [pack, ",".join(map(str, part)), str(count), inference]
            child = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.gpu.cores", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            children.append(stack.enter_context(child))
            stack.callback(child.kill)  # after an error; one that has ended is not touched
        return _add_up(children)


def _add_up(children: Sequence["subprocess.Popen[str]"]) -> dict[str, float]:
    """Each step's rate, once all children have come to it."""
    rates: dict[str, float] = {}
    while True:
        answers = [_read_answer(child) for child in children]
        for name in answers[0]:
            rates[name] = round(sum(answer[name] for answer in answers), 1)
        if "decoding_photos_s" in rates:
            return rates
        for child in children:
            if child.stdin:
                child.stdin.write("\n")
                child.stdin.flush()


def _read_answer(child: "subprocess.Popen[str]") -> dict[str, float]:
    line = child.stdout.readline() if child.stdout else ""
    if not line:
        raise AssertionError("a process of the cores' curve has ended before its figures")
    answer: dict[str, float] = json.loads(line)
    return answer


def main(pack: str, cores: str, photos: str, inference: str) -> None:
    """Measure on these cores: the engine, its models on pixels in memory, then decoding."""
    mine = {int(core) for core in cores.split(",")}
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, mine)
    deck = Deck.draw(FEWEST)
    content = deck.repeat(int(photos))
    loaded = load_engine(pack, inference, len(mine))
    loaded.embed_all(content[:2])

    def say(**rates: float) -> None:
        sys.stdout.write(json.dumps(rates) + "\n")
        sys.stdout.flush()
        sys.stdin.readline()

    say()
    say(photos_s=loaded.measure(content))
    pixels = [decode_photo(photo, MAX_PIXELS) for photo in content]
    say()
    say(bare_photos_s=_measure_models(loaded.engine, pixels, len(mine)))
    say(decoding_photos_s=measure_decoding(deck.repeat(FEWEST), len(mine), seconds=DECODING_S))


def _measure_models(engine: FaceEngine, pixels: Sequence[BgrImage], threads: int) -> float:
    """Photos a second of so many threads."""
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(engine.embed, pixels))
    return len(pixels) / (time.perf_counter() - began)


if __name__ == "__main__":
    main(*sys.argv[1:])
