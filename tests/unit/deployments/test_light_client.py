"""`pip install facepass-sync` on a photographer's computer, which may be a Windows one.

The commands run in a process that refuses every package outside the base's, and each module and
name that Windows lacks. S3 is moto's, the API a stand-in.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from tests.support.fake_api import FakeApi, describe_event
from tests.support.http_server import QuietHandler, serve_http
from tests.support.light_client import LIGHT_CLIENT
from tests.support.photos import encode_jpeg, read_sample

ROOT = Path(__file__).parents[3]
UUID = "550e8400-e29b-41d4-a716-446655440000"
NOTHING = {"indexed": 0, "failed": 0}
BUCKET = "photos"
KEYS = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}


class ApiHandler(QuietHandler):
    """The stand-in API behind a real port."""

    api: FakeApi

    def do_GET(self) -> None:  # noqa: N802 (http.server's name)
        """Pass it on."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = httpx.Request(self.command, f"http://api{self.path}", content=body)
        answer = self.api.answer(request)
        self.answer(answer.status_code, answer.content, [("Content-Type", "application/json")])

    do_POST = do_GET  # noqa: N815 (http.server's name)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Where to push to, as the environment says it."""
    event = describe_event(
        "Свадьба", UUID, photos=NOTHING, last_sync=None, held_on=None, open_requests=0
    )
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        s3_url = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
        boto3.client("s3", endpoint_url=s3_url, **KEYS).create_bucket(Bucket=BUCKET)
        with serve_http(ApiHandler, api=FakeApi([event])) as api_url:
            yield {
                "FACEPASS_API_URL": api_url,
                "FACEPASS_HOME": str(tmp_path / "home"),
                "FACEPASS_S3_BUCKET": BUCKET,
                "FACEPASS_S3_ENDPOINT_URL": s3_url,
                "AWS_ACCESS_KEY_ID": "a",
                "AWS_SECRET_ACCESS_KEY": "b",
                "AWS_DEFAULT_REGION": "us-east-1",
            }
    finally:
        server.stop()


def run_facepass(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FACEPASS_", "AWS_"))}
    return subprocess.run(
        [sys.executable, "-c", LIGHT_CLIENT, *words],
        cwd=ROOT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_folder_is_pushed(place: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "Карта"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(encode_jpeg(read_sample("astronaut.png")))
    read_sample("coffee.png").save(folder / "b.png")

    pushed = run_facepass("push", str(folder), "--event=Свадьба", "--no-sync", "--json", **place)

    assert pushed.returncode == 0, pushed.stderr
    told: dict[str, Any] = json.loads(pushed.stdout)
    assert (told["originals_sent"], told["previews_sent"]) == (2, 2)
    client = boto3.client("s3", endpoint_url=place["FACEPASS_S3_ENDPOINT_URL"], **KEYS)
    kinds = [
        item["Key"].split("/")[2] for item in client.list_objects_v2(Bucket=BUCKET)["Contents"]
    ]
    assert (kinds.count("originals"), kinds.count("previews")) == (2, 2)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["events"], UUID),
        (["status", "Свадьба"], "Gallery   http://faces.example.org/gallery/token"),
        (["link", "Свадьба"], "http://faces.example.org/gallery/token"),
        (["qr", UUID], "█"),
        (["watch", UUID], "No sync of Свадьба is under way"),
        (["push", "--help"], "PHOTOS_DIR"),
        (["--help"], "demo-event"),
    ],
)
def test_the_photographers_commands_run(place: dict[str, str], words: list[str], says: str) -> None:
    told = run_facepass(*words, **place)
    assert (told.returncode, says in told.stdout) == (0, True), told.stderr


@pytest.mark.parametrize("command", ["api", "migrate", "register", "result-storage"])
def test_a_command_of_the_servers_says_what_to_install(command: str, tmp_path: Path) -> None:
    told = run_facepass(command, FACEPASS_HOME=str(tmp_path))
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.startswith(f"facepass {command} needs the server's parts (")
    assert told.stderr.endswith("pip install 'facepass-sync[server]'\n")


@pytest.mark.parametrize("command", ["up", "ui-password"])
def test_the_stack_says_where_it_runs(command: str, tmp_path: Path) -> None:
    told = run_facepass(command, FACEPASS_HOME=str(tmp_path))
    assert (told.returncode, told.stdout) == (1, "")
    assert len(told.stderr.splitlines()) == 1
    assert told.stderr.startswith(f"facepass {command} ")


def test_the_doctor_examines_what_is_there(place: dict[str, str]) -> None:
    told = run_facepass("doctor", **place)
    lines = {line.split()[0]: line for line in told.stdout.splitlines()}
    assert "needs the server's parts" in lines["database"]
    assert " ok " in lines["S3"]
    assert told.stderr == ""


def test_ctrl_c_ends_a_push(place: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "Карта"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(encode_jpeg(read_sample("coffee.png")))
    words = ["push", str(folder), "--event=Свадьба", "--no-sync", "--watch"]
    with subprocess.Popen(
        [sys.executable, "-c", LIGHT_CLIENT, *words],
        cwd=ROOT,
        env=os.environ | place,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        # The tests may run in a shell's background, where Ctrl-C is ignored, by children too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as push:
        assert push.stderr is not None
        said = ""
        while "Folder    " not in said:  # it watches from here on
            line = push.stderr.readline()
            assert line, said
            said += line
        push.send_signal(signal.SIGINT)
        said += push.stderr.read()
    assert push.returncode == 130, said
    assert "Stopped." in said
