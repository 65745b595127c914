"""The audit of an event against an undisturbed sync of the same bytes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.faults.ledger import PhotoRow

Verdict = Literal["lost", "doubled", "stuck"]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it must be."""

    verdict: Verdict
    sentence: str


@dataclass(frozen=True)
class Reference:
    """An undisturbed sync: its photos by name, and its result."""

    photos: Mapping[str, PhotoRow]
    result: Mapping[str, Any]


def audit_photos(
    reference: Reference, keys: Sequence[str], photos: Sequence[PhotoRow]
) -> list[Finding]:
    """Every key exactly one photo, every photo exactly the reference's faces and reason."""
    found: list[Finding] = []
    copies = Counter(photo.name for photo in photos)
    found += [Finding("lost", f"{name} has no photo") for name in keys if not copies[name]]
    found += [
        Finding("doubled", f"{name} has {count} photos")
        for name, count in copies.items()
        if count > 1
    ]
    there = set(keys)
    found += [Finding("doubled", f"{name} is not in S3") for name in copies if name not in there]
    for photo in photos:
        if (wanted := reference.photos.get(photo.name)) is not None:
            found += _compare_photo(photo, wanted)
    return found


def _compare_photo(photo: PhotoRow, wanted: PhotoRow) -> list[Finding]:
    found: list[Finding] = []
    if (photo.status, photo.reason) != (wanted.status, wanted.reason):
        told = f"{photo.status} ({photo.reason}) instead of {wanted.status} ({wanted.reason})"
        found.append(Finding("lost", f"{photo.name} is {told}"))
    missing = Counter(wanted.faces) - Counter(photo.faces)
    extra = Counter(photo.faces) - Counter(wanted.faces)
    if missing:
        found.append(Finding("lost", f"{photo.name} lacks {missing.total()} faces"))
    if extra:
        found.append(Finding("doubled", f"{photo.name} has {extra.total()} faces too many"))
    return found


def audit_result(reference: Reference, result: Mapping[str, Any]) -> list[Finding]:
    """The counters of a sync that completed add up to the keys there are."""
    total = result["total_found"]
    wanted = reference.result["total_found"]
    added = sum(result[name] for name in ("new_photos", "updated", "skipped", "failed"))
    found: list[Finding] = []
    if total != wanted or total != added:
        verdict: Verdict = "doubled" if max(total, added) > wanted else "lost"
        found.append(Finding(verdict, f"{total} found, {added} counted, {wanted} are there"))
    if result["failed"] != reference.result["failed"]:
        found.append(Finding("lost", f"{result['failed']} photos failed"))
    if result["gone"]:
        found.append(Finding("lost", f"{result['gone']} photos are called gone"))
    return found


def audit_rerun(reference: Reference, result: Mapping[str, Any]) -> list[Finding]:
    """A sync of what is synced changes nothing: all is skipped, but for what failed and rests."""
    found = audit_result(reference, result)
    work = result["new_photos"] + result["updated"]
    if work or result["faces_found"]:
        found.append(Finding("doubled", f"a rerun did {work} photos again"))
    known = reference.result["total_found"] - reference.result["failed"]
    if result["skipped"] != known:
        found.append(Finding("lost", f"a rerun skipped {result['skipped']} of {known}"))
    return found


def audit_quiet(unfinished: Sequence[str]) -> list[Finding]:
    """Nothing of an event is held or running once its syncs are over."""
    return [Finding("stuck", sentence) for sentence in unfinished]


def count_verdicts(findings: Sequence[Finding]) -> dict[str, int]:
    """Findings by verdict, for the last line."""
    counts = Counter(finding.verdict for finding in findings)
    return {verdict: counts[verdict] for verdict in ("lost", "doubled", "stuck")}
