"""A real stack opened to the local network: one port for a guest's phone, a key for all else."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from deployments.qr import find_lan_address
from tests.integration.stack.test_stack import ROOT, RunningStack, launch, list_ports, wait_for
from tests.support.photos import encode_jpeg, read_sample

ADDRESS = find_lan_address()
pytestmark = pytest.mark.skipif(ADDRESS is None, reason="this machine has no address but loopback")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, models_root: Path) -> Iterator[RunningStack]:
    home = tmp_path_factory.mktemp("stack") / "lan"
    overrides = {"FACEPASS_MODEL_ROOT": str(models_root)}
    running = launch(home, "--lan", **overrides)
    wait_for((home / "stack.env").exists, running, 300)
    yield running
    if running.process.poll() is None:
        running.end()


def run_facepass(stack: RunningStack, *words: str) -> str:
    """A subcommand that finds the stack by its home alone; its standard output."""
    environment = {"FACEPASS_HOME": str(stack.home), "PATH": "/usr/bin:/bin", "TERM": "dumb"}
    told = subprocess.run(
        [sys.executable, "-m", "deployments.facepass", *words],
        env={**environment, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return told.stdout.strip()


def test_the_api_s_port_is_the_only_one_in_the_network(stack: RunningStack) -> None:
    api_url = stack.environment["FACEPASS_API_URL"]
    assert api_url.startswith(f"http://{ADDRESS}:")
    reachable = {
        (connection.laddr.ip, connection.laddr.port)
        for process in stack.descendants()
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and not connection.laddr.ip.startswith("127.")
    }
    assert reachable == {(ADDRESS, int(api_url.rsplit(":", 1)[1]))}
    for _, port in list_ports(stack) - reachable:
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://{ADDRESS}:{port}", trust_env=False, timeout=5)


def test_photographers_need_the_key_that_was_made(stack: RunningStack) -> None:
    events = f"{stack.environment['FACEPASS_API_URL']}/api/v1/events"
    assert httpx.get(events, trust_env=False).status_code == 401
    key = {"X-API-Key": stack.environment["FACEPASS_API_KEY"]}
    assert httpx.get(events, headers=key, trust_env=False).json() == []


def test_the_terminal_shows_the_link_and_its_code(stack: RunningStack) -> None:
    wait_for(lambda: "same Wi-Fi" in stack.output.read_text(), stack, 30)
    told = stack.output.read_text()
    assert f"For phones in the same network: {stack.environment['FACEPASS_API_URL']}" in told
    assert "▄" in told
    assert stack.environment["FACEPASS_API_KEY"] not in told


def test_a_guest_s_phone_sees_the_photos_of_a_push_through_that_port(
    stack: RunningStack, tmp_path: Path
) -> None:
    (tmp_path / "IMG_1.jpg").write_bytes(encode_jpeg(read_sample("astronaut.png")))
    link = run_facepass(stack, "push", str(tmp_path), "--event", "Свадьба")
    api_url = stack.environment["FACEPASS_API_URL"]
    assert link.startswith(f"{api_url}/gallery/")

    with httpx.Client(trust_env=False, follow_redirects=False, timeout=60) as phone:
        page = phone.get(link, headers={"Accept": "text/html"})
        pictures = set(re.findall(r'(?:src|href)="([^"]+/photos/[^"]+)"', page.text))
        assert page.status_code == 200
        assert "127.0.0.1" not in page.text
        assert any("thumb" in picture for picture in pictures)
        for picture in pictures:
            assert picture.startswith(("/gallery/", api_url)), picture
            answer = phone.get(httpx.URL(link).join(picture))
            assert answer.status_code == 200, picture
        original = phone.get(f"{link}/photos/1/original")
        assert (original.status_code, original.headers["content-type"]) == (200, "image/jpeg")


def test_a_demo_event_s_link_is_for_phones_too(stack: RunningStack) -> None:
    link = run_facepass(stack, "demo-event")
    assert link.startswith(f"{stack.environment['FACEPASS_API_URL']}/gallery/")
    assert httpx.get(link, trust_env=False).status_code == 200
