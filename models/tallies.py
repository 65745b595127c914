"""What a listing found that needed no work, and how a run's listings add up."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Tally:
    """Counts of one listing's photos that needed no work, and of the work it made."""

    listed: int
    existing: int  # known before this run
    skipped: int
    resting: int
    gone: int
    missing_originals: int
    planned: int


def merge_tallies(
    tallies: dict[str, dict[str, int]], s3_prefix: str, tally: Tally
) -> dict[str, dict[str, int]]:
    """The run's counts with a new listing's in the place of those it covers."""
    kept = {known: counts for known, counts in tallies.items() if not known.startswith(s3_prefix)}
    return {**kept, s3_prefix: asdict(tally)}


def widen_prefix(tallies: dict[str, dict[str, int]], s3_prefix: str) -> str:
    """The prefix to list for a request: one already listed that contains it, or itself."""
    return next((known for known in tallies if s3_prefix.startswith(known)), s3_prefix)
