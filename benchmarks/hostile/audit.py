"""Each file's outcome, and the judgement whether it is explained."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from models.keys import is_image_key
from models.vocabulary import PhotoReason, PhotoStatus

IGNORED = "ignored"  # no photo by its name: the listing leaves it out
FAILURES = {reason.value for reason in PhotoReason} - {PhotoReason.NO_FACE_DETECTED.value}


@dataclass
class FileReport:
    """One file: what the worker process and the ledger say of it."""

    kind: str
    name: str
    seconds: float = 0.0
    peak_mib: int = 0
    crash: str | None = None
    found: str = ""  # by the worker process alone
    stored: str | None = None  # in the ledger, after a sync of all files together

    @property
    def unexplained(self) -> str | None:
        """Why nobody could tell what became of this file; None where it is told."""
        if self.stored is None:
            return "not in the ledger"
        if not is_image_key(self.name):
            return None if self.stored == IGNORED else f"no photo by its name, yet {self.stored}"
        if not is_explained(self.stored):
            return self.stored
        if not self.crash and self.found != self.stored:
            return f"{self.found} alone, {self.stored} among others"
        return None


@dataclass
class Audit:
    """The whole corpus."""

    files: list[FileReport]
    # Of what is nobody's own: a batch that crashed the worker, a run that failed.
    crashes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def count(self) -> dict[str, int]:
        """The last line's numbers."""
        return {
            "files": len(self.files),
            "crashed": sum(file.crash is not None for file in self.files) + len(self.crashes),
            "unexplained": sum(file.unexplained is not None for file in self.files)
            + len(self.failures),
        }


def tell_verdict(verdict: str) -> str:
    """A worker's verdict as the ledger tells it."""
    if not verdict:
        return PhotoStatus.INDEXED.value
    if verdict == PhotoReason.NO_FACE_DETECTED:
        return PhotoStatus.NO_FACE.value
    return f"{PhotoStatus.FAILED.value}: {verdict}"


def tell_row(row: Mapping[str, Any]) -> str:
    """A ledger's row, with its reason where it failed."""
    status = str(row["status"])
    return f"{status}: {row['reason']}" if status == PhotoStatus.FAILED.value else status


def is_explained(outcome: str) -> bool:
    """Whether a photo's outcome is final, and a failure's reason one of the fixed list."""
    status, _, reason = outcome.partition(": ")
    if status == PhotoStatus.FAILED.value:
        return reason in FAILURES
    return status in {PhotoStatus.INDEXED.value, PhotoStatus.NO_FACE.value} and not reason


def match_rows(names: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Name -> outcome, from the ledger's rows; `s3_key` there is the name under the prefix.

    A name that the ledger does not know is missing here, unless listings ignore it; one that it
    knows twice is told so.
    """
    told = [(str(row["s3_key"]), tell_row(row)) for row in rows]
    counts = Counter(name for name, _ in told)
    known = {name: text if counts[name] == 1 else "several rows" for name, text in told}
    ignored = {name: IGNORED for name in names if not is_image_key(name) and name not in known}
    return known | ignored
