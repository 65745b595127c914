"""A calculator of an agency's time and cost for its photos, from measured figures.

    python -m benchmarks.capacity.plan --photos 3000 --events 1000 --cores 64 --price 0.05

Nothing is measured here: docs/scaling.md names each figure's source and machine. The price is of
one core for an hour, in any currency.
"""

import argparse
import json
import math
import sys
from dataclasses import asdict, dataclass, fields

from tasks.faces.engine import FETCH_THREADS, FETCH_THREADS_A_CORE

# Of a core, a photo of two faces: `make bench`, two cores.
CORE_S_A_PHOTO = {"buffalo_l": 0.294, "opencv_zoo": 0.062}
FACE_BYTES = {"buffalo_l": 1_260, "opencv_zoo": 420}  # a face's row with its indexes
PHOTO_BYTES = 380  # a photo's row with its indexes
# A sync of 3,000 photos and a run's start: `make bench-capacity`.
PREFECT_CORE_S_A_SYNC = 0.7
PREFECT_MB_A_SYNC = 1.3
START_CORE_S = 2.5
LOOKS_A_DAY = 24  # prefect.yaml's schedule
KEYS_A_LIST = 1_000  # S3's own limit


@dataclass(frozen=True)
class Plan:
    """What so many events come to."""

    core_hours: float  # of all syncs, their starts included
    hours: float  # on all cores, however the events are spread over machines
    hours_an_event: float  # one event alone on one machine's cores
    money: float
    prefect_hours: (
        float  # of Prefect's server, which uses one core: less than `hours`, or it limits
    )
    hidden_s3_ms: float  # a GET may take so long without costing time
    database_gb: float
    prefect_gb: float  # of its database, until its own retention deletes it
    s3_gets: float
    s3_lists: float  # of the hourly looks, which list previews and originals


def compute_plan(
    *,
    photos: int,
    events: int,
    machines: int,
    cores: int,
    price: float,
    pack: str,
    faces: float,
    days: int,
) -> Plan:
    """`events` of `photos` each with `faces` a photo, on machines of so many cores each.

    price: of one core for an hour. pack: one of CORE_S_A_PHOTO. days: FACEPASS_EVENT_ACTIVE_DAYS.
    """
    core_s = CORE_S_A_PHOTO[pack]
    sync_hours = photos * core_s / 3600
    core_hours = events * (sync_hours + START_CORE_S / 3600)
    fetching = max(FETCH_THREADS, FETCH_THREADS_A_CORE * cores)
    return Plan(
        core_hours=core_hours,
        hours=core_hours / (machines * cores),
        hours_an_event=sync_hours / cores,
        money=price * core_hours,
        prefect_hours=events * PREFECT_CORE_S_A_SYNC * photos / 3_000 / 3600,
        hidden_s3_ms=1000 * fetching * core_s / cores,
        database_gb=events * photos * (PHOTO_BYTES + faces * FACE_BYTES[pack]) / 1e9,
        prefect_gb=events * PREFECT_MB_A_SYNC * photos / 3_000 / 1e3,
        s3_gets=events * photos,
        s3_lists=events * days * LOOKS_A_DAY * 2 * math.ceil(photos / KEYS_A_LIST),
    )


def main() -> int:
    """Print a line for each figure, and all of them as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=3_000, help="of an event")
    parser.add_argument("--events", type=int, default=1_000)
    parser.add_argument("--faces", type=float, default=2.0, help="of a photo")
    parser.add_argument("--pack", choices=list(CORE_S_A_PHOTO), default="buffalo_l")
    parser.add_argument("--machines", type=int, default=1)
    parser.add_argument("--cores", type=int, default=2, help="of a machine")
    parser.add_argument("--price", type=float, default=0.0, help="of one core for an hour")
    parser.add_argument("--days", type=int, default=30, help="an event is looked at every hour")
    plan = compute_plan(**vars(parser.parse_args()))
    for field in fields(plan):
        sys.stderr.write(f"{field.name:15} {getattr(plan, field.name):14,.2f}\n")
    rounded = {name: round(value, 2) for name, value in asdict(plan).items()}
    sys.stdout.write(json.dumps(rounded) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
