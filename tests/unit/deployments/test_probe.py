"""The images' health check, against a real server."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from deployments.probe import main, probe
from tests.support.http_server import QuietHandler, serve_http


class Answers(QuietHandler):
    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        self.answer({"/well": 200, "/ill": 503, "/get": 200}.get(self.path, 404))

    def do_HEAD(self) -> None:  # noqa: N802 (http.server's name)
        self.answer({"/well": 200, "/ill": 503, "/get": 405, "/head": 200}.get(self.path, 404))


class OnlyGet(QuietHandler):
    def do_GET(self) -> None:  # noqa: N802 (http.server's name)
        self.answer(200)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serve_http(Answers) as url:
        yield int(url.rpartition(":")[2])


def test_it_is_well_when_it_answers_200(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # A proxy of the environment must not be asked for loopback.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert probe(port, "/well") is None
    assert main([str(port), "/well"]) == 0


def test_it_asks_by_head_and_by_get_where_a_server_has_no_head(port: int) -> None:
    assert probe(port, "/head") is None
    assert probe(port, "/get") is None
    with serve_http(OnlyGet) as url:
        assert probe(int(url.rpartition(":")[2]), "/well") is None


def test_any_other_answer_is_told(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(port), "/ill"]) == 1
    assert capsys.readouterr().err == f"/ill on port {port} answers 503.\n"


def test_no_answer_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with serve_http(Answers) as url:
        closed = int(url.rpartition(":")[2])
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
