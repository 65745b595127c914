"""Fixtures: one real stack a session for whoever asks for it, nothing for the others."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

# Tests never touch what a developer has configured.
for name in [name for name in os.environ if name.startswith(("FACEPASS_", "PREFECT_", "AWS_"))]:
    if name != "AWS_CA_BUNDLE":
        del os.environ[name]
# Before anything of Prefect or of the product is imported: both read the environment on import.
os.environ["FACEPASS_RETRY_DELAY_S"] = "1"
# Each run of a flow takes seconds of a core; tests of views start them.
os.environ["FACEPASS_MAKE_VIEWS"] = "0"
os.environ["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "false"
# Logs of in-process runs would be sent after the server is gone, and waited for.
os.environ["PREFECT_LOGGING_TO_API_ENABLED"] = "false"

ROOT = Path(__file__).parent.parent
START_LIMIT_S = 300


@pytest.fixture(scope="session")
def models_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this session's model packs are assembled, once."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def stack_environment(models_root: Path) -> Iterator[dict[str, str]]:
    """A running stack on free ports; its stack.env. Gone afterwards, also when pytest is killed."""
    # A short path: PostgreSQL's sockets do not like long ones, and pytest's own are long.
    with tempfile.TemporaryDirectory(prefix="fp-") as folder:
        home = Path(folder)
        log = home / "stack.out"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "deployments.stack"],
                env=os.environ
                | {
                    "FACEPASS_HOME": str(home),
                    "FACEPASS_API_PORT": "0",
                    "FACEPASS_PREFECT_PORT": "0",
                    "FACEPASS_S3_PORT": "0",
                    "FACEPASS_MODEL_ROOT": str(models_root),
                    # A schedule that a test makes is seen in seconds, not in a minute.
                    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
                },
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_pytest,
                start_new_session=True,
            )
        try:
            environment = _wait_for_environment(process, home, log)
            _pause_hourly_resync(environment)
            yield environment
        finally:
            if process.poll() is not None:
                sys.stderr.write(f"The stack ended by itself:\n{log.read_text()[-3000:]}")
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _die_with_pytest() -> None:
    from deployments.stack.process import die_with_parent

    die_with_parent(signal.SIGTERM)


def _wait_for_environment(
    process: "subprocess.Popen[bytes]", home: Path, log: Path
) -> dict[str, str]:
    deadline = time.monotonic() + START_LIMIT_S
    while not (home / "stack.env").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"The stack did not start:\n{log.read_text()[-3000:]}")
        time.sleep(0.1)
    import shlex

    lines = shlex.split((home / "stack.env").read_text())
    return dict(line.split("=", 1) for line in lines)


def _pause_hourly_resync(environment: dict[str, str]) -> None:
    """Keep the hour out of the tests: a resync would take up an event that a test is about."""
    from deployments.names import RESYNC_DEPLOYMENT
    from deployments.stack.prefect import open_prefect_client

    with open_prefect_client(environment) as client:
        deployment = client.get(f"deployments/name/{RESYNC_DEPLOYMENT}").raise_for_status().json()
        for schedule in deployment["schedules"]:
            path = f"deployments/{deployment['id']}/schedules/{schedule['id']}"
            client.patch(path, json={"active": False}).raise_for_status()
