"""The audit of an event against an undisturbed sync of the same bytes."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal, get_args

from benchmarks.faults.guests import Reply, count_files
from benchmarks.faults.ledger import PhotoRow
from benchmarks.faults.photographer import EventCase

# `unanswered`: a person got neither an answer nor a sentence, or waited too long for it.
# `foreign`: a guest was shown another event's photo.
Verdict = Literal["lost", "doubled", "stuck", "unanswered", "foreign"]

# Answers that are no success and right nevertheless, where they hold a sentence.
REFUSALS = {
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
}


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it must be."""

    verdict: Verdict
    sentence: str


@dataclass(frozen=True)
class Reference:
    """An undisturbed sync of `case`: its photos by name, and its result.

    `shown` are the names of the photos in its gallery, `found` those of each person's searches.
    """

    case: EventCase
    photos: Mapping[str, PhotoRow]
    result: Mapping[str, Any]
    shown: Collection[str] = ()
    found: Mapping[int, Collection[str]] = field(default_factory=dict)


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


def audit_shown(
    where: str, wanted: Collection[str] | None, keys: Sequence[str], s3_prefix: str
) -> list[Finding]:
    """A guest sees each photo of the event once, and no other event's; None: some, not all yet."""
    copies = Counter(keys)
    names = {key.removeprefix(s3_prefix) for key in copies if key.startswith(s3_prefix)}
    found = [
        Finding("foreign", f"{where} of {s3_prefix} shows {key}")
        for key in copies
        if not key.startswith(s3_prefix)
    ]
    found += [
        Finding("doubled", f"{where} of {s3_prefix} shows {key} {count} times")
        for key, count in copies.items()
        if count > 1
    ]
    if wanted is not None:
        lacking, extra = set(wanted) - names, names - set(wanted)
        found += [Finding("lost", f"{where} of {s3_prefix} lacks {name}") for name in lacking]
        found += [Finding("doubled", f"{where} of {s3_prefix} has {name} too") for name in extra]
    return found


def audit_replies(
    replies: Sequence[Reply], limit_s: float, *, may_break: bool = False
) -> list[Finding]:
    """Every call got an answer, or a sentence, within its time.

    may_break: an answer that broke off after it began is one, for a browser tells a person so.
    """
    found: list[Finding] = []
    for reply in replies:
        if reply.status is None:
            is_answer = may_break and reply.status_sent is not None
            told = f"broke off ({reply.error})" if reply.status_sent else f"none ({reply.error})"
        else:
            is_refusal = reply.status in REFUSALS and bool(reply.sentence)
            is_answer = reply.status in {HTTPStatus.OK, HTTPStatus.CREATED} or is_refusal
            told = f"{reply.status} {reply.sentence}".strip()
        if not is_answer or reply.seconds > limit_s:
            sentence = f"{reply.call}: {told} after {reply.seconds:.1f} s"
            found.append(Finding("unanswered", sentence))
    return found


def audit_zips(replies: Sequence[Reply], files: int) -> list[Finding]:
    """Every zip that came to its end holds all the files that were asked for."""
    counts = [count_files(reply.body) for reply in replies if reply.status == HTTPStatus.OK]
    return [
        Finding("lost", f"a zip that looks whole holds {count or 'no'} files of {files}")
        for count in counts
        if count != files
    ]


def audit_deadlocks(before: int, after: int) -> list[Finding]:
    """PostgreSQL's count of deadlocks stands still; it begins anew after a crash of its own."""
    count = after - before if after >= before else after
    return [Finding("stuck", f"PostgreSQL ended {count} deadlocks")] if count else []


def count_verdicts(findings: Sequence[Finding]) -> dict[str, int]:
    """Findings by verdict, for the last line."""
    counts = Counter(finding.verdict for finding in findings)
    return {verdict: counts[verdict] for verdict in get_args(Verdict)}
