"""A process that syncs two events of one photo each and records the second; JSON on stdout."""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.trace.moves import Part, Recorder


def main() -> None:
    """The arguments: the product's root, then an id and an S3 prefix for each event."""
    root, first_id, first_prefix, second_id, second_prefix = sys.argv[1:]
    recorder = Recorder(Path(root))
    recorder.install()  # before there is any thread that it could miss
    from flows.sync_event_photos import sync_event_photos

    sync_event_photos(first_id, first_prefix)
    with recorder.record() as record:
        state = sync_event_photos(second_id, second_prefix, return_state=True)
    sys.setprofile(None)
    if not state.is_completed() or not record.end.entered:
        raise SystemExit(f"No face was stored; the sync ended as {state.name}: {state.message}")
    parts = {"start": record.start, "photo": record.photo, "whole": record.whole}
    described = {name: describe_part(part) for name, part in parts.items()}
    sys.stdout.write(json.dumps(described) + "\n")


def describe_part(part: Part) -> dict[str, Any]:
    """A part's figures, and the names behind them."""
    return {
        "modules": len(part.entered),
        "moves": part.moves.total(),
        "transactions": part.transactions,
        "event_reads": part.event_reads,
        "event_locks": part.event_locks,
        "event_statements": part.event_statements,
        "packs_resolved": part.packs_resolved,
        "entered": sorted(part.entered),
        "busiest": [[*pair, times] for pair, times in part.moves.most_common(20)],
    }


if __name__ == "__main__":
    main()
