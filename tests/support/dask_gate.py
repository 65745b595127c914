"""Loaded by the tests' Dask workers: notes what they do, and waits or dies where it is told to.

What it is told are files in the folder DASK_GATE: `die` kills the first worker that has stored a
slice of photos, `hold` stops whoever is about to store one.
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


def dask_setup(worker: object) -> None:
    """Called by Dask in each worker, before its first task."""
    from tasks.faces import engine
    from tasks.sync import batch

    folder = Path(os.environ["DASK_GATE"])

    def note(what: str) -> None:
        with (folder / what).open("a") as file:
            file.write(f"{os.getpid()}\n")

    def note_calls(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **kwargs: Any) -> Any:
            note(what)
            return function(*args, **kwargs)

        return noted

    store_slice = batch.store_slice

    def store_slice_at_gate(*args: Any) -> None:
        note("stored")
        while (folder / "hold").exists():
            (folder / "held").touch()
            time.sleep(0.02)
        store_slice(*args)
        with suppress(FileNotFoundError):
            (folder / "die").unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    engine.load_analysis = note_calls("loaded", engine.load_analysis)
    batch.store_slice = store_slice_at_gate
