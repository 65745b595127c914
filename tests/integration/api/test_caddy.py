"""The public server's Caddyfile before a real API: TLS, callers' addresses, what stays inside.

Skipped where no `caddy` is installed.
"""

import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deployments.stack.ports import pick_free_ports
from tests.support.public_api import KEY, name_keys, serve_api
from tests.support.waiting import wait_until

CADDY = shutil.which("caddy")
CADDYFILE = Path(__file__).parents[3] / "deployments" / "Caddyfile"
pytestmark = pytest.mark.skipif(CADDY is None, reason="no caddy on this machine")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Caddy's own."""
    return tmp_path_factory.mktemp("caddy")


@pytest.fixture(scope="module")
def site(joined_stack: dict[str, str], folder: Path) -> Iterator[str]:
    """The public address of an API behind Caddy."""
    https_port, http_port = pick_free_ports(2)
    url = f"https://localhost:{https_port}"
    settings = {
        **joined_stack,
        "FACEPASS_API_KEYS": name_keys(anna=KEY),
        "FACEPASS_PUBLIC_URL": url,
        "FACEPASS_TRUSTED_PROXIES": "127.0.0.1",
        "FACEPASS_GUEST_RATE_LIMIT": "8/minute",
    }
    # Its own authority's certificate, for a name that none other signs; left out of the system's.
    own = f"admin off\n\tskip_install_trust\n\thttp_port {http_port}"
    (folder / "Caddyfile").write_text(CADDYFILE.read_text("utf-8").replace("admin off", own))
    with serve_api(folder, ["api"], settings) as api:
        environment = {
            **os.environ,
            "PUBLIC_HOST": url.removeprefix("https://"),
            "API_ADDRESS": api.url.removeprefix("http://"),
            "XDG_DATA_HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder),
        }
        with (folder / "caddy.log").open("wb") as log:
            caddy = subprocess.Popen(
                [str(CADDY), "run", "--adapter", "caddyfile", "--config", folder / "Caddyfile"],
                env=environment,
                stdout=log,
                stderr=log,
            )
        try:
            yield url
        finally:
            caddy.terminate()
            caddy.wait(20)


@pytest.fixture(scope="module")
def phone(site: str, folder: Path) -> Iterator[httpx.Client]:
    """A client that trusts Caddy's own authority and nobody else."""
    root = folder / "caddy" / "pki" / "authorities" / "local" / "root.crt"

    def answers() -> bool:
        try:
            return (
                root.exists()
                and httpx.get(f"{site}/health", verify=trust(root), trust_env=False).is_success
            )
        except (httpx.TransportError, ssl.SSLError):  # half written
            return False

    wait_until(answers, 60)
    with httpx.Client(base_url=site, verify=trust(root), trust_env=False, timeout=30) as client:
        yield client


def trust(root: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(root))


def test_a_guest_opens_a_link_with_tls_and_every_picture_comes_from_that_name(
    site: str, phone: httpx.Client
) -> None:
    assert phone.get("/api/v1/events").status_code == 401
    added = phone.post(
        "/api/v1/events", json={"name": "Свадьба"}, headers={b"X-API-Key": KEY.encode()}
    )
    link = added.json()["gallery_url"]
    assert link.startswith(f"{site}/gallery/")
    page = phone.get(link, headers={"Accept": "text/html", "Accept-Encoding": "gzip"})
    assert page.status_code == 200
    assert "Свадьба" in page.text
    assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert page.headers["Content-Encoding"] == "gzip"
    assert "127.0.0.1" not in page.text


@pytest.mark.parametrize(
    "path", ["/metrics", "/metrics/", "//metrics", "/%6detrics", "/x/../metrics"]
)
def test_the_operator_s_counts_stay_inside(phone: httpx.Client, path: str) -> None:
    answer = phone.get(path, follow_redirects=True)
    assert answer.status_code in {400, 404}, path
    assert "facepass_" not in answer.text


def test_a_caller_cannot_say_who_it_is(phone: httpx.Client) -> None:
    statuses = [
        phone.get("/gallery/nobody", headers={"X-Forwarded-For": f"198.51.100.{n}"}).status_code
        for n in range(12)
    ]
    assert 429 in statuses
