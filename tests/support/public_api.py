"""The API as its own process, with keys: what the public meets, and what it writes down."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

KEY = "анна's key, which no log may hold"
START_LIMIT_S = 60


@dataclass
class PublicApi:
    """A served API; `log` is all it printed."""

    url: str
    output: Path
    process: "subprocess.Popen[bytes]"

    def log(self) -> str:
        """What it has written so far."""
        return self.output.read_text("utf-8")

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.wait()

    def open(self, *, key: str | None = KEY) -> httpx.Client:
        """A client, with a key unless told otherwise."""
        headers = {b"X-API-Key": key.encode()} if key else {}
        return httpx.Client(base_url=self.url, timeout=30, trust_env=False, headers=headers)


@contextmanager
def serve_api(folder: Path, argv: list[str], settings: Mapping[str, str]) -> Iterator[PublicApi]:
    """Run a server of the API, `{port}` in its arguments replaced by a free one."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    output = folder / "api.log"
    command = [part.replace("{port}", port) for part in argv]
    environment = os.environ | {"FACEPASS_API_PORT": port, **settings}
    with output.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], env=environment, stdout=log, stderr=log
        )
    api = PublicApi(f"http://127.0.0.1:{port}", output, process)
    try:
        _wait_for(api)
        yield api
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def name_keys(**keys: str) -> str:
    """FACEPASS_API_KEYS for these."""
    return ",".join(f"{name}:{sha256(key.encode()).hexdigest()}" for name, key in keys.items())


def _wait_for(api: PublicApi) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and api.process.poll() is None:
        try:
            httpx.get(f"{api.url}/health", trust_env=False)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"The API did not start:\n{api.log()[-3000:]}")
