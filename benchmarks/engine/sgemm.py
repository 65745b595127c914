"""Numpy's float32 matrix product, timed: `python -m benchmarks.engine.sgemm ROUNDS`, in GFLOP/s."""

import sys
import time

import numpy as np

SIDE = 2048  # large enough for BLAS to be at its best, a tenth of a second on two cores


def time_sgemm(rounds: int) -> float:
    """The best GFLOP/s of so many products, with as many threads as BLAS was given."""
    matrix = np.random.default_rng(1).standard_normal((SIDE, SIDE), dtype=np.float32)
    product = matrix @ matrix  # the first one starts the threads
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        np.matmul(matrix, matrix, out=product)
        seconds.append(time.perf_counter() - start)
    return 2e-9 * SIDE**3 / min(seconds)


if __name__ == "__main__":
    sys.stdout.write(f"{time_sgemm(int(sys.argv[1])):.3f}\n")
