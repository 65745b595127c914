"""The command `python -m api`, which serves the API with uvicorn.

The settings give the address. Without API keys it refuses an address that other machines can reach.
"""

import sys
from argparse import ArgumentParser

import uvicorn

from api.app import create_app
from api.logs.config import build_log_config
from api.security import is_loopback, read_api_keys
from api.webhooks import read_receiver
from deployments.orchestrator import check_server_address
from models.errors import ConfigurationError, FacePassError
from models.settings import Settings, get_settings


def check_exposure(settings: Settings) -> None:
    """Raise ConfigurationError for an address of other machines while no keys are set."""
    if read_api_keys(settings) or is_loopback(settings.api_host):
        return
    raise ConfigurationError(
        f"FACEPASS_API_HOST={settings.api_host} would open the API to others without a key: "
        "set FACEPASS_API_KEYS, or listen on 127.0.0.1. `make up LAN=1` makes a key by itself, "
        "for phones of the same network."
    )


def main() -> int:
    """Check the settings, then serve until told to stop."""
    try:
        settings = get_settings()
        check_exposure(settings)
        settings.require_database_url()
        read_receiver(settings)
        check_server_address()
    except FacePassError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    uvicorn.run(
        create_app(),
        host=settings.api_host,
        port=settings.api_port,
        access_log=False,  # prints paths, and so gallery tokens; api.middleware has the calls
        log_config=build_log_config(settings.log_format),
        proxy_headers=settings.trusted_proxies is not None,
        forwarded_allow_ips=settings.trusted_proxies or "",
        server_header=False,
    )
    return 0


if __name__ == "__main__":
    description = "Serve the REST API and the gallery where the settings say."
    ArgumentParser(prog="python -m api", description=description).parse_args()
    sys.exit(main())
