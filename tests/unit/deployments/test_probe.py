"""The images' health check, against a real server."""

import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from deployments.probe import main, probe


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response({"/well": 200, "/ill": 503}.get(self.path, 404))
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_it_is_well_when_it_answers_200(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # A proxy of the environment must not be asked for loopback.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert probe(port, "/well") is None
    assert main([str(port), "/well"]) == 0


def test_any_other_answer_is_told(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(port), "/ill"]) == 1
    assert capsys.readouterr().err == f"/ill on port {port} answers 503.\n"


def test_no_answer_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        closed = server.server_port
    assert main([str(closed), "/well"]) == 1
    assert capsys.readouterr().err.startswith(f"No answer on port {closed}: ")


@pytest.mark.parametrize("arguments", [[], ["8000"], ["here", "/health"], ["8000", "health"]])
def test_what_it_does_not_understand_is_told(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert "python -m deployments.probe 8000 /health" in capsys.readouterr().err


def test_it_starts_without_what_the_product_needs(port: int) -> None:
    # Every half a minute in each container: -S has no installed package at all.
    command = [sys.executable, "-S", "-m", "deployments.probe", str(port), "/well"]
    assert subprocess.run(command, check=False, timeout=30).returncode == 0
