"""The local stack as one object, which starts, watches and stops its programs.

A program starts as soon as the servers it needs answer; all others start at the same time. A
program stops before the servers it needs.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self
from uuid import UUID

import httpx

from deployments import registration
from deployments.automations.install import install_automations, read_switch, restore_switch
from deployments.command_line.signals import SignalNote, note_signals
from deployments.stack import postgres, prefect, s3
from deployments.stack.home import (
    StackHome,
    explain_failures,
    require_database,
    require_start,
    watch_disk,
)
from deployments.stack.plan import OFFLINE_PACK, StackPlan, plan_stack
from deployments.stack.process import PAUSE_S, NotReadyError, Part, run_in_thread, wait_until
from deployments.stack.runs import SENTENCE, list_under_way, stop_runs
from models.errors import FacePassError, OrchestratorUnavailableError, StackError
from models.settings import Settings

API = "API"
NOT_READY = "Not ready: "  # how the API's log begins what api/routes/health.py says
READY_TRIES = 3
STOP_PATIENCE_S = 5.0  # with a Prefect server that does not answer
START_TIMEOUT_S = 180.0  # for each part; the slowest takes a tenth of it on two cores
# Whoever uses something stops before it; parts of one row stop side by side.
STOP_ORDER = (
    (API, prefect.WORKER, "prefect deploy", "initdb"),
    (prefect.SERVER, s3.NAME),
    (postgres.NAME,),
)


def build_api(*, root: Path, env: Mapping[str, str], log: Path) -> Part:
    """The product's own REST API; it reads its address from the environment."""
    return Part(API, [sys.executable, "-m", "api"], env, log, cwd=root)


def require_api(url: str) -> None:
    """Raises NotReadyError until it answers."""
    try:
        httpx.get(f"{url}/health", timeout=5.0, trust_env=False).raise_for_status()
    except httpx.HTTPError as error:
        raise NotReadyError(str(error)) from error


