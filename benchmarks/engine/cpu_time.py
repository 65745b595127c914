"""Processor time of each part of a running stack."""

from collections import Counter

import psutil  # type: ignore[import-untyped]  # publishes no types, and its stubs are not locked

# A word of the command line -> the part; the first that fits.
PARTS = {
    "dask scheduler": "Dask scheduler",
    "dask worker": "Dask workers",
    "scaling_dask_worker": "Dask workers",
    "server start": "Prefect server",
    "prefect.server": "Prefect server",
    "worker start": "others",
    "weed": "S3",
    "postgres": "PostgreSQL",
}


def measure_cpu() -> Counter[str]:
    """Part -> seconds so far, of this process's descendants and what they have waited for."""
    seconds: Counter[str] = Counter()
    for process in psutil.Process().children(recursive=True):
        try:
            words, times = " ".join(process.cmdline()), process.cpu_times()
        except psutil.Error:
            continue  # it has ended
        part = next((part for word, part in PARTS.items() if word in words), "others")
        ended = times.children_user + times.children_system
        seconds[part] += times.user + times.system + ended
    return seconds
