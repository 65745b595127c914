"""`python -m api`: serve the API where the settings say."""

import logging
import sys

import uvicorn

from api.app import create_app
from api.deps import is_loopback, read_api_keys
from deployments.orchestrator import check_server_address
from models.errors import ConfigurationError, FacePassError
from models.settings import Settings, get_settings


def check_exposure(settings: Settings) -> None:
    """Without photographers' keys the API answers this machine only.

    Raises ConfigurationError for any other address.
    """
    if read_api_keys(settings) or is_loopback(settings.api_host):
        return
    raise ConfigurationError(
        f"FACEPASS_API_HOST={settings.api_host} would open the API to others without a key: "
        "set FACEPASS_API_KEYS, or listen on 127.0.0.1."
    )


def main() -> int:
    """Check the settings, then serve until told to stop."""
    try:
        settings = get_settings()
        check_exposure(settings)
        settings.require_database_url()
        check_server_address()
    except FacePassError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # One line for each of our calls of Prefect's API would hide the rest.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # No access log of uvicorn's: it prints addresses, and a gallery's address is a key.
    uvicorn.run(
        create_app(),
        host=settings.api_host,
        port=settings.api_port,
        access_log=False,
        server_header=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
