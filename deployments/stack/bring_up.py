"""How the parts come up: each as soon as what it uses answers, all else side by side."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from deployments.stack import api_part, postgres, prefect_client, prefect_parts, s3, s3_client
from deployments.stack.home import StackHome
from deployments.stack.parts import Part
from deployments.stack.plan import StackPlan
from deployments.stack.waiting import PAUSE_S, NotReadyError, run_in_thread, wait_until

START_TIMEOUT_S = 180.0  # for each part; the slowest takes a tenth of it on two cores


class BringUp:
    """One start of the stack; `parts` and `seconds` belong to the caller and are filled here."""

    def __init__(
        self,
        plan: StackPlan,
        home: StackHome,
        parts: dict[str, Part],
        seconds: dict[str, float],
        report: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._home = home
        self._parts = parts
        self._seconds = seconds
        self._report = report

    async def start_all(self) -> None:
        """Return when everything answers."""
        database = asyncio.create_task(self._start_postgres())
        storage = asyncio.create_task(self._start_s3())
        model = asyncio.create_task(run_in_thread(self._find_model))
        await asyncio.gather(
            self._start_prefect(database), self._start_api(database, storage, model)
        )

    async def _start_postgres(self) -> None:
        cluster = self._plan.cluster
        if cluster is None:
            return
        began = time.monotonic()
        if not cluster.data.exists():
            await self._run_to_end(postgres.build_initdb(cluster, self._log("initdb")))
            postgres.name_new_data(cluster).rename(cluster.data)
        part = postgres.build_postgres(cluster, self._log("postgres"))
        await self._run(part, lambda: postgres.create_databases(cluster), began)

    async def _start_s3(self) -> None:
        plan = self._plan
        if plan.keys is None or plan.s3_port is None:
            return
        keys, endpoint_url = plan.keys, plan.environment["FACEPASS_S3_ENDPOINT_URL"]
        part = s3.build_s3(
            data=plan.home / "s3",
            port=plan.s3_port,
            internal=plan.s3_internal,
            keys=keys,
            log=self._log("s3"),
            mark=self._home.mark,
        )
        await self._run(part, lambda: s3_client.create_bucket(endpoint_url, keys))

    async def _start_prefect(self, database: asyncio.Task[None]) -> None:
        plan = self._plan
        with prefect_client.open_client(plan.prefect_api_url) as client:
            embedded = plan.prefect_port is not None
            if plan.prefect_port is None or plan.cluster is None:
                await run_in_thread(lambda: prefect_client.require_outside_server(client))
            else:
                await database
                server = prefect_parts.build_server(
                    port=plan.prefect_port,
                    api_url=plan.prefect_api_url,
                    database_url=plan.cluster.prefect_url,
                    env=plan.child_environment,
                    log=self._log("prefect"),
                )
                await self._run(server, lambda: prefect_client.require_health(client))
            await run_in_thread(lambda: prefect_client.settle_pool(client, embedded=embedded))
            await asyncio.gather(self._deploy(), self._start_worker(client))

    async def _deploy(self) -> None:
        began = time.monotonic()
        plan = self._plan
        await self._run_to_end(
            prefect_parts.build_deploy(
                root=plan.root, env=plan.child_environment, log=self._log("deploy")
            )
        )
        self._note_ready("deployments", began)

    async def _start_worker(self, client: httpx.Client) -> None:
        plan, name = self._plan, self._plan.worker_name
        # The last start's heartbeat may still count as online.
        before = await run_in_thread(lambda: prefect_client.read_heartbeat(client, name))
        scratch = plan.home / "tmp"
        scratch.mkdir(exist_ok=True)
        # The worker keeps `runner_storage` in the temporary folder, under one name for all users:
        # whoever comes second may not write there.
        env = {**plan.child_environment, "TMPDIR": str(scratch)}
        part = prefect_parts.build_worker(
            name=name, root=plan.root, env=env, log=self._log("worker")
        )
        await self._run(part, lambda: prefect_client.require_heartbeat(client, name, before))

    async def _start_api(
        self,
        database: asyncio.Task[None],
        storage: asyncio.Task[None],
        model: asyncio.Task[None],
    ) -> None:
        await database
        await asyncio.gather(run_in_thread(self._migrate), storage, model)
        plan = self._plan
        part = api_part.build_api(root=plan.root, env=plan.child_environment, log=self._log("api"))
        await self._run(part, lambda: api_part.require_api(plan.api_url))

    def _find_model(self) -> None:
        """A missing pack fails the start, in one sentence, and not the first sync."""
        from tasks.packs.registry import (  # seconds of imports, off the loop
            describe_pack,
            resolve_pack,
        )

        self._report(describe_pack(resolve_pack(self._plan.settings)))

    def _migrate(self) -> None:
        from models.migrate import upgrade_database

        upgrade_database(self._plan.environment["FACEPASS_DATABASE_URL"])

    def _log(self, name: str) -> Path:
        return self._home.logs / f"{name}.log"

    def _start(self, part: Part) -> None:
        self._parts[part.name] = part
        part.start()
        self._home.record(p for p in self._parts.values() if p.name != postgres.NAME)

    async def _run(self, part: Part, probe: Callable[[], None], began: float | None = None) -> None:
        """Start it and wait for its answer; whoever watches the parts notices its death."""
        began = began or time.monotonic()
        self._start(part)
        try:
            await wait_until(probe, timeout_s=START_TIMEOUT_S)
        except NotReadyError as error:
            raise part.describe_failure(
                f"did not answer within {START_TIMEOUT_S:.0f} s ({error})"
            ) from error
        self._note_ready(part.name, began)

    async def _run_to_end(self, part: Part) -> None:
        self._start(part)
        deadline = time.monotonic() + START_TIMEOUT_S
        while part.is_running:
            if time.monotonic() > deadline:
                raise part.describe_failure(f"did not end within {START_TIMEOUT_S:.0f} s")
            await asyncio.sleep(PAUSE_S)
        if part.exit_code != 0:
            raise part.describe_death()

    def _note_ready(self, name: str, began: float) -> None:
        self._seconds[name] = time.monotonic() - began
        self._report(f"{name} ready in {self._seconds[name]:.1f} s")
