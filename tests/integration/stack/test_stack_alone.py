"""Two real stacks side by side, one in a hard home on a small disk, one an ordinary user's.

The tests follow one story in their order, so that three starts are enough.
"""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg2
import pytest
from botocore.exceptions import ClientError

from deployments.names import WORK_POOL
from deployments.stack.postgres import SUPERUSER
from deployments.stack.prefect import open_prefect_client, read_pool_template
from deployments.stack.process import Process, find_marked
from tests.integration.stack.test_stack import (
    RunningStack,
    connect_s3,
    launch,
    list_ports,
    query,
    start,
    wait_for,
)
from tests.support.photos import encode_jpeg, read_sample

MIB = 1024 * 1024
DISK_MIB = 480
# Deep, with spaces, quotes and Cyrillic letters, as in a wedding photographer's archive.
HARD_NAME = Path("Фотографии и свадьбы", "Анна & Ёжи's 2026 (лето)", "д" * 60, "моя папка $HOME")


@dataclass
class Person:
    """Who runs a stack, and with which interpreter."""

    uid: int | None
    python: str
    environment: dict[str, str] = field(default_factory=dict)
    lack: str | None = None  # why it is not the ordinary user that was wanted

    @property
    def real_uid(self) -> int:
        return os.geteuid() if self.uid is None else self.uid


def read_mark(stack: RunningStack) -> str:
    return str(json.loads((stack.home / "stack.pids").read_text())["mark"])


def eventually(condition: Callable[[], Any], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def list_parts(stack: RunningStack) -> set[int]:
    """The stack's programs; what is below them comes and goes, as PostgreSQL's autovacuum does."""
    return {child.pid for child in psutil.Process(stack.process.pid).children()}


def is_alive(process: Process) -> bool:
    """Whether it still runs; one that is dead waits for whoever inherited it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# --- the two stacks ---


@pytest.fixture(scope="module")
def hard_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The hard home: a small disk of its own where this user may mount one."""
    home = tmp_path_factory.mktemp("stack") / HARD_NAME
    assert len(str(home)) > 150
    home.mkdir(parents=True)
    options = f"size={DISK_MIB}m,mode=700"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", home], capture_output=True, check=False
    )
    yield home
    if mounted.returncode == 0:
        subprocess.run(["umount", "--lazy", home], check=True)


def require_small_disk(home: Path) -> None:
    if not home.is_mount():
        pytest.skip("a small disk cannot be mounted: that needs root and the right to mount")


