"""How long an agency's photos take and what that costs: arithmetic on measured figures.

    python -m benchmarks.capacity_plan --photos 3000 --events 1000 --cores 64 --price 0.05

Prices are the reader's: of a core for an hour, in whatever money. docs/scaling.md says where each
figure was measured, and on what.
"""

from dataclasses import dataclass

CORE_S_A_PHOTO = {"opencv_zoo": 0.062, "buffalo_l": 0.294}
VECTOR_BYTES = {"opencv_zoo": 400, "buffalo_l": 1_400}  # a face's row with its indexes
PHOTO_BYTES = 440  # a photo's row with its indexes
START_CORE_S = 4.0  # a run's process: Python, Prefect, the models
PREFECT_KB_A_SYNC = 500.0
RESYNCS_A_DAY = 24  # prefect.yaml's schedule


@dataclass(frozen=True)
class Plan:
    """What so many events a week come to."""

    hours_an_event: float  # alone on all cores
    hours: float  # all events, one after the other or side by side
    resync_core_hours_a_week: float  # looking hourly for late uploads
    money: float  # core hours of both, times the price
    database_gb: float
    prefect_gb: float  # of its database, a week


def compute_plan(
    *, photos: int, events: int, cores: int, price: float, pack: str, faces: float, active_days: int
) -> Plan:
    """The week of an agency: `events` of `photos` each, with `faces` a photo.

    price: of a core for an hour. active_days: FACEPASS_EVENT_ACTIVE_DAYS; in each of them an event
    is looked at every hour. Raises KeyError for a pack that was not measured.
    """
    core_hours = photos * CORE_S_A_PHOTO[pack] / 3600
    looks = events * active_days * RESYNCS_A_DAY
    resync_hours = looks * START_CORE_S / 3600
    row_bytes = PHOTO_BYTES + faces * VECTOR_BYTES[pack]
    return Plan(
        hours_an_event=core_hours / cores,
        hours=events * core_hours / cores,
        resync_core_hours_a_week=resync_hours,
        money=price * (events * core_hours + resync_hours),
        database_gb=events * photos * row_bytes / 1e9,
        prefect_gb=(events * PREFECT_KB_A_SYNC) / 1e6,
    )
