"""Tests of the end of a benchmark's program."""

import os
import signal
from collections.abc import Callable
from io import StringIO

import httpx
import pytest
from rich.console import Console

from benchmarks.ending import run_to_exit_code
from models.errors import StackError


def fail(error: Exception) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()


@pytest.mark.parametrize(
    ("work", "code", "said"),
    [
        (lambda: None, 0, ""),
        (fail(StackError("S3 did not start.")), 1, "S3 did not start.\n"),
        (fail(httpx.ConnectError("refused")), 1, "refused\n"),
        (interrupt, 130, "Interrupted; everything is stopped.\n"),
    ],
)
def test_the_exit_code_and_the_sentence_say_how_it_went(
    work: Callable[[], None], code: int, said: str
) -> None:
    output = StringIO()
    assert run_to_exit_code(work, Console(file=output)) == code
    assert output.getvalue() == said


def test_a_mistake_of_the_bench_itself_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run_to_exit_code(fail(ZeroDivisionError()), Console(file=StringIO()))
