"""The command of `make hostile`: hostile files in a monitored worker, then in a real sync.

It fails if a file crashes the worker or has no explained result.
"""

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.hostile.alone import look_at_files, write_files
from benchmarks.hostile.corpus import SEED, build_corpus
from benchmarks.hostile.report import build_last_line, print_audit
from benchmarks.hostile.synced import sync_files


def main() -> int:
    """0 when no file crashed a worker and each has an outcome that is explained."""
    # A short path: PostgreSQL's sockets do not like long ones.
    with tempfile.TemporaryDirectory(prefix="fp-") as name:
        home = Path(name)
        folder = home / "files"
        folder.mkdir()
        say(f"Making the corpus (seed {SEED}) ...")
        reports = write_files(build_corpus(), folder)
        # The worker under test is a child: what it must know is in the environment.
        os.environ["FACEPASS_MODEL_PACK"] = "opencv_zoo"
        os.environ["FACEPASS_MODEL_ROOT"] = str(home / "models")
        say(f"{len(reports)} files through the engine in a watched process ...")
        audit = look_at_files(folder, reports, say)
        say("All of them through a sync on a stack of its own ...")
        sync_files(folder, audit, home, say)
    print_audit(audit)
    say(build_last_line(audit))
    numbers = audit.count()
    return 1 if numbers["crashed"] or numbers["unexplained"] else 0


def say(line: str) -> None:
    """A line for whoever watches."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