class EmbeddedStack:
    """PostgreSQL, S3, Prefect, a worker and the API; what the settings name is not started.

    Use it from the main thread, as a context manager or through start and stop. `report` gets a
    line for a person at each step. `environment` is what a process needs to join the stack.
    `lan`: phones of the same network reach the API.
    """

    def __init__(
        self,
        settings: Settings,
        report: Callable[[str], None] | None = None,
        *,
        lan: bool = False,
        adopts: bool = False,
        show_waits: Callable[[Mapping[str, float]], None] | None = None,
    ) -> None:
        """adopts: deployments of another database on an outside Prefect server are taken over.

        show_waits: gets, often, for how many seconds a start has waited for what; at its end {}.
        """
        self.home = StackHome(settings.home)
        self.seconds: dict[str, float] = {}
        self._settings = settings
        self._lan = lan
        self._adopts = adopts
        self._report = report or (lambda _line: None)
        self._plan: StackPlan | None = None
        self._parts: dict[str, Part] = {}
        self._show_waits = show_waits or (lambda _waits: None)
        self._waits: dict[str, float] = {}  # name -> since when

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def plan(self) -> StackPlan:
        """The addresses and keys of this start."""
        if self._plan is None:
            raise StackError("The stack is not started.")
        return self._plan

    @property
    def environment(self) -> dict[str, str]:
        """The variables of stack.env."""
        return dict(self.plan.environment)

    @property
    def parts(self) -> Mapping[str, Part]:
        """What runs, by name: for who disturbs a stack on purpose and starts its parts again."""
        return self._parts

    def start(self) -> None:
        """Bring everything up and return when all of it answers.

        Raises StackError (or another FacePassError) with everything stopped again;
        KeyboardInterrupt when a stop signal came meanwhile.
        """
        began = time.monotonic()
        with note_signals() as note, explain_failures(self.home.path):
            try:
                self._prepare()
                asyncio.run(self._bring_up(note))
                if note.number is not None:
                    raise KeyboardInterrupt
                self.home.write_environment(self.plan.environment, self.plan.push_environment)
            except BaseException:
                self._show_waits({})
                self.stop()
                raise
        self._show_waits({})
        self.seconds["all"] = time.monotonic() - began

    def poll(self) -> None:
        """Raises StackError, with the end of its log, for a part that died."""
        for part in self._parts.values():
            if part.exit_code is not None and not (part.ends and part.exit_code == 0):
                raise part.describe_death()

    def watch(self) -> None:
        """Return when a stop signal comes. Raises StackError when a part dies."""
        disk = watch_disk(self.home.path)
        with note_signals() as note, explain_failures(self.home.path):
            while note.number is None:
                self.poll()
                if news := next(disk):
                    self._report(news)
                time.sleep(0.2)

    def stop(self) -> None:
        """Stop everything, users before what they use; signals do not cut it short."""
        if not self.home.is_held:
            return  # nothing of it is ours
        with note_signals():
            under_way = self._list_under_way()
            for row in STOP_ORDER:
                parts = [self._parts[name] for name in row if name in self._parts]
                for part in parts:
                    part.ask_to_stop()
                for part in parts:
                    part.finish()
                if prefect.WORKER in row and under_way:
                    self._keep_runs(under_way)
            self._parts.clear()
            if self._plan is not None and self._plan.cluster is not None:
                postgres.remove_socket_folder(self._plan.cluster)
            if self._plan is not None and self._plan.s3 is not None:
                s3.remove_sockets(self._plan.s3)
            self.home.clear()
            self.home.release()

    def _prepare(self) -> None:
        """All that can be refused before a process exists."""
        self.home.hold()
        for name in self.home.sweep():
            self._report(f"Left over from a stack that was killed, now ended: {name}.")
        require_start(self.home.path)
        self._plan = plan_stack(self._settings, self.home, lan=self._lan)
        if (cluster := self._plan.cluster) is not None:
            require_database(self.home.path, cluster.sockets, is_new=not cluster.data.exists())
            for said in postgres.prepare_cluster(cluster):
                self._report(said)

    async def _bring_up(self, note: SignalNote) -> None:
        work = asyncio.create_task(self._start_all())
        guard = asyncio.create_task(self._guard(note))
        await asyncio.wait({work, guard}, return_when=asyncio.FIRST_COMPLETED)
        if guard.done():
            guard.result()
            return
        if work.exception() is not None:
            self.poll()  # a dead part explains better than the error of who needed it
        work.result()

    async def _guard(self, note: SignalNote) -> None:
        """Return when a stop signal comes: raised in a task, asyncio would print it on its way."""
        while note.number is None:
            self.poll()
            now = time.monotonic()
            self._show_waits({name: now - began for name, began in self._waits.items()})
            await asyncio.sleep(PAUSE_S)

    async def _start_all(self) -> None:
        model = asyncio.create_task(self._await_model())
        if self.plan.settings.model_pack != OFFLINE_PACK:
            await model  # it may be refused, for its licence for one: before a server is started
        database = asyncio.create_task(self._start_postgres())
        storage = asyncio.create_task(self._start_s3())
        tables = asyncio.create_task(self._migrate(database))
        await asyncio.gather(
            self._start_prefect(database, tables), self._start_api(tables, storage, model)
        )
        for line in await run_in_thread(self._list_unready):
            self._report(line)

    async def _start_postgres(self) -> None:
        cluster = self.plan.cluster
        if cluster is None:
            return
        began = time.monotonic()
        if not cluster.data.exists():
            await self._run_to_end(postgres.build_initdb(cluster, self._log("initdb")))
            cluster.new_data.rename(cluster.data)
        part = postgres.build_postgres(cluster, self._log("postgres"))
        await self._run(part, lambda: postgres.create_databases(cluster), began)

    async def _start_s3(self) -> None:
        if (server := self.plan.s3) is None:
            return
        data, log = self.home.path / "s3", self._log("s3")
        secret = self.plan.settings.hook_secret
        hook = s3.UploadHook(f"{self.plan.api_url}/api/v1/hooks/s3", secret) if secret else None
        part = s3.build_s3(server, data=data, log=log, mark=self.home.mark, hook=hook)
        await self._run(part, lambda: s3.create_bucket(server))

    async def _start_prefect(
        self, database: asyncio.Task[None], tables: asyncio.Task[UUID]
    ) -> None:
        plan = self.plan
        with prefect.open_prefect_client(plan.child_environment) as client:
            embedded = plan.prefect_port is not None
            if plan.prefect_port is None or plan.cluster is None:
                await run_in_thread(lambda: prefect.require_outside_server(client))
            else:
                await database
                server = prefect.build_server(
                    port=plan.prefect_port,
                    api_url=plan.prefect_api_url,
                    password=plan.environment[prefect.AUTH_VARIABLE],
                    database_url=plan.cluster.prefect_url,
                    env=plan.prefect_environment,
                    log=self._log("prefect"),
                )
                await self._run(server, lambda: prefect.require_health(client))
            name, owner = plan.settings.installation, await tables
            # A server of this home's own serves nobody else, whatever database was set before.
            if not (embedded or self._adopts):
                await run_in_thread(
                    lambda: registration.require_own_deployments(client, name, owner)
                )
            advice = await run_in_thread(
                lambda: prefect.settle_pool(client, plan.pool, embedded=embedded)
            )
            if advice is not None:
                self._report(advice)
            await asyncio.gather(self._deploy(client, owner), self._start_worker(client))

    async def _deploy(self, client: httpx.Client, owner: UUID) -> None:
        began = time.monotonic()
        switch = await run_in_thread(lambda: read_switch(client, self.plan.settings.installation))
        plan, log = self.plan, self._log("deploy")
        file = registration.write_deployed(
            plan.root, self.home.path, plan.settings.installation, owner
        )
        await self._run_to_end(
            prefect.build_deploy(file=file, root=plan.root, env=plan.worker_environment, log=log)
        )
        name = plan.settings.installation
        adopts = self._adopts or plan.prefect_port is not None
        await run_in_thread(lambda: registration.retire_former(client, name, owner, adopts=adopts))
        for line in await run_in_thread(lambda: self._settle_automations(client, switch)):
            self._report(line)
        self._note_ready("deployments", began)

    def _settle_automations(self, client: httpx.Client, switch: bool | None) -> list[str]:
        """What a person should know; syncs go on without automations."""
        try:
            restore_switch(client, self.plan.settings.installation, switch)
            install_automations(client, self.plan.settings)
        except OrchestratorUnavailableError as error:
            return [str(error)]
        return []

    async def _start_worker(self, client: httpx.Client) -> None:
        plan, name, pool = self.plan, self.plan.worker_name, self.plan.pool
        # The last start's heartbeat may still count as online.
        before = await run_in_thread(lambda: prefect.read_heartbeat(client, pool, name))
        scratch = self.home.path / "tmp"
        scratch.mkdir(exist_ok=True)
        # The worker keeps `runner_storage` in the temporary folder, under one name for all users:
        # whoever comes second may not write there.
        env = {**plan.worker_environment, "TMPDIR": str(scratch)}
        log = self._log("worker")
        part = prefect.build_worker(name=name, pool=pool, root=plan.root, env=env, log=log)
        await self._run(part, lambda: prefect.require_heartbeat(client, pool, name, before))

    async def _start_api(
        self, tables: asyncio.Task[UUID], storage: asyncio.Task[None], model: asyncio.Task[None]
    ) -> None:
        plan = self.plan
        await asyncio.gather(tables, storage, model)
        part = build_api(root=plan.root, env=plan.child_environment, log=self._log("api"))
        await self._run(part, lambda: require_api(plan.api_url))

    async def _await_model(self) -> None:
        with self._wait_for("the model pack"):
            await run_in_thread(self._find_model)

    def _find_model(self) -> None:
        """A missing pack fails the start, in one sentence, and not the first sync."""
        # Seconds of imports, off the loop.
        from tasks.packs.registry import describe_pack, resolve_pack

        self._report(describe_pack(resolve_pack(self.plan.settings)))

    async def _migrate(self, database: asyncio.Task[None]) -> UUID:
        from models.migrate import upgrade_database

        await database
        url = self.plan.environment["FACEPASS_DATABASE_URL"]
        with self._wait_for("the tables"):
            return await run_in_thread(lambda: upgrade_database(url))

    def _list_unready(self) -> list[str]:
        """What keeps the API from being ready: links for guests that S3 refuses, for example.

        No reason to stop: it may be mended while the stack runs.
        """
        log, reasons = self._log("api"), list[str]()
        for _ in range(READY_TRIES):  # the first one's imports may take longer than its patience
            seen = log.stat().st_size
            try:
                answer = httpx.get(f"{self.plan.api_url}/ready", timeout=30.0, trust_env=False)
            except httpx.HTTPError as error:
                return [f"The API does not say whether it is ready ({type(error).__name__})."]
            if answer.is_success:
                return []
            told = log.read_bytes()[seen:].decode(errors="replace").splitlines()
            reasons = [line[line.index(NOT_READY) :] for line in told if NOT_READY in line]
        return reasons or ["The API is not ready: its log says why."]

    def _list_under_way(self) -> set[str]:
        """Flow runs that this stop cuts short; none where Prefect does not say."""
        worker, plan = self._parts.get(prefect.WORKER), self._plan
        dead = [part.name for part in self._parts.values() if part.exit_code is not None]
        # Prefect's server does not answer without its database: each question would take all its
        # patience.
        if worker is None or plan is None or {prefect.SERVER, postgres.NAME} & set(dead):
            return set()
        embedded = plan.prefect_port is not None
        with suppress(httpx.HTTPError), self._open_prefect() as client:
            return list_under_way(client, worker, plan.pool, embedded=embedded)
        return set()

    def _keep_runs(self, under_way: set[str]) -> None:
        """Have them wait for the next start. Without Prefect they will be found dead there."""
        from models.queries.runs import find_completed, shelve_runs

        url = self.plan.environment["FACEPASS_DATABASE_URL"]
        with suppress(httpx.HTTPError, FacePassError), self._open_prefect() as client:
            if stopped := stop_runs(client, under_way, find_completed(url, under_way)):
                shelve_runs(url, stopped, SENTENCE)
                self._report(f"Flow runs that the next start takes up: {len(stopped)}.")

    def _open_prefect(self) -> httpx.Client:
        return prefect.open_prefect_client(self.plan.child_environment, STOP_PATIENCE_S)

    def _log(self, name: str) -> Path:
        return self.home.logs / f"{name}.log"

    def _start(self, part: Part) -> None:
        self._parts[part.name] = part
        part.start()
        self.home.record(p for p in self._parts.values() if p.name != postgres.NAME)

    async def _run(self, part: Part, probe: Callable[[], None], began: float | None = None) -> None:
        """Start it and wait for its answer; whoever watches the parts notices its death."""
        began = began or time.monotonic()
        self._start(part)
        try:
            with self._wait_for(part.name):
                await wait_until(probe, timeout_s=START_TIMEOUT_S)
        except NotReadyError as error:
            raise part.describe_failure(
                f"did not answer within {START_TIMEOUT_S:.0f} s ({error})"
            ) from error
        self._note_ready(part.name, began)

    async def _run_to_end(self, part: Part) -> None:
        self._start(part)
        deadline = time.monotonic() + START_TIMEOUT_S
        with self._wait_for(part.name):
            while part.is_running:
                if time.monotonic() > deadline:
                    raise part.describe_failure(f"did not end within {START_TIMEOUT_S:.0f} s")
                await asyncio.sleep(PAUSE_S)
        if part.exit_code != 0:
            raise part.describe_death()

    @contextmanager
    def _wait_for(self, name: str) -> Iterator[None]:
        """Within the block this is among what the start waits for."""
        self._waits[name] = time.monotonic()
        try:
            yield
        finally:
            self._waits.pop(name, None)

    def _note_ready(self, name: str, began: float) -> None:
        self.seconds[name] = time.monotonic() - began
        self._report(f"{name} ready in {self.seconds[name]:.1f} s")
