"""Servers stopped under a running sync and started again: PostgreSQL, S3, Prefect."""

import random
import signal
import time

from benchmarks.faults.killing import kill_part
from benchmarks.faults.scene import RETRY_DELAY_S, Scene, wait_ready
from deployments.stack import postgres, prefect, s3


def restart_postgres(scene: Scene, how: signal.Signals) -> bool:
    """SIGQUIT: immediate, as after a power cut, with recovery; SIGINT: fast."""
    part = scene.parts[postgres.NAME]
    if part.process is None or not part.is_running:
        return False
    part.process.send_signal(how)
    part.process.wait(30)
    part.start()
    wait_ready(scene, postgres.NAME)
    return True


def stop_s3(scene: Scene, chance: random.Random) -> bool:
    """Kill the server for longer than the flow waits between two attempts, then start it."""
    part = scene.parts[s3.NAME]
    if not kill_part(part):
        return False
    time.sleep(RETRY_DELAY_S + chance.uniform(1.0, 4.0))
    part.start()
    wait_ready(scene, s3.NAME)
    return True


def restart_prefect(scene: Scene, chance: random.Random) -> bool:
    """Stop the server in peace or with -9, then start it."""
    part = scene.parts[prefect.SERVER]
    if chance.random() < 0.5:
        part.stop()
    elif not kill_part(part, tree=True):
        return False
    part.start()
    wait_ready(scene, prefect.SERVER)
    return True
