"""A run's log lines on its worker's console, when the worker is no longer there.

A flow run's process writes to a pipe that its worker reads. Once the worker has been killed, Rich,
through which Prefect logs, ends the process at the next line: a sync that could go on would die
of its own log. Prefect's server has the lines anyway.
"""

import logging
from functools import partial

from prefect.logging.handlers import PrefectConsoleHandler
from rich.console import Console


def outlive_worker() -> None:
    """Have this process log to nobody, rather than end, once nobody reads its console."""
    loggers = [logging.getLogger(), *logging.root.manager.loggerDict.values()]
    for logger in loggers:
        for handler in getattr(logger, "handlers", ()):
            if isinstance(handler, PrefectConsoleHandler):
                keep_alive(handler.console)


def keep_alive(console: Console) -> None:
    """Replace what Rich does for a pipe that nobody reads: it raises SystemExit."""
    console.on_broken_pipe = partial(_fall_silent, console)  # type: ignore[method-assign]


def _fall_silent(console: Console) -> None:
    console.quiet = True
