"""The real stack as a subprocess: what `make up` promises, with as few starts as can be."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import httpx
import psutil
import psycopg2
import pytest
from botocore.config import Config

from deployments.names import SYNC_DEPLOYMENT, WORK_POOL
from deployments.stack.postgres import SUPERUSER
from deployments.stack.prefect import open_prefect_client
from deployments.stack.process import die_with_parent

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ROOT = Path(__file__).resolve().parents[3]
PORTS = ("FACEPASS_API_PORT", "FACEPASS_PREFECT_PORT", "FACEPASS_S3_PORT")


@dataclass
class RunningStack:
    """One `python -m deployments.stack` and what it wrote into stack.env."""

    process: "subprocess.Popen[bytes]"
    output: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        lines = (self.home / "stack.env").read_text().splitlines()
        return {key: shlex.split(value)[0] for key, _, value in (x.partition("=") for x in lines)}

    def descendants(self) -> list[psutil.Process]:
        return list(psutil.Process(self.process.pid).children(recursive=True))

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            family = [psutil.Process(self.process.pid), *self.descendants()]
            states = "\n".join(f"{p.pid} {p.status()} {' '.join(p.cmdline())}" for p in family)
            pytest.fail(f"Still there after 60 s:\n{states}\n{self.output.read_text()}")


def _begin_in_front() -> None:
    die_with_parent()
    # A shell's background jobs have SIGINT ignored, tests among them; a stack honours that.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def launch(
    home: Path,
    *options: str,
    python: str = sys.executable,
    uid: int | None = None,
    **overrides: str,
) -> RunningStack:
    """`make up` on this home, on free ports, as this user or another."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FACEPASS_", "PREFECT_"))}
    # Keys and profile of somebody else's S3 must not lead the children away.
    ours = {"FACEPASS_HOME": str(home), "AWS_PROFILE": "missing", **dict.fromkeys(PORTS, "0")}
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=home.parent, suffix=".out", delete=False) as file:
        process = subprocess.Popen(
            [python, "-m", "deployments.stack", *options],
            env={**kept, **ours, **overrides},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
            preexec_fn=_begin_in_front,
        )
    return RunningStack(process, Path(file.name), home)


