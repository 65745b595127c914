"""The campaign's stack, its faulty line to S3, and a second API process."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]  # publishes no types, and its stubs are not locked
from sqlalchemy import Engine, NullPool, create_engine

from benchmarks.faults.s3_proxy import S3Proxy
from deployments.stack import postgres, s3
from deployments.stack.ports import pick_free_ports
from deployments.stack.prefect import SERVER, WORKER, open_prefect_client, require_health
from deployments.stack.process import NotReadyError, Part
from deployments.stack.stack import API, EmbeddedStack, build_api, require_api
from models.errors import StackError
from models.settings import Settings

RETRY_DELAY_S = 2
S3_TIMEOUT_S = 1
BATCH_SIZE = 4
READY_LIMIT_S = 60.0
PACK = {"model_pack": "opencv_zoo"}
SECOND_API = "second API"


@dataclass
class Scene:
    """What faults are injected into, and the doors of those who use it."""

    stack: EmbeddedStack
    proxy: S3Proxy
    second_api: Part
    second_api_url: str
    prefect: httpx.Client
    database: Engine
    spoilt: list[Callable[[], None]] = field(default_factory=list)  # what undoes it, newest last
    frozen: list[psutil.Process] = field(default_factory=list)  # stopped until all has recovered

    @property
    def api_urls(self) -> tuple[str, str]:
        """Both API processes."""
        return self.stack.environment["FACEPASS_API_URL"], self.second_api_url

    @property
    def results(self) -> Path:
        """The folder of Prefect's results."""
        return Path(self.stack.environment["PREFECT_LOCAL_STORAGE_PATH"])

    @property
    def parts(self) -> dict[str, Part]:
        """Everything that must run, by name."""
        names = (
            *(postgres.NAME, s3.NAME, SERVER),
            *(WORKER, API),
        )
        return {name: self.stack.parts[name] for name in names} | {SECOND_API: self.second_api}

    def probe(self, name: str) -> None:
        """Raises NotReadyError until a part that was started again answers."""
        plan = self.stack.plan
        if name == postgres.NAME and plan.cluster is not None:
            postgres.create_databases(plan.cluster)
        elif name == s3.NAME and plan.s3 is not None:
            s3.create_bucket(plan.s3)
        elif name == SERVER:
            require_health(self.prefect)
        elif name == API:
            require_api(plan.api_url)
        elif name == SECOND_API:
            require_api(self.second_api_url)


@contextmanager
def open_scene(
    folder: Path, models: Path | None, seed: int, report: Callable[[str], None]
) -> Iterator[Scene]:
    """Everything up and answering; gone afterwards, whatever is broken by then."""
    own = {"api_port": 0, "prefect_port": 0, "s3_port": 0, "event_active_days": 0}
    own["make_views"] = False
    pace = {"retry_delay_s": RETRY_DELAY_S, "s3_timeout_s": S3_TIMEOUT_S, "batch_size": BATCH_SIZE}
    settings = Settings.model_validate(
        {"home": folder / "home", "model_root": models or folder, **PACK, **own, **pace}
    )
    with ExitStack() as exits:
        stack = exits.enter_context(EmbeddedStack(settings, report))
        environment = stack.environment
        proxy = exits.enter_context(S3Proxy(environment["FACEPASS_S3_ENDPOINT_URL"], seed).serve())
        prefect = exits.enter_context(open_prefect_client(environment))
        url = environment["FACEPASS_DATABASE_URL"].replace("postgresql", "postgresql+psycopg2", 1)
        port = pick_free_ports(1)[0]
        scene = Scene(
            stack,
            proxy,
            _build_second_api(stack, port),
            f"http://127.0.0.1:{port}",
            prefect,
            create_engine(url, poolclass=NullPool),
        )
        exits.callback(lambda: [undo() for undo in reversed(scene.spoilt)])
        exits.callback(scene.second_api.stop)
        scene.second_api.start()
        worker = scene.parts[WORKER]
        worker.stop()
        worker.env = {**worker.env, "FACEPASS_S3_ENDPOINT_URL": proxy.url}
        worker.start()
        wait_ready(scene, SECOND_API)
        yield scene


def _build_second_api(stack: EmbeddedStack, port: int) -> Part:
    plan = stack.plan
    part = build_api(
        root=plan.root,
        env={**plan.child_environment, "FACEPASS_API_PORT": str(port)},
        log=stack.home.logs / "second-api.log",
    )
    part.name = SECOND_API
    return part


def wait_ready(scene: Scene, name: str) -> None:
    """Return when a part answers. Raises StackError when it does not, or died."""
    deadline = time.monotonic() + READY_LIMIT_S
    while True:
        part = scene.parts[name]
        if part.exit_code is not None:
            raise part.describe_death()
        try:
            scene.probe(name)
        except NotReadyError as error:
            if time.monotonic() > deadline:
                raise StackError(f"{name} did not come back: {error}") from error
            time.sleep(0.1)
        else:
            return
