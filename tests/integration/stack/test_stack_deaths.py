"""Each real program of the stack, made to die: what is reported ends with the cause.

The programs run alone, side by side: no stack is started.
"""

import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.stack import postgres, prefect, s3, stack
from deployments.stack.ports import pick_free_ports
from deployments.stack.postgres import locate_cluster
from deployments.stack.process import Part

ROOT = Path(__file__).resolve().parents[3]
CAUSES = {
    "PostgreSQL": "postgresql.conf",
    "S3": "is not available on 127.0.0.1",
    "Prefect": "ConnectionRefusedError: ",
    "worker": "ValidationError",
    "API": "FACEPASS_BATCH_SIZE is wrong",
}


@pytest.fixture(scope="module")
def dying(models_root: Path) -> Iterator[dict[str, Part]]:
    """All five, each started on what must kill it."""
    with tempfile.TemporaryDirectory(prefix="fp-") as folder, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        parts = {part.name: part for part in build_parts(Path(folder), taken.getsockname()[1])}
        for part in parts.values():
            part.start()
        try:
            yield parts
        finally:
            for part in parts.values():
                part.stop()
            postgres.remove_socket_folder(locate_cluster(Path(folder)))


def build_parts(home: Path, taken_port: int) -> list[Part]:
    cluster = locate_cluster(home)
    postgres.prepare_cluster(cluster)
    cluster.data.mkdir(mode=0o700)  # empty: as if somebody had cleaned up in it
    if cluster.identity is not None:
        os.chown(cluster.data, cluster.identity.uid, cluster.identity.gid)
    env = {
        **os.environ,
        **prefect.CLIENT_SETTINGS,
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": "http://127.0.0.1:9/api",  # nobody listens on the discard port
        "FACEPASS_BATCH_SIZE": "many",
    }
    nowhere = "postgresql+asyncpg://postgres@127.0.0.1:9/prefect"
    internal = s3.settle_internal_ports(home / "ports.json", [taken_port])
    return [
        postgres.build_postgres(cluster, home / "postgres.log"),
        s3.build_s3(
            s3.S3Server(
                taken_port, internal, s3.Keys("access", "secret"), s3.Keys("upload", "secret")
            ),
            data=home / "s3",
            log=home / "s3.log",
            mark="dying",
        ),
        prefect.build_server(
            port=pick_free_ports(1, [taken_port, *internal.values()])[0],
            api_url="http://127.0.0.1:9/api",
            password="facepass:dying",
            database_url=nowhere,
            env=env,
            log=home / "prefect.log",
        ),
        prefect.build_worker(
            name="dying",
            pool="facepass",
            root=ROOT,
            env={**env, "PREFECT_WORKER_QUERY_SECONDS": "often"},
            log=home / "worker.log",
        ),
        stack.build_api(root=ROOT, env=env, log=home / "api.log"),
    ]


@pytest.mark.parametrize(("name", "cause"), CAUSES.items(), ids=CAUSES)
def test_a_death_is_reported_with_its_cause_last(
    dying: dict[str, Part], name: str, cause: str
) -> None:
    part = dying[name]
    deadline = time.monotonic() + 60
    while part.exit_code is None:
        assert time.monotonic() < deadline, part.tail()
        time.sleep(0.1)
    lines = str(part.describe_death()).splitlines()
    assert lines[0].startswith(f"{name} ended with code ")
    assert cause in lines[-1], "\n".join(lines)
    assert len(lines) <= 21
