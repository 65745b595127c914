"""The most that this machine's cores can compute, in GFLOP/s: the peak that shares are taken of."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import FacePassError

SOURCE = Path(__file__).with_name("fma_peak.c")
COMPILER = "cc"
FLAGS = ("-O3", "-march=native", "-std=c11", "-pthread")
ROUNDS = 3  # the best counts: whatever else runs on the machine only takes away
ROUND_S = 0.3
LIMIT_S = 120
BLAS_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@dataclass(frozen=True)
class Peak:
    """GFLOP/s of some cores together, a multiply-add being two; `method` says how it was found.

    `gflops` is of float32; `bf16_gflops` of bfloat16 products summed in float32, None where the
    CPU has no such instruction or no compiler was there to use it.
    """

    cores: int
    gflops: float
    method: str
    bf16_gflops: float | None = None


class PeakMeasurementError(FacePassError):
    """The peak of this machine could not be measured."""


def measure_peak(cores: int) -> Peak:
    """Measure so many cores at once, in about two seconds; best with nothing else running.

    With a C compiler: multiply-adds that never leave the registers, so no program is faster.
    Without: numpy's matrix product, which reaches most of that. Raises PeakMeasurementError.
    """
    return _measure_registers(cores) or _measure_sgemm(cores)


def _measure_registers(cores: int) -> Peak | None:
    """None where nothing compiles."""
    compiler = shutil.which(COMPILER)
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory(prefix="fp-peak-") as folder:
        program = str(Path(folder, "fma_peak"))
        built = subprocess.run(
            [compiler, *FLAGS, str(SOURCE), "-o", program],
            capture_output=True,
            check=False,
            timeout=LIMIT_S,
        )
        if built.returncode:
            return None
        answers = [_run([program, str(cores), str(ROUND_S)]) for _ in range(ROUNDS)]
    best: dict[str, float] = {}
    lines = [line.split() for answer in answers for line in answer.splitlines()]
    for name, _, gflops in lines:
        best[name] = max(best.get(name, 0.0), float(gflops))
    method = (
        f"fused multiply-adds in {lines[0][1]}-bit registers ({COMPILER} {FLAGS[1]}), "
        f"{cores} threads, best of {ROUNDS} x {ROUND_S} s"
    )
    return Peak(cores, best["fp32"], method, best.get("bf16"))


def take_median(peaks: Sequence[Peak]) -> Peak:
    """The one in the middle of several measurements; of two the smaller."""
    return sorted(peaks, key=lambda peak: peak.gflops)[(len(peaks) - 1) // 2]


def _measure_sgemm(cores: int) -> Peak:
    from benchmarks.engine import sgemm

    # A process of its own: BLAS reads how many threads it may use when it is loaded.
    threads = dict.fromkeys(BLAS_THREADS, str(cores))
    answer = _run([sys.executable, "-m", sgemm.__name__, str(ROUNDS)], threads)
    method = (
        f"numpy float32 matrix product, {sgemm.SIDE} x {sgemm.SIDE}, {cores} threads, "
        f"best of {ROUNDS}; no C compiler was of use, so the real peak is higher"
    )
    return Peak(cores, float(answer), method)


def _run(command: list[str], environment: dict[str, str] | None = None) -> str:
    result = subprocess.run(
        command,
        env=os.environ | (environment or {}),
        cwd=SOURCE.parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    if result.returncode:
        raise PeakMeasurementError(
            f"{Path(command[0]).name} ended with {result.returncode}: {result.stderr[-300:]}"
        )
    return result.stdout
