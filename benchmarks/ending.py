"""The end of a benchmark's program: its exit code, and a sentence where it failed."""

from collections.abc import Callable

import httpx
from rich.console import Console

from deployments.command_line.signals import interrupt_on_signals
from models.errors import FacePassError

INTERRUPTED = 130  # as shells count a program that Ctrl-C ended


def run_to_exit_code(work: Callable[[], None], console: Console) -> int:
    """Do the work; the program's exit code. Whatever `work` started it must end in `with` blocks.

    A stop signal is raised within it as KeyboardInterrupt.
    """
    with interrupt_on_signals():
        try:
            work()
        except KeyboardInterrupt:
            console.print("Interrupted; everything is stopped.")
            return INTERRUPTED
        except (FacePassError, httpx.HTTPError) as error:
            console.print(str(error), style="red", markup=False)
            return 1
    return 0
