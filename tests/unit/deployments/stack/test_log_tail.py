"""The end of a log: its last line is the one that names the cause."""

from pathlib import Path

import pytest

from deployments.stack.process import read_death, read_tail

# As a worker of Prefect 3.8 ended in CI; the paths are shortened.
EXCEPTION_GROUP = """\
18:58:53.343 | INFO    | prefect.flow_runs.worker - Flow run submitted to infrastructure
  + Exception Group Traceback (most recent call last):
  |   File "prefect/cli/worker.py", line 312, in start
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "anyio/_backends/_asyncio.py", line 2251, in acquire_on_behalf_of_nowait
    |     raise RuntimeError(
    | RuntimeError: this borrower is already holding one of this CapacityLimiter's tokens
    +------------------------------------
An exception occurred.
"""
BOX = """\
╭───────────────────── Traceback (most recent call last) ──────────────────────╮
│ /srv/facepass/worker.py:3 in start                                           │
│ ╭──── locals ─────╮                                                          │
│ │ limit = 2       │                                                          │
│ ╰─────────────────╯                                                          │
│ RuntimeError: the limiter is full                                            │
╰──────────────────────────────────────────────────────────────────────────────╯
"""
UVICORN = """\
Traceback (most recent call last):
  File "uvicorn/main.py", line 1, in run
sqlalchemy.exc.OperationalError: (psycopg2.OperationalError) connection refused
(Background on this error at: https://sqlalche.me/e/20/e3q8)

ERROR:    Application startup failed. Exiting.
"""
POSTGRES = """\
2026-01-01 10:00:00.000 UTC [1] LOG:  checkpoint starting: time
2026-01-01 10:00:00.000 UTC [7] PANIC:  could not write to file "pg_wal/xlogtemp.7": No space
2026-01-01 10:00:01.000 UTC [1] LOG:  terminating any other active server processes
2026-01-01 10:00:01.000 UTC [1] LOG:  database system is shut down
"""
REFUSED_CALLS = """\
2026-01-01 10:00:00.000 UTC [8] FATAL:  could not write to file "pg_wal/xlogtemp.8": No space
2026-01-01 10:00:00.100 UTC [9] FATAL:  the database system is not yet accepting connections
2026-01-01 10:00:00.100 UTC [9] DETAIL:  Consistent recovery state has not been yet reached.
2026-01-01 10:00:00.200 UTC [10] FATAL:  the database system is in recovery mode
2026-01-01 10:00:00.300 UTC [11] FATAL:  sorry, too many clients already
2026-01-01 10:00:00.400 UTC [12] FATAL:  terminating connection due to administrator command
2026-01-01 10:00:01.000 UTC [1] LOG:  database system is shut down
"""
GO = """\
panic: runtime error: invalid memory address or nil pointer dereference
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x1]

goroutine 1 [running]:
main.main()
""" + "\n".join(f"\t/src/file.go:{n} +0x1" for n in range(60))
CAUSES = {
    "group": (EXCEPTION_GROUP, "RuntimeError: this borrower is already holding"),
    "box": (BOX, "RuntimeError: the limiter is full"),
    "uvicorn": (UVICORN, "sqlalchemy.exc.OperationalError: (psycopg2.OperationalError)"),
    "postgres": (POSTGRES, "2026-01-01 10:00:00.000 UTC [7] PANIC:  could not write"),
    "refused calls": (REFUSED_CALLS, "2026-01-01 10:00:00.000 UTC [8] FATAL:  could not write"),
    "go": (GO, "panic: runtime error: invalid memory address"),
    "weed": ("F1122 10:00:00 s3.go:1] port is in use\nbye\n", "F1122 10:00:00 s3.go:1] port"),
}


@pytest.mark.parametrize(("text", "cause"), CAUSES.values(), ids=CAUSES)
def test_the_cause_is_the_last_line(tmp_path: Path, text: str, cause: str) -> None:
    (tmp_path / "part.log").write_text(text)
    shown = read_death(tmp_path / "part.log").splitlines()
    assert shown[-1].startswith(cause)
    assert len(shown) <= 20
    assert not [line for line in shown if not any(letter.isalnum() for letter in line)]


def test_a_cause_that_is_last_is_not_said_twice(tmp_path: Path) -> None:
    (tmp_path / "part.log").write_text("starting\nValueError: no\n\n")
    assert read_death(tmp_path / "part.log") == "starting\nValueError: no"


def test_without_a_cause_the_end_is_shown_as_it_is(tmp_path: Path) -> None:
    words = [f"10:00 | INFO | photo {n}: no error here" for n in range(50)]
    (tmp_path / "part.log").write_text("\n".join(words))
    assert read_death(tmp_path / "part.log", 3) == "\n".join(words[-3:])


def test_an_error_long_ago_is_not_the_cause(tmp_path: Path) -> None:
    (tmp_path / "part.log").write_text("ValueError: one photo\n" + "10:00 | INFO | on\n" * 80)
    assert "ValueError" not in read_death(tmp_path / "part.log")


def test_a_log_that_is_not_there_has_no_end(tmp_path: Path) -> None:
    assert read_tail(tmp_path / "part.log") == read_death(tmp_path / "part.log") == ""
