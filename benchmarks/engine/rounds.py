"""Rounds of several variants in turn, a process for each, and the medians of the rounds."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import psutil  # type: ignore[import-untyped]  # publishes no types, and its stubs are not locked
from scipy.optimize import linear_sum_assignment

from benchmarks.engine.variants import EXACT, GUIDE, TUNED
from models.errors import ModelPackError
from tasks.packs.cuda import TF32, require_cuda
from tasks.packs.openvino import PRECISIONS, open_openvino

ROUNDS = 3
# A round begins when the rest of the machine has come to rest, or after this long.
REST_LIMIT_S, REST_PERCENT = 30.0, 10.0
EXACT_COSINE = 0.99999
EXACT_MODES = (EXACT, "openvino", "cuda")


@dataclass
class Variant:
    """One variant's rounds."""

    name: str
    seconds: list[float] = field(default_factory=list)
    photos: int = 0
    similarity: float = 1.0  # the smallest cosine to the guide's vector of the same face

    @property
    def ms_a_photo(self) -> float:
        """The median round's time a photo."""
        return 1000 * median(self.seconds) / self.photos


def list_modes() -> list[str]:
    """The backends of this machine."""
    found = [EXACT]
    checks: list[tuple[str, Callable[[str], object]]] = [
        *((mode, open_openvino) for mode in PRECISIONS),
        *((mode, require_cuda) for mode in TF32),
    ]
    for mode, check in checks:
        try:
            check(mode)
        except ModelPackError:
            continue
        found.append(mode)
    return found


def run_rounds(
    pack: Path,
    photos: Path,
    scratch: Path,
    report: Callable[[str], None],
    rounds: int = ROUNDS,
    before_round: Callable[[], object] = lambda: None,
) -> dict[str, Variant]:
    """Run guide, tuned and every mode; parity with the guide's loop is asserted on the way."""
    variants = {name: Variant(name) for name in (GUIDE, TUNED, *list_modes())}
    for number in range(1, rounds + 1):
        wait_for_rest()
        before_round()
        for variant in variants.values():
            wait_for_rest()
            product = scratch / f"{variant.name}.npz"
            variant.seconds.append(run_variant(variant.name, pack, photos, product))
            variant.photos, variant.similarity = _compare(product, scratch / f"{GUIDE}.npz")
            if variant.name in EXACT_MODES and variant.similarity < EXACT_COSINE:
                raise AssertionError(f"{variant.name} is not exact: {variant.similarity:.6f}")
            report(
                f"round {number}, {variant.name}: "
                f"{1000 * variant.seconds[-1] / variant.photos:.0f} ms a photo"
            )
    return variants


def wait_for_rest() -> None:
    """Wait until nothing else computes on this machine."""
    deadline = time.monotonic() + REST_LIMIT_S
    while psutil.cpu_percent(0.5) > REST_PERCENT and time.monotonic() < deadline:
        pass


def run_variant(name: str, pack: Path, photos: Path, product: Path) -> float:
    """Run a variant in a process of its own: its seconds; what it found goes to `product`."""
    command = [sys.executable, "-m", "benchmarks.engine.variants", name, str(pack), str(photos)]
    done = subprocess.run([*command, str(product)], check=True, stdout=subprocess.PIPE, text=True)
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def _compare(product: Path, reference: Path) -> tuple[int, float]:
    """Photos, and the smallest cosine between the two variants' vectors of one face."""
    with np.load(product) as ours, np.load(reference) as theirs:
        if ours["counts"].tolist() != theirs["counts"].tolist():
            raise AssertionError(f"{product.stem} found other faces than {reference.stem}")
        order = match_faces(ours["boxes"], theirs["boxes"], ours["counts"])
        return len(ours["counts"]), compute_similarity(ours["vectors"][order], theirs["vectors"])


def match_faces(
    ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32], counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """For each face of theirs the position of ours: the nearest boxes of the photo, one to one.

    Not by rank: nearly equal scores change places where the precision is lower. boxes: (F, 4) in
    0..1, photo after photo; counts: faces of each photo.
    """
    order, begin = [], 0
    for count in counts:
        of_photo = slice(begin, begin + count)
        apart = np.abs(theirs[of_photo, np.newaxis] - ours[np.newaxis, of_photo]).sum(axis=2)
        order.extend(begin + linear_sum_assignment(apart)[1])
        begin += count
    return np.array(order, np.int64)


def compute_similarity(ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32]) -> float:
    """The smallest cosine of two lists of unit vectors, pair by pair; 1 without any."""
    return float((ours * theirs).sum(axis=1).min()) if len(ours) else 1.0


def write_photos(folder: Path, photos: Sequence[bytes]) -> None:
    """Lay photos out where the variants find them."""
    folder.mkdir(parents=True)
    for number, content in enumerate(photos):
        (folder / f"{number:04}.jpg").write_bytes(content)
