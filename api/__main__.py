"""`python -m api`: serve the API where the settings say."""

import sys
from ipaddress import ip_address

import uvicorn

from api.app import create_app
from api.deps import read_api_keys
from deployments.orchestrator import check_server_address
from models.errors import ConfigurationError, FacePassError
from models.settings import Settings, get_settings


def check_exposure(settings: Settings) -> None:
    """Without photographers' keys the API answers this machine only.

    Raises ConfigurationError for any other address.
    """
    if read_api_keys(settings) or _is_loopback(settings.api_host):
        return
    raise ConfigurationError(
        f"FACEPASS_API_HOST={settings.api_host} would open the API to others without a key: "
        "set FACEPASS_API_KEYS, or listen on 127.0.0.1."
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


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
    uvicorn.run(create_app(), host=settings.api_host, port=settings.api_port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