@pytest.fixture(scope="module")
def box() -> Iterator[Path]:
    """A folder that an ordinary user can reach; pytest's own is its user's alone."""
    with tempfile.TemporaryDirectory(prefix="fp-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def person(box: Path) -> Person:
    """`nobody` where this is root, with an interpreter that he can read; else whoever this is."""
    if os.geteuid() != 0:
        return Person(None, sys.executable)
    uid = pwd.getpwnam("nobody").pw_uid
    lack = try_as(uid, sys.executable, {})
    if lack is None:
        return Person(uid, sys.executable)
    python = copy_interpreter(box)
    environment = {"LD_LIBRARY_PATH": str(box / "base" / "lib")}
    lack = try_as(uid, python, environment)
    if lack is None:
        return Person(uid, python, environment)
    return Person(None, sys.executable, lack=f"`nobody` can run no Python of this project: {lack}")


def copy_interpreter(box: Path) -> str:
    """This venv's packages under a copy of its interpreter, for users that cannot enter root's."""
    venv, base = box / "venv", Path(sys.base_prefix)
    library = Path("lib", f"python{sys.version_info.major}.{sys.version_info.minor}")
    shutil.copytree(
        base / library,
        box / "base" / library,
        ignore=shutil.ignore_patterns("test", "tests", "site-packages", "dist-packages", "*.a"),
    )
    for shared in (base / "lib").glob("libpython*.so*"):
        shutil.copy(shared, box / "base" / "lib")
    (venv / "bin").mkdir(parents=True)
    (box / "base" / "bin").mkdir()
    program = box / "base" / "bin" / library.name
    shutil.copy(Path(sys.executable).resolve(), program)
    (venv / "bin" / "python").symlink_to(program)
    (venv / "bin" / "weed").symlink_to(Path(sys.prefix) / "bin" / "weed")
    (venv / "lib").symlink_to(Path(sys.prefix) / "lib")
    (venv / "pyvenv.cfg").write_text(f"home = {program.parent}\n")
    return str(venv / "bin" / "python")


def try_as(uid: int, python: str, environment: dict[str, str]) -> str | None:
    """Why this user cannot run the stack with this interpreter; None if he can."""
    try:
        subprocess.run(
            [python, "-c", "import deployments.stack.stack"],
            user=uid,
            group=uid,
            extra_groups=[],
            cwd=Path(__file__).parents[3],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
    except OSError as error:
        return str(error)
    except subprocess.CalledProcessError as error:
        return str(error.stderr).strip().splitlines()[-1]
    return None


@dataclass
class Pair:
    """The stack in the hard home and the ordinary user's; each test leaves what the next needs."""

    hard: RunningStack
    plain: RunningStack


@pytest.fixture(scope="module")
def pair(hard_home: Path, box: Path, person: Person, models_root: Path) -> Iterator[Pair]:
    """Both, started at the same time."""
    home = box / "home"
    home.mkdir()
    os.chown(home, person.real_uid, -1)
    began = [
        launch(hard_home, FACEPASS_MODEL_ROOT=str(models_root)),
        launch(home, python=person.python, uid=person.uid, **person.environment),
    ]
    both = Pair(*began)
    try:
        for stack in began:
            wait_for((stack.home / "stack.env").exists, stack)
        yield both
    finally:
        for stack in {id(one): one for one in (*began, both.hard)}.values():
            if stack.process.poll() is None:
                stack.end()


def call(stack: RunningStack, method: str, path: str, **body: Any) -> Any:
    url = f"{stack.environment['FACEPASS_API_URL']}/api/v1/{path}"
    answer = httpx.request(method, url, json=body or None, timeout=30)
    assert answer.is_success, f"{answer.text}\n{(stack.home / 'logs' / 'api.log').read_text()}"
    return answer.json()


def sync(stack: RunningStack, event: dict[str, Any]) -> str:
    prefix = event["s3_prefix"]
    answer = call(stack, "POST", "faces/sync-s3", event_uuid=event["event_uuid"], s3_prefix=prefix)
    return str(answer["task_id"])


# --- the story ---


def test_they_do_not_see_each_others_data(pair: Pair) -> None:
    hard, plain = pair.hard, pair.plain
    event = call(hard, "POST", "events", name="Свадьба Анны и Ёжи")
    s3 = connect_s3(hard.environment)
    photo = encode_jpeg(read_sample("coffee.png"))
    s3.put_object(Bucket="facepass", Key=f"{event['s3_prefix']}кофе.jpg", Body=photo)
    task = sync(hard, event)
    over = {"completed", "failed", "crashed"}
    assert eventually(lambda: call(hard, "GET", f"faces/sync-s3/{task}")["state"] in over, 60)
    assert call(hard, "GET", f"faces/sync-s3/{task}")["result"]["new_photos"] == 1

    assert query(plain.environment, "SELECT count(*) FROM event") == [(0,)]
    assert "Contents" not in connect_s3(plain.environment).list_objects_v2(Bucket="facepass")
    for stack, found in ((hard, 200), (plain, 404)):
        with open_prefect_client(stack.environment) as prefect:
            assert prefect.get(f"flow_runs/{task}").status_code == found
    # The one's keys do not open the other's store.
    mixed = {
        **hard.environment,
        "FACEPASS_S3_ENDPOINT_URL": plain.environment["FACEPASS_S3_ENDPOINT_URL"],
    }
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        connect_s3(mixed).list_buckets()
    assert not list_ports(hard) & list_ports(plain)


def test_as_an_ordinary_user_all_is_his(pair: Pair, person: Person) -> None:
    if person.lack:
        pytest.skip(person.lack)
    family = pair.plain.descendants()
    assert {process.uids().effective for process in family} == {person.real_uid}
    assert "Let the user" not in pair.plain.output.read_text()
    assert {path.stat().st_uid for path in pair.plain.home.rglob("*")} == {person.real_uid}


def test_as_root_postgresql_alone_is_somebody_elses(pair: Pair) -> None:
    if os.geteuid() != 0:
        pytest.skip("this is not root")
    users = {
        process.name().split(":")[0]: process.uids().effective
        for process in pair.hard.descendants()
    }
    assert users.pop("postgres") == pwd.getpwnam("nobody").pw_uid
    assert set(users.values()) == {0}


def test_a_shell_joins_the_hard_home_by_the_printed_line(pair: Pair) -> None:
    text = pair.hard.output.read_text()
    join = next(line for line in text.splitlines() if "To join" in line).split("To join")[1]
    program = (
        "import os, psycopg2; from models.settings import get_settings;"
        "psycopg2.connect(os.environ['FACEPASS_DATABASE_URL']).close();"
        "print(get_settings().home)"
    )
    shown = subprocess.run(
        ["bash", "-ec", f'{join}; "$0" -c "$1"', sys.executable, program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.stdout.strip() == str(pair.hard.home), shown.stderr


def leave_free(home: Path, mib: int) -> None:
    """Fill the home's disk but for so much."""
    filler = home / "filler"
    filler.unlink(missing_ok=True)
    size = shutil.disk_usage(home).free - mib * MIB
    with filler.open("wb") as file, suppress(OSError):
        os.posix_fallocate(file.fileno(), 0, max(1, size))


def query_alone(environment: dict[str, str], statement: str) -> None:
    """A statement outside a transaction, as ALTER SYSTEM wants it."""
    with closing(psycopg2.connect(environment["FACEPASS_DATABASE_URL"])) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


def test_a_running_stack_says_that_its_disk_is_full(pair: Pair) -> None:
    hard = pair.hard
    require_small_disk(hard.home)
    leave_free(hard.home, 20)
    full = f"The disk of {hard.home} is full: "
    assert eventually(lambda: full in hard.output.read_text()), hard.output.read_text()
    assert "Free some space there." in hard.output.read_text()
    (hard.home / "filler").unlink()
    room = f"The disk of {hard.home} has room again"
    assert eventually(lambda: room in hard.output.read_text()), hard.output.read_text()
    assert hard.process.poll() is None


def test_a_parent_killed_with_9_leaves_nothing_and_the_next_start_finds_all(
    pair: Pair, models_root: Path
) -> None:
    hard, plain = pair.hard, pair.plain
    # As in a home from before the limit, the template and the password.
    older = {"concurrency_limit": None, "base_job_template": {}}
    with open_prefect_client(hard.environment) as prefect:
        prefect.patch(f"work_pools/{WORK_POOL}", json=older).raise_for_status()
    (hard.home / "prefect-password").unlink()
    event = call(hard, "GET", "events")[0]
    sync(hard, event)
    assert eventually(lambda: any("prefect.engine" in p.cmdline() for p in hard.descendants()), 30)
    mark, family, ports = read_mark(hard), hard.descendants(), list_ports(hard)
    others = list_parts(plain)

    hard.process.kill()
    hard.process.wait()
    eventually(lambda: not find_marked(mark), 5.0)
    left: list[Process] = find_marked(mark)
    with suppress(FileNotFoundError):
        (hard.home / "stack.env").unlink()  # so that `start` waits for the new one

    pair.hard = start(hard.home, FACEPASS_MODEL_ROOT=str(models_root))
    text = pair.hard.output.read_text()
    assert text.count("Left over from a stack that was killed, now ended: ") == len(left)
    assert find_marked(mark) == []
    assert [process for process in family if is_alive(process)] == []
    for address in ports - list_ports(pair.hard):
        with socket.socket() as probe:
            assert probe.connect_ex(address) != 0
    assert [one["name"] for one in call(pair.hard, "GET", "events")] == [event["name"]]
    s3 = connect_s3(pair.hard.environment)
    # Only the previews: a sync that ended before the kill has had views made.
    kept = s3.list_objects_v2(Bucket="facepass", Prefix=event["s3_prefix"])
    assert kept["KeyCount"] == 1
    with open_prefect_client(pair.hard.environment) as prefect:
        pool = prefect.get(f"work_pools/{WORK_POOL}").json()
    assert pool["concurrency_limit"] == 2
    assert pool["base_job_template"] == read_pool_template()
    assert (hard.home / "prefect-password").stat().st_mode & 0o777 == 0o600
    # The neighbour noticed nothing.
    assert list_parts(plain) == others
    assert httpx.get(f"{plain.environment['FACEPASS_API_URL']}/health").status_code == 200


def test_a_death_on_a_full_disk_says_so_first(pair: Pair) -> None:
    hard = pair.hard
    require_small_disk(hard.home)
    mark, url = read_mark(hard), hard.environment["FACEPASS_DATABASE_URL"]
    admin = {"FACEPASS_DATABASE_URL": url.replace("facepass@", f"{SUPERUSER}@")}
    # No log file may be used again: each 16 MiB of log then need 16 MiB of the disk.
    query_alone(admin, "ALTER SYSTEM SET wal_keep_size = '4GB'")
    query_alone(admin, "SELECT pg_reload_conf()")
    leave_free(hard.home, 0)
    # PostgreSQL keeps some log files ahead; how many depends on what it did before.
    for _ in range(2 * DISK_MIB // 16):
        if hard.process.poll() is not None:
            break
        try:
            query_alone(admin, f"SELECT pg_logical_emit_message(true, '', repeat('x', {16 * MIB}))")
        except psycopg2.Error:
            time.sleep(1)  # it ends, and refuses calls meanwhile
    assert hard.process.wait(60) == 1
    lines = hard.output.read_text().splitlines()
    death = next(n for n, line in enumerate(lines) if line.startswith("PostgreSQL ended"))
    assert lines[death - 1].startswith(f"The disk of {hard.home} is full: ")
    assert lines[-1].endswith("No space left on device")
    assert not [line for line in lines if "Traceback" in line]
    assert find_marked(mark) == []


def test_a_start_on_a_full_disk_is_refused(pair: Pair) -> None:
    home = pair.hard.home
    require_small_disk(home)
    leave_free(home, 0)
    refused = launch(home)
    assert refused.process.wait(30) == 1
    text = refused.output.read_text()
    assert f"The disk of {home} is full: 0.0 MiB are free, a start needs 48 MiB. " in text
    assert "set FACEPASS_HOME to a folder on another disk." in text
    assert "Traceback" not in text


def test_the_other_one_ends_in_peace(pair: Pair) -> None:
    plain = pair.plain
    mark, family = read_mark(plain), plain.descendants()
    sockets = Path(plain.environment["FACEPASS_DATABASE_URL"].split("host=")[1])
    assert plain.end(signal.SIGINT) == 0
    assert find_marked(mark) == []
    assert [process for process in family if is_alive(process)] == []
    assert not sockets.exists()
