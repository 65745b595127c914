"""Guests at the galleries: many at once while a sync runs, and a few who look once it is over."""

from concurrent.futures import ThreadPoolExecutor

from benchmarks.faults.audit import (
    Finding,
    Reference,
    audit_replies,
    audit_shown,
    audit_zips,
)
from benchmarks.faults.guests import ANSWER_S, PEOPLE, Guest
from benchmarks.faults.ledger import has_begun
from benchmarks.faults.moment import Moment
from benchmarks.faults.photographer import EventCase
from benchmarks.faults.scene import Scene

GUESTS = 40
ALL_PHOTOS = 100  # of a person on one page


def invite_guests(moment: Moment) -> bool:
    """Have forty guests at once look, search and download: at the victim's and at another's."""
    is_running = has_begun(moment.scene.database, moment.victim.task_id)
    with ThreadPoolExecutor(GUESTS) as threads:
        visits = [threads.submit(_visit, moment, number) for number in range(GUESTS)]
        for visit in visits:
            moment.findings.extend(visit.result())
    return is_running


def _visit(moment: Moment, number: int) -> list[Finding]:
    """One guest: the page, a selfie, and the photos that were found."""
    reference, person = moment.reference, PEOPLE[number // 2 % len(PEOPLE)]
    # Of the victim's photos nobody knows how many are read by now.
    is_finished = number % 2 == 0
    case = reference.case if is_finished else moment.victim
    guest = Guest(moment.scene.api_urls[number // 4 % 2], case)
    photos = {key: photo_id for photo_id, key in guest.look()}
    keys = guest.search(person, ALL_PHOTOS)
    found: list[Finding] = []
    if keys is not None:
        wanted = reference.found[person] if is_finished else None
        found += audit_shown("a search", wanted, keys, case.s3_prefix)
    asked = [photos[key] for key in keys or () if key in photos]
    if asked:
        guest.download(asked)
        zips = [reply for reply in guest.replies if reply.call == "zip"]
        found += audit_zips(zips, len(asked))
    return found + audit_replies(guest.replies, ANSWER_S)


def audit_galleries(scene: Scene, case: EventCase, reference: Reference) -> list[Finding]:
    """A synced event's guests see all its photos, at both API processes, and nobody else's."""
    found: list[Finding] = []
    for url, person in zip(scene.api_urls, PEOPLE, strict=True):
        guest = Guest(url, case)
        shown = [key for _, key in guest.look()]
        found += audit_shown("the gallery", reference.shown, shown, case.s3_prefix)
        keys = guest.search(person)
        if keys is None:
            told = guest.replies[-1].sentence
            found.append(Finding("stuck", f"a guest of {case.s3_prefix} is told: {told}"))
        else:
            found += audit_shown("a search", reference.found[person], keys, case.s3_prefix)
        found += audit_replies(guest.replies, ANSWER_S)
    return found
