"""Photographers who change an event, or requeue its photos, at the worst moment of its sync."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from benchmarks.faults.audit import audit_replies
from benchmarks.faults.guests import ANSWER_S, Reply, call
from benchmarks.faults.ledger import count_failed, count_plans, is_half_read
from benchmarks.faults.moment import Moment
from benchmarks.faults.photographer import USUAL_PROFILE
from benchmarks.faults.s3_proxy import Sickness

POLL_S = 0.1
OTHER_PROFILE = "groups"
RETRY_LIMIT_S = 60.0  # until a sync without S3 waits for its next attempt
BEGUN_LIMIT_S = 60.0  # until a sync has stored its first photos
STORM_LIMIT_S = 40.0
PLANS = 6  # one more batch each at least, while photos are requeued
REQUEUERS = 4


def change_profile(moment: Moment) -> bool:
    """Take S3 away until the sync waits for its retry, and change the event's profile then.

    Some photos are stored before: the retry must not leave them as they are.
    """
    proxy, photographer, victim = moment.scene.proxy, moment.photographer, moment.victim
    if not _wait(lambda: is_half_read(moment.scene.database, victim.task_id), BEGUN_LIMIT_S):
        return False
    proxy.sicken(Sickness.RESET, 1.0)
    try:
        if not _wait(lambda: photographer.look(victim)["state"] == "retrying", RETRY_LIMIT_S):
            return False
        is_usual = photographer.read_profile(victim) == USUAL_PROFILE
        return photographer.change_profile(victim, OTHER_PROFILE if is_usual else USUAL_PROFILE)
    finally:
        proxy.mend()


def requeue_against_plans(moment: Moment) -> bool:
    """Requeue failed photos without a pause while the same event's syncs plan again and again."""
    database, victim = moment.scene.database, moment.victim
    if not _wait(lambda: count_failed(database, victim.event_id) > 0, BEGUN_LIMIT_S):
        return False
    plans, over = count_plans(database, victim.event_id), threading.Event()

    def requeue(number: int) -> list[Reply]:
        url = moment.scene.api_urls[number % 2]
        path = f"{url}/api/v1/events/{victim.event_uuid}/photos/requeue"
        replies = []
        while not over.is_set():
            replies.append(call("requeue", "POST", path))
        return replies

    with ThreadPoolExecutor(REQUEUERS) as threads:
        storm = [threads.submit(requeue, number) for number in range(REQUEUERS)]
        try:
            _wait(lambda: _ask_until_planned(moment, plans + PLANS), STORM_LIMIT_S)
        finally:
            over.set()
    replies = [reply for future in storm for reply in future.result()]
    moment.findings.extend(audit_replies(replies, ANSWER_S))
    was_requeued = any(reply.read_json().get("requeued") for reply in replies)
    return was_requeued and count_plans(database, victim.event_id) > plans


def _ask_until_planned(moment: Moment, plans: int) -> bool:
    """Ask for the sync once more; whether the event has been planned so often by now."""
    moment.photographer.ask_again(moment.victim)
    return count_plans(moment.scene.database, moment.victim.event_id) >= plans


def _wait(condition: Callable[[], bool], limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True
