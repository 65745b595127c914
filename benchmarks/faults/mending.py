"""The repair of everything that a round's faults broke."""

from benchmarks.faults.scene import Scene, wait_ready
from deployments.stack import postgres, prefect, s3

# What uses something comes after it.
START_ORDER = (postgres.NAME, s3.NAME, prefect.SERVER, prefect.WORKER)


def mend(scene: Scene) -> list[str]:
    """Mend the line and the disk; parts that died, for whoever stopped one has started it again.

    Those are started, so that the campaign can go on. Raises StackError.
    """
    scene.proxy.mend()
    while scene.spoilt:
        scene.spoilt.pop()()
    died: list[str] = []
    for name in (*START_ORDER, *[name for name in scene.parts if name not in START_ORDER]):
        part = scene.parts[name]
        if part.is_running:
            continue
        died.append(str(part.describe_death()))
        part.stop()
        part.start()
        wait_ready(scene, name)
    return died
