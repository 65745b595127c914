"""The configuration of the API's log: uvicorn's own, with the product's loggers and our formats."""

from copy import deepcopy
from typing import Any, Literal

import uvicorn

ROOMS = ("api", "models", "tasks")


def build_log_config(log_format: Literal["text", "json"]) -> dict[str, Any]:
    """What `logging.config.dictConfig` takes: the time in each line, or one JSON object each."""
    config = deepcopy(uvicorn.config.LOGGING_CONFIG)
    if log_format == "json":
        formatter = {"()": "api.logs.json_lines.JsonFormatter"}
        config["formatters"] = dict.fromkeys(config["formatters"], formatter)
    else:
        config["formatters"]["default"]["fmt"] = "%(asctime)s %(levelprefix)s %(message)s"
    for room in ROOMS:
        config["loggers"][room] = {"handlers": ["default"], "level": "INFO", "propagate": False}
    return config
