"""What Prefect's refusals and silence mean."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import get_current_settings

from deployments.names import SYNC_DEPLOYMENT, WORK_POOL
from models.errors import OrchestratorUnavailableError

_KEY_REFUSED = (
    "Prefect's server refuses this API: check PREFECT_API_KEY or PREFECT_API_AUTH_STRING."
)
_REFUSALS = {
    401: _KEY_REFUSED,
    403: _KEY_REFUSED,
    422: f"The work pool {WORK_POOL} lacks a value that its profile requires: give its variables "
    "in Prefect (Work Pools, Edit) what docs/scaling.md asks for.",
}
_UNREACHABLE = "Prefect's server cannot be reached: check PREFECT_API_URL and that it is running."


@contextmanager
def map_prefect_errors(deployment: str = SYNC_DEPLOYMENT) -> Iterator[None]:
    """Raise Prefect's errors of the block as OrchestratorUnavailableError, in words.

    `deployment`: the one that is not there where Prefect does not find what was asked for.
    """
    try:
        yield
    except ObjectNotFound as error:
        raise OrchestratorUnavailableError(
            f"The deployment {deployment} is not there: "
            "run `prefect --no-prompt deploy --all` in the project's folder."
        ) from error
    except PrefectHTTPStatusError as error:
        status = error.response.status_code
        unknown = f"Prefect's server answered {status}: its log says why."
        raise OrchestratorUnavailableError(_REFUSALS.get(status, unknown)) from error
    except httpx.TransportError as error:
        raise OrchestratorUnavailableError(_UNREACHABLE) from error


def check_server_address() -> None:
    """Raise OrchestratorUnavailableError unless a Prefect server is configured."""
    if not get_current_settings().api.url:
        raise OrchestratorUnavailableError(
            "No Prefect server is configured: set PREFECT_API_URL (or run `make up`)."
        )
