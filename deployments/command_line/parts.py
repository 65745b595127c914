"""The sentence for a command whose parts are not installed: photographers need the base alone."""

import sys

from models.errors import ConfigurationError

DISTRIBUTION = "facepass-sync"


def explain_missing(command: str, module: str | None) -> ConfigurationError | None:
    """The sentence for a command whose import of a module failed; None for one of our own."""
    top = (module or "").partition(".")[0]
    if top in {"", "api", "deployments", "flows", "models", "tasks"}:
        return None
    if top in sys.stdlib_module_names:  # fcntl, pwd: Python has them on Linux and macOS alone
        return ConfigurationError(
            f"facepass {command} runs on Linux and macOS only (Python has no {top} here): use a "
            "stack on another computer; its photographers need nothing of it."
        )
    return ConfigurationError(
        f"facepass {command} needs the server's parts ({top} is not installed): "
        f"pip install '{DISTRIBUTION}[server]'"
    )
