"""The stack as one object: starts its parts side by side, watches them, stops them in order."""

import asyncio
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from deployments.stack import api_part, postgres, postgres_folders, prefect_parts, s3
from deployments.stack.bring_up import BringUp
from deployments.stack.disk import (
    DiskWatch,
    explain_failures,
    require_database,
    require_start,
)
from deployments.stack.home import StackHome
from deployments.stack.parts import Part
from deployments.stack.plan import StackPlan, plan_stack
from deployments.stack.signals import SignalNote, note_signals
from deployments.stack.waiting import PAUSE_S
from models.errors import StackError
from models.settings import Settings

# Whoever uses something stops before it; parts of one row stop side by side.
STOP_ORDER = (
    (api_part.NAME, prefect_parts.WORKER, "prefect deploy", "initdb"),
    (prefect_parts.SERVER, s3.NAME),
    (postgres.NAME,),
)


class EmbeddedStack:
    """PostgreSQL, S3, Prefect, a worker and the API; what the settings name is not started.

    Use it from the main thread, as a context manager or through start and stop. `report` gets a
    line for a person at each step. `environment` is what a process needs to join the stack.
    """

    def __init__(self, settings: Settings, report: Callable[[str], None] | None = None) -> None:
        self.home = StackHome(settings.home)
        self.seconds: dict[str, float] = {}
        self._settings = settings
        self._report = report or (lambda _line: None)
        self._plan: StackPlan | None = None
        self._parts: dict[str, Part] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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
                self.home.write_environment(self.plan.environment)
            except BaseException:
                self.stop()
                raise
        self.seconds["all"] = time.monotonic() - began

    def poll(self) -> None:
        """Raises StackError, with the end of its log, for a part that died."""
        for part in self._parts.values():
            if part.exit_code is not None and not (part.ends and part.exit_code == 0):
                raise part.describe_death()

    def watch(self) -> None:
        """Return when a stop signal comes. Raises StackError when a part dies."""
        disk = DiskWatch(self.home.path)
        with note_signals() as note, explain_failures(self.home.path):
            while note.number is None:
                self.poll()
                for sentence in disk.look():
                    self._report(sentence)
                time.sleep(0.2)

    def stop(self) -> None:
        """Stop everything, users before what they use; signals do not cut it short."""
        if not self.home.is_held:
            return  # nothing of it is ours
        with note_signals():
            for row in STOP_ORDER:
                parts = [self._parts[name] for name in row if name in self._parts]
                for part in parts:
                    part.ask_to_stop()
                for part in parts:
                    part.finish()
            self._parts.clear()
            if self._plan is not None:
                self._clean_sockets(self._plan)
            self.home.clear()
            self.home.release()

    def _clean_sockets(self, plan: StackPlan) -> None:
        if plan.cluster is not None:
            postgres.remove_socket_folder(plan.cluster)
        if plan.s3_port is not None:
            s3.remove_sockets(plan.s3_internal, plan.s3_port)

    def _prepare(self) -> None:
        """All that can be refused before a process exists."""
        self.home.hold()
        for name in self.home.sweep():
            self._report(f"Left over from a stack that was killed, now ended: {name}.")
        require_start(self.home.path)
        self._plan = plan_stack(self._settings, self.home)
        if self._plan.cluster is not None:
            cluster = self._plan.cluster
            require_database(self.home.path, cluster.sockets, is_new=not cluster.data.exists())
            for said in postgres_folders.prepare_cluster(cluster):
                self._report(said)

    async def _bring_up(self, note: SignalNote) -> None:
        bring_up = BringUp(self.plan, self.home, self._parts, self.seconds, self._report)
        work = asyncio.create_task(bring_up.start_all())
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
            await asyncio.sleep(PAUSE_S)
