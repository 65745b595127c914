"""Processes killed with -9, or stopped: the worker's, and those of its flow runs."""

import random
import signal
import time
from contextlib import suppress

import psutil  # type: ignore[import-untyped]  # publishes no types, and its stubs are not locked

from benchmarks.faults.ledger import has_begun
from benchmarks.faults.scene import Scene
from deployments.stack import prefect
from deployments.stack.process import Part, collect_descendants, kill_processes


def find_flow_processes(scene: Scene, task_ids: set[str]) -> list[psutil.Process]:
    """The engines of these flow runs; Prefect hands each its run's id in its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue  # ended meanwhile, or not ours to read
        mine = environment.get("FACEPASS_HOME") == str(scene.stack.home.path)
        if mine and environment.get("PREFECT__FLOW_RUN_ID") in task_ids:
            found.append(process)
    return found


def kill_flow(scene: Scene, task_id: str) -> bool:
    """Kill a flow run's process; whether there was one."""
    processes = find_flow_processes(scene, {task_id})
    kill_processes(processes)
    return bool(processes)


def freeze_flow(scene: Scene, task_id: str) -> bool:
    """Have a flow run's process stand still, with all it holds; whether there was one.

    One that has not begun holds nothing yet. It goes on when its event has been synced by another
    run.
    """
    if not has_begun(scene.database, task_id):
        return False
    processes = find_flow_processes(scene, {task_id})
    for process in processes:
        process.suspend()
    scene.frozen += processes
    return bool(processes)


def thaw_flows(scene: Scene) -> None:
    """Have them go on, those that were not killed meanwhile."""
    while scene.frozen:
        with suppress(psutil.NoSuchProcess):
            scene.frozen.pop().resume()


def kill_worker(scene: Scene, chance: random.Random) -> bool:
    """Kill the worker and start it again; its flow runs go on without it."""
    return _replace_worker(scene, chance, [])


def kill_worker_and_flows(scene: Scene, task_ids: set[str], chance: random.Random) -> bool:
    """Kill both, the worker first, so that it can tell nobody; whether a flow run died."""
    flows = find_flow_processes(scene, task_ids)
    return _replace_worker(scene, chance, flows) and bool(flows)


def _replace_worker(scene: Scene, chance: random.Random, flows: list[psutil.Process]) -> bool:
    worker = scene.parts[prefect.WORKER]
    was_running = kill_part(worker)
    kill_processes(flows)
    time.sleep(chance.uniform(0.5, 2.0))
    worker.start()
    return was_running


def kill_part(part: Part, *, tree: bool = False) -> bool:
    """Kill a part of the stack with -9; with `tree` all below it too. Whether it was running."""
    if part.process is None or not part.is_running:
        return False
    below = collect_descendants(part.process.pid) if tree else []
    part.process.send_signal(signal.SIGKILL)
    part.process.wait()
    kill_processes(below)
    return True
