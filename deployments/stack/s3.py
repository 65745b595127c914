"""The stack's own S3 server: SeaweedFS in one process, with its bucket and two identities.

`weed mini` runs a master, a volume server, a filer and an S3 gateway on loopback. Only the gateway
checks keys, so plain HTTP is off for the others, but their gRPC ports stay open on loopback.
"""

import json
import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from deployments.command_line.running_stack import LOOPBACK
from deployments.stack.home import write_private
from deployments.stack.ports import is_port_free, pick_free_ports
from deployments.stack.process import MARK, NotReadyError, Part
from models.errors import StackError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NAME = "S3"
BUCKET = "facepass"
REGION = "us-east-1"
# A default port that is taken shifts silently, and clients then talk to another stack's store:
# every one is assigned.
INTERNAL = (
    "s3.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
)
# The maintenance worker inside looks for the admin server at its port + 10000, whatever is set.
ADMIN_OFFSET = 10_000
ADMIN_PORTS = range(12_000, 20_000)


@dataclass(frozen=True)
class Keys:
    """One identity of the embedded S3."""

    access_key: str
    secret_key: str


def describe_uploader(keys: Keys, bucket: str) -> dict[str, object]:
    """SeaweedFS's configuration of the uploaders' identity: an event's photos, and nothing else.

    Listing has no narrower right than the bucket.
    """
    photos = f"{bucket}/events/*"
    return {
        "identities": [
            {
                "name": "uploader",
                "credentials": [{"accessKey": keys.access_key, "secretKey": keys.secret_key}],
                "actions": [f"Read:{photos}", f"Write:{photos}", f"List:{bucket}"],
            }
        ]
    }


def load_keys(path: Path) -> Keys:
    """The home's keys, made at its first start."""
    try:
        return Keys(**json.loads(path.read_text()))
    except FileNotFoundError:
        keys = Keys(f"FP{secrets.token_hex(9).upper()}", secrets.token_urlsafe(30))
        write_private(path, json.dumps(asdict(keys)) + "\n")
        return keys
    except (OSError, ValueError, TypeError) as error:
        raise StackError(f"{path} cannot be read: remove it, and new keys are made.") from error


def settle_internal_ports(path: Path, taken: list[int]) -> dict[str, int]:
    """The ports between the server's halves: the last start's, or new ones if one is taken."""
    try:
        stored = {str(name): int(port) for name, port in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        stored = {}
    names = {*INTERNAL, "admin.port", "admin.port.grpc"}
    free = not set(stored.values()) & set(taken) and all(map(is_port_free, stored.values()))
    if stored.keys() == names and free:
        return stored
    admin = pick_free_ports(1, taken, among=ADMIN_PORTS, also_at=ADMIN_OFFSET)[0]
    pair = {"admin.port": admin, "admin.port.grpc": admin + ADMIN_OFFSET}
    others = pick_free_ports(len(INTERNAL), [*taken, *pair.values()])
    ports = {**dict(zip(INTERNAL, others, strict=True)), **pair}
    write_private(path, json.dumps(ports, indent=1) + "\n")
    return ports


@dataclass(frozen=True)
class S3Server:
    """The addresses and keys of one start."""

    port: int
    internal: Mapping[str, int]
    keys: Keys  # everything: the API's and the workers'
    upload_keys: Keys

    @property
    def endpoint_url(self) -> str:
        """Where clients find it."""
        return f"http://{LOOPBACK}:{self.port}"


@dataclass(frozen=True)
class UploadHook:
    """Where the server tells of changed objects, and what it shows there."""

    url: str
    secret: str = field(repr=False)

    def describe(self) -> str:
        """SeaweedFS's configuration of it; JSON's strings are TOML's, too."""
        values = {
            "endpoint": self.url,
            "bearer_token": self.secret,
            "path_prefixes": [f"/buckets/{BUCKET}/"],
        }
        lines = [
            f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()
        ]
        return "\n".join(["[notification.webhook]", "enabled = true", *lines, ""])


def build_s3(
    server: S3Server, *, data: Path, log: Path, mark: str, hook: UploadHook | None = None
) -> Part:
    """The server; no `ps` shows its keys: they come by environment and by private files."""
    program = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if program is None:
        raise StackError(
            "The embedded S3 server is not installed: run `make setup`, or set FACEPASS_S3_BUCKET."
        )
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    # It remembers the last start's options and would take those that are not given now.
    (data / "mini.options").unlink(missing_ok=True)
    identities = data / "identities.json"
    write_private(identities, json.dumps(describe_uploader(server.upload_keys, BUCKET)) + "\n")
    told = data / "notification.toml"  # it looks for this name in its folder
    told.unlink(missing_ok=True)
    if hook is not None:
        write_private(told, hook.describe())
    options = {
        "dir": str(data),
        "ip": LOOPBACK,
        "ip.bind": LOOPBACK,
        "s3.port": server.port,
        "s3.config": str(identities),  # beside the identity of the environment
        **server.internal,
        "s3.port.iceberg": "0",
        "s3.port.lance": "0",
        "s3.autoCreateBucket": "false",  # a misspelt bucket must fail as it does at AWS
        "webdav": "false",
        "disableHttp": "true",
        "admin.ui": "false",
        "master.telemetry": "false",
    }
    words = [f"-{name}={value}" for name, value in options.items()]
    return Part(
        name=NAME,
        argv=[program, "-logtostderr=true", "mini", *words],
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(data),  # it reads configuration from there
            "AWS_ACCESS_KEY_ID": server.keys.access_key,
            "AWS_SECRET_ACCESS_KEY": server.keys.secret_key,
            MARK: mark,
        },
        log=log,
        cwd=data,
        stop_timeout_s=15.0,
    )


def remove_sockets(server: S3Server) -> None:
    """The server leaves some of its sockets in /tmp; their names end in its own ports."""
    for port in (server.port, *server.internal.values()):
        for socket in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108 - not ours to choose
            with suppress(PermissionError):  # another user's stack had this port and was killed
                socket.unlink(missing_ok=True)


def create_bucket(server: S3Server) -> None:
    """A signed listing, and the bucket if it is missing. Raises NotReadyError until that works."""
    from botocore.exceptions import BotoCoreError, ClientError

    client = _connect(server)
    try:
        if BUCKET not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket=BUCKET)
    except (BotoCoreError, ClientError) as error:
        raise NotReadyError(str(error)) from error


def _connect(server: S3Server) -> "S3Client":
    """A client for waiting: one short try a call, the caller repeats."""
    import boto3  # half a second of imports, spent while the server starts
    from botocore.config import Config
    from botocore.session import Session

    # Without the variable for a profile: one that is set, but only there for AWS, would be looked
    # up and missed even though the keys are given.
    bare = Session(session_vars={"profile": (None, [], None, None)})
    return boto3.Session(botocore_session=bare).client(
        "s3",
        endpoint_url=server.endpoint_url,
        aws_access_key_id=server.keys.access_key,
        aws_secret_access_key=server.keys.secret_key,
        region_name=REGION,
        config=Config(
            s3={"addressing_style": "path"},
            connect_timeout=2,
            read_timeout=5,
            retries={"total_max_attempts": 1},
            proxies={},  # loopback, whatever proxy the environment names
        ),
    )
