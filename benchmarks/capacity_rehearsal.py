"""What a sync costs Prefect's server and its database: as many as it takes, without their work."""

import json
import subprocess
import sys
import time

import psutil  # type: ignore[import-untyped]  # publishes no types, and its stubs are not locked
from rich.console import Console
from rich.table import Table

from benchmarks.capacity_growth import compute_growth, open_prefect, read_growth
from benchmarks.latency_stack import Doors
from models.errors import StackError

RUNNERS, THREADS = 2, 4  # processes, and syncs at a time in each
WEDDING = 3_000  # photos
SETTLE_S = 60.0


def measure_rehearsal(doors: Doors, seconds: float, console: Console) -> dict[str, float]:
    """Run syncs of a wedding's shape for so long; the figures of the last line."""
    prefect = open_prefect(doors.database)
    server = find_part("server", "start")
    before, used = read_growth(prefect), sum(server.cpu_times()[:2])
    argv = [sys.executable, "-m", "benchmarks.capacity_day_flow"]
    argv += [str(seconds), str(THREADS), str(WEDDING)]
    quiet = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR"}  # on the terminal alone
    environment = {**psutil.Process().environ(), **doors.environment, **quiet}
    runners = [
        subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(RUNNERS)
    ]
    ended = [_read_runner(runner) for runner in runners]
    runs = int(sum(one["runs"] for one in ended))
    took = max(one["seconds"] for one in ended)
    lag = _wait_for_recorder(doors)
    server_s = (sum(server.cpu_times()[:2]) - used) / runs
    growth = compute_growth(before, read_growth(prefect), runs)
    prefect.dispose()
    table = Table(title=f"What a sync of {WEDDING:,} photos leaves in Prefect's database")
    for heading in ("table", "rows a run", "KB a run"):
        table.add_column(heading, justify="left" if heading == "table" else "right")
    for name, one in growth.items():
        table.add_row(name, f"{one.rows:.1f}", f"{one.bytes / 1e3:.1f}")
    console.print(table)
    client_s = sum(one["cpu_s"] for one in ended) / runs
    console.print(
        f"{runs} syncs in {took:.0f} s; processor time a sync: server {server_s:.2f} s, its own "
        f"tasks and artifacts {client_s:.2f} s; the last task run was recorded {lag:.0f} s after."
    )
    return {
        "syncs_a_minute": 60 * runs / took,
        "server_cpu_s_a_sync": server_s,
        "client_cpu_s_a_sync": client_s,
        "recorder_lag_s": lag,
        "prefect_kb_a_sync": sum(one.bytes for one in growth.values()) / 1e3,
    }


def _read_runner(runner: "subprocess.Popen[str]") -> dict[str, float]:
    answer, _ = runner.communicate()
    if runner.returncode:
        raise StackError("A runner of the rehearsal failed; its error is above.")
    figures: dict[str, float] = json.loads(answer.splitlines()[-1])
    return figures


def _wait_for_recorder(doors: Doors) -> float:
    """Seconds until no more task runs appear; SETTLE_S at most."""
    began = time.monotonic()
    last, changed = -1, began
    while time.monotonic() - changed < 12 and time.monotonic() - began < SETTLE_S:
        count = int(doors.prefect.post("task_runs/count", json={}).raise_for_status().json())
        if count != last:
            last, changed = count, time.monotonic()
        time.sleep(0.5)
    return changed - began


def find_part(*words: str) -> psutil.Process:
    """The stack's process with these words in its command line. Raises StackError."""
    for child in psutil.Process().children(recursive=True):
        if set(words) <= set(child.cmdline()):
            return child
    raise StackError(f"No process of the stack is called {' '.join(words)}.")
