"""Functions that join the stack that runs in a home folder, where it leaves its variables."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from models.errors import StackError

ENV_FILE = "stack.env"
PUSH_ENV_FILE = "push.env"
LOOPBACK = "127.0.0.1"


def spare_loopback(environment: Mapping[str, str], *others: str) -> dict[str, str]:
    """Both spellings of the variable that keeps the proxy away from this machine's servers.

    others: what else they are called, as in the local network.
    """
    around = environment.get("NO_PROXY") or environment.get("no_proxy")
    spared = dict.fromkeys(filter(None, [around, LOOPBACK, "localhost", *others]))  # each once
    return dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(spared))


def read_stack(home: Path, file: str = ENV_FILE) -> dict[str, str]:
    """The variables of the stack that runs in this home. Raises StackError where none does."""
    try:
        lines = shlex.split((home / file).read_text("utf-8"))
    except OSError as error:
        raise StackError(
            "No stack is running here: start `make up` in another terminal."
        ) from error
    return dict(line.split("=", 1) for line in lines)
