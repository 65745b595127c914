"""A sync outlives the worker that reads its console."""

import logging
import os
from collections.abc import Iterator

import pytest
from prefect.logging.handlers import PrefectConsoleHandler

from tasks.sync.hold import outlive_worker


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """One whose console is a pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    logger = logging.getLogger("prefect.flow_runs.of_a_dead_worker")
    logger.propagate = False
    with os.fdopen(writing, "w", buffering=1) as stream:
        handler = PrefectConsoleHandler(stream)
        logger.addHandler(handler)
        yield logger
        logger.removeHandler(handler)
        handler.close()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)  # what is left can be flushed


def test_without_it_the_next_line_of_the_log_ends_the_process(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rich.console.os.dup2", lambda *_: None)  # not to this process's own
    with pytest.raises(SystemExit):
        logger.error("Processed 10 new photos...")


def test_with_it_the_process_goes_on_and_keeps_nothing(logger: logging.Logger) -> None:
    outlive_worker()
    for _ in range(3):
        logger.error("Processed 10 new photos...")
    (console,) = [h.console for h in logger.handlers if isinstance(h, PrefectConsoleHandler)]
    assert console.quiet
    assert not console._buffer
