"""How long an agency's photos take and what that costs: arithmetic on measured figures.

    python -m benchmarks.capacity_plan --photos 3000 --events 1000 --cores 64 --price 0.05

Prices are the reader's: of a core for an hour, in whatever money. docs/scaling.md says where each
figure was measured, and on what.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass

# `make bench`, the whole job of 1,000 previews with two faces each, on two cores of Zen 5.
CORE_S_A_PHOTO = {"opencv_zoo": 0.071, "buffalo_l": 0.324}
# `make bench-capacity`: rows with their indexes, and what a sync costs Prefect.
FACE_BYTES = {"opencv_zoo": 422, "buffalo_l": 1_262}
PHOTO_BYTES = 380
START_CORE_S = 4.0  # a run's own process
SERVER_CORE_S = 0.5  # Prefect's server, for a run that finds nothing to do
PREFECT_KB = {"sync": 1_500, "look": 60}
LOOKS_A_DAY = 24  # prefect.yaml: `resync_events` starts a sync of each active event


@dataclass(frozen=True)
class Week:
    """What the events of one week come to."""

    hours_an_event: float  # alone on all cores
    hours: float  # all of them, however they are spread over the cores
    sync_core_hours: float
    look_core_hours: float  # hourly, for late uploads, as long as events are active
    money: float  # core hours of both, times the price
    database_gb: float  # rows and indexes that stay
    prefect_gb: float  # what Prefect's database takes, until it is cleaned


def compute_week(
    *, photos: int, events: int, cores: int, price: float, pack: str, faces: float, active_days: int
) -> Week:
    """A week of `events`, each of `photos` with `faces` a photo, on so many cores.

    price: of a core for an hour. active_days: FACEPASS_EVENT_ACTIVE_DAYS; so long an event is
    looked at every hour. Raises KeyError for a pack that was not measured.
    """
    event_hours = photos * CORE_S_A_PHOTO[pack] / 3600
    looks = events * active_days * LOOKS_A_DAY
    look_hours = looks * (START_CORE_S + SERVER_CORE_S) / 3600
    row_bytes = PHOTO_BYTES + faces * FACE_BYTES[pack]
    return Week(
        hours_an_event=event_hours / cores,
        hours=events * event_hours / cores,
        sync_core_hours=events * event_hours,
        look_core_hours=look_hours,
        money=price * (events * event_hours + look_hours),
        database_gb=events * photos * row_bytes / 1e9,
        prefect_gb=(events * PREFECT_KB["sync"] + looks * PREFECT_KB["look"]) / 1e6,
    )


def main() -> int:
    """Print the week as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=3_000, help="of an event")
    parser.add_argument("--events", type=int, default=1_000, help="a week")
    parser.add_argument("--cores", type=int, default=2, help="of all workers together")
    parser.add_argument("--price", type=float, default=1.0, help="of a core for an hour")
    parser.add_argument("--pack", choices=sorted(CORE_S_A_PHOTO), default="opencv_zoo")
    parser.add_argument("--faces", type=float, default=3.0, help="a photo")
    parser.add_argument("--active-days", type=int, default=30, help="FACEPASS_EVENT_ACTIVE_DAYS")
    week = compute_week(**vars(parser.parse_args()))
    rounded = {name: round(value, 2) for name, value in asdict(week).items()}
    sys.stdout.write(json.dumps(rounded) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