def wait_for(condition: Callable[[], Any], stack: RunningStack, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert stack.process.poll() is None, stack.output.read_text()
        assert time.monotonic() < deadline, stack.output.read_text()
        time.sleep(0.1)


def start(home: Path, **overrides: str) -> RunningStack:
    """The stack when it is up."""
    stack = launch(home, **overrides)
    wait_for((home / "stack.env").exists, stack)
    return stack


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack") / "home with a space"


@pytest.fixture(scope="module")
def stack(home: Path) -> Iterator[RunningStack]:
    running = start(home)
    yield running
    if running.process.poll() is None:
        running.end()


def connect_s3(environment: dict[str, str]) -> "S3Client":
    return boto3.client(
        "s3",
        endpoint_url=environment["FACEPASS_S3_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
        config=Config(s3={"addressing_style": "path"}),
    )


def query(environment: dict[str, str], statement: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(environment["FACEPASS_DATABASE_URL"])
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []
    finally:
        connection.close()


def list_ports(stack: RunningStack) -> set[tuple[str, int]]:
    found = set()
    for process in [psutil.Process(stack.process.pid), *stack.descendants()]:
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                found.add((connection.laddr.ip, connection.laddr.port))
    return found


def test_every_part_answers_and_the_env_file_is_private(stack: RunningStack) -> None:
    environment = stack.environment
    assert (stack.home / "stack.env").stat().st_mode & 0o777 == 0o600
    assert environment["FACEPASS_HOME"] == str(stack.home)
    assert environment["FACEPASS_MODEL_PACK"] == "opencv_zoo"
    assert environment["PREFECT_LOCAL_STORAGE_PATH"] == str(stack.home / "results")
    assert httpx.get(f"{environment['FACEPASS_API_URL']}/health").status_code == 200
    with open_prefect_client(environment) as prefect:
        flow, name = SYNC_DEPLOYMENT.split("/")
        assert prefect.get(f"deployments/name/{flow}/{name}").status_code == 200
        workers = prefect.post(f"work_pools/{WORK_POOL}/workers/filter", json={}).json()
        assert [worker["status"] for worker in workers] == ["ONLINE"]
    assert query(environment, "SELECT 1 FROM pg_extension WHERE extname = 'vector'") == [(1,)]
    text = stack.output.read_text()
    for shown in (environment["FACEPASS_API_URL"], "Ctrl-C stops everything", "stack.env"):
        assert shown in text


def test_s3_refuses_strangers_on_every_port(stack: RunningStack) -> None:
    endpoint = stack.environment["FACEPASS_S3_ENDPOINT_URL"]
    connect_s3(stack.environment).put_object(Bucket="facepass", Key="a.txt", Body=b"mine")
    assert httpx.get(f"{endpoint}/facepass/a.txt").status_code == 403
    assert httpx.put(f"{endpoint}/facepass/b.txt", content=b"x").status_code == 403
    weed = next(p for p in stack.descendants() if p.name() == "weed")
    for listener in weed.net_connections("inet"):
        if listener.status != psutil.CONN_LISTEN:
            continue
        for path in ("/buckets/facepass/c.txt", "/c.txt"):
            try:
                answer = httpx.put(f"http://127.0.0.1:{listener.laddr.port}{path}", content=b"x")
            except httpx.HTTPError:
                continue  # gRPC
            assert answer.status_code >= 400
    listed = connect_s3(stack.environment).list_objects_v2(Bucket="facepass")["Contents"]
    assert [entry["Key"] for entry in listed] == ["a.txt"]


def test_it_listens_on_loopback_only(stack: RunningStack) -> None:
    ports = list_ports(stack)
    assert len(ports) >= 10
    assert {address for address, _port in ports} == {"127.0.0.1"}


def test_a_second_stack_on_the_home_is_refused(stack: RunningStack) -> None:
    second = launch(stack.home)
    assert second.process.wait(30) == 1
    assert "A stack already runs in" in second.output.read_text()
    assert (stack.home / "stack.env").exists()


def test_a_taken_port_is_named_at_once(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        refused = launch(tmp_path / "home", FACEPASS_PREFECT_PORT=str(port))
        assert refused.process.wait(30) == 1
    sentence = f"Port {port} (Prefect) is taken: stop what uses it, or set FACEPASS_PREFECT_PORT."
    assert sentence in refused.output.read_text()
    assert "Traceback" not in refused.output.read_text()


def test_a_pack_whose_licence_was_not_accepted_ends_the_start_with_a_sentence(
    tmp_path: Path,
) -> None:
    refused = launch(tmp_path / "home", FACEPASS_MODEL_PACK="buffalo_l")
    assert refused.process.wait(120) == 1
    shown = refused.output.read_text()
    (sentence,) = [line for line in shown.splitlines() if "buffalo_l" in line]
    assert sentence.startswith("Model pack buffalo_l does not say that its licence allows")
    assert "FACEPASS_MODEL_PACK=opencv_zoo" in sentence
    assert "Traceback" not in shown
    assert "ready in" not in shown  # told before a server is started
    assert [file.name for file in (tmp_path / "home" / "logs").glob("*")] == []
    assert not (tmp_path / "home" / "stack.env").exists()


def test_a_part_that_dies_is_named_and_ends_all(stack: RunningStack) -> None:
    # As in a home of before the product had a role of its own.
    url = stack.environment["FACEPASS_DATABASE_URL"].replace("facepass@", f"{SUPERUSER}@")
    query({"FACEPASS_DATABASE_URL": url}, "CREATE TABLE kept AS SELECT 42 AS answer")
    family, ports = stack.descendants(), list_ports(stack)
    next(p for p in family if p.name() == "weed").kill()
    assert stack.process.wait(60) == 1
    assert "S3 ended by signal 9" in stack.output.read_text()
    require_gone(stack.home, family, ports)


def test_data_survives_and_sigterm_leaves_nothing(stack: RunningStack, home: Path) -> None:
    assert stack.process.poll() is not None, "the test before this one ends the first start"
    again = start(home)
    try:
        assert query(again.environment, "SELECT answer FROM kept") == [(42,)]
        body = connect_s3(again.environment).get_object(Bucket="facepass", Key="a.txt")["Body"]
        assert body.read() == b"mine"
        family, ports = again.descendants(), list_ports(again)
    finally:
        code = again.end()
    assert code == 0
    require_gone(home, family, ports)


def test_sigterm_while_starting_leaves_nothing(home: Path) -> None:
    stack = launch(home)
    wait_for(lambda: "PostgreSQL ready" in stack.output.read_text(), stack)
    family = stack.descendants()
    assert stack.end() == 0
    assert "Traceback" not in stack.output.read_text()
    require_gone(home, family, set())


def require_gone(home: Path, family: list[psutil.Process], ports: set[tuple[str, int]]) -> None:
    assert [process for process in family if process.is_running()] == []
    for address in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(address) != 0
    assert not (home / "stack.env").exists()
    assert not (home / "stack.pids").exists()
