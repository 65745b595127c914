"""Webhooks of ended syncs: one for each end, delivered whatever the receiver or the API suffers."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import anyio
import httpx
import pytest
from prometheus_client import CollectorRegistry

from api.webhooks import LEASE, DeliveryMetrics, Receiver, deliver_due, open_receiver_client
from models.queries.erasures import erase_event_rows
from models.queries.events import lock_event
from models.queries.runs import complete_run, end_run, ensure_run
from models.queries.webhooks import count_waiting_deliveries, delete_old_deliveries
from models.session import open_session
from models.vocabulary import SyncState
from tests.support.documents import read_python
from tests.support.event_box import EventBox
from tests.support.photos import encode_jpeg, read_sample
from tests.support.public_api import PublicApi, serve_api
from tests.support.waiting import wait_until
from tests.support.webhook_receiver import HANG, Received, WebhookReceiver, receive_webhooks

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PATH = "/hook/a-path-that-is-a-password"

check_notice: Callable[..., bool] = read_python("operations.md", "check_notice")


@pytest.fixture
def receiver(configure: Callable[..., None]) -> Iterator[WebhookReceiver]:
    """A receiver, and this process's settings naming it."""
    with receive_webhooks(PATH) as receiver:
        configure(webhook_url=receiver.url, webhook_secret=SECRET)
        yield receiver
        with open_session() as session:  # nothing is left for the next test's rounds
            delete_old_deliveries(session, timedelta(days=-1))


def read_deliveries(event: EventBox) -> list[Any]:
    return event.query("SELECT * FROM webhook_delivery WHERE event_id = :event ORDER BY id")


def read_delivery(event: EventBox) -> Any:
    (delivery,) = read_deliveries(event)
    return delivery


def read_now(event: EventBox) -> datetime:
    (row,) = event.query("SELECT clock_timestamp() AS now")
    now: datetime = row.now
    return now


def make_due(event: EventBox) -> None:
    """As if the time until the next attempt had gone by."""
    event.query(
        "UPDATE webhook_delivery SET next_try_at = now()"
        " WHERE event_id = :event AND next_try_at IS NOT NULL RETURNING 1"
    )


def add_run(event: EventBox) -> UUID:
    flow_run_id = uuid4()
    with open_session() as session:
        ensure_run(session, flow_run_id=flow_run_id, event_id=event.id, s3_prefix=event.prefix)
    return flow_run_id


def end(flow_run_id: UUID, state: SyncState, **how: Any) -> bool:
    with open_session() as session:
        return end_run(session, flow_run_id, state, **how)


def deliver(receiver: WebhookReceiver, *, processes: int = 1, limit_s: float = 5) -> None:
    """One round of as many API processes at the same time."""
    aim = Receiver(receiver.url, SECRET, limit_s)

    async def run_round() -> None:
        async with open_receiver_client(aim) as client:
            await deliver_due(client, aim, DeliveryMetrics(CollectorRegistry()))

    async def run_all() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(processes):
                tasks.start_soon(run_round)

    anyio.run(run_all)


def verify(calls: list[Received]) -> None:
    assert all(check_notice(SECRET, call.headers, call.body) for call in calls)


# --- the real thing, from a sync to the receiver ---


def test_webhooks_outlive_a_failing_a_hanging_receiver_and_a_killed_api(
    event: EventBox,
    make_event: Callable[..., EventBox],
    receiver: WebhookReceiver,
    joined_stack: dict[str, str],
    tmp_path: Path,
) -> None:
    other = make_event("Юбилей Ёлки")
    end(add_run(other), SyncState.CRASHED, detail="it died")
    receiver.answers = [500, HANG]
    settings = {"FACEPASS_WEBHOOK_URL": receiver.url, "FACEPASS_WEBHOOK_SECRET": SECRET}
    with serve_api(tmp_path, ["api"], joined_stack | settings) as api:
        fail_and_hang(other, receiver, api)
        # Nobody waits for a receiver that hangs: not the API's calls, not a sync.
        assert httpx.get(f"{api.url}/ready", timeout=30, trust_env=False).status_code == 200
        event.put("лес.jpg", encode_jpeg(read_sample("coffee.png")))
        outcome = event.sync()
        assert outcome.result["new_photos"] == 1
        api.kill()
    assert [read_delivery(one).delivered_at for one in (other, event)] == [None, None]
    for one in (other, event):
        make_due(one)
    deliver(receiver)  # as the next process does

    for one in (other, event):
        check_delivery(one, receiver)
    told = {call.message["type"]: call.message["data"] for call in receiver.received}
    assert told.keys() == {"sync.crashed", "sync.completed"}
    data = told["sync.completed"]
    assert data["event_name"] == event.name == "Свадьба Анны и Ёжи"
    assert (data["event_uuid"], data["task_id"]) == (str(event.uuid), str(outcome.task_id))
    assert data["result"] == outcome.result


def check_delivery(event: EventBox, receiver: WebhookReceiver) -> None:
    """The event's one delivery has arrived, however often it had to be sent."""
    delivery = read_delivery(event)
    assert delivery.delivered_at
    assert (delivery.next_try_at, delivery.last_error) == (None, None)
    calls = [call for call in receiver.received if call.message["data"]["event_id"] == event.id]
    assert delivery.attempts == len(calls) >= 1
    verify(calls)
    assert len({call.headers["webhook-id"] for call in calls}) == 1
    assert len({call.body for call in calls}) == 1
    assert event.name.encode() in calls[0].body


def read_metric(api: PublicApi, name: str) -> float:
    text = httpx.get(f"{api.url}/metrics", timeout=30, trust_env=False).text
    (line,) = [found for found in text.splitlines() if found.startswith(f"facepass_webhook_{name}")]
    return float(line.rpartition(" ")[2])


def fail_and_hang(event: EventBox, receiver: WebhookReceiver, api: PublicApi) -> None:
    """The first attempt fails, the second one hangs."""
    wait_until(lambda: read_delivery(event).last_error)
    delivery = read_delivery(event)
    assert (delivery.attempts, delivery.delivered_at) == (1, None)
    assert delivery.last_error == "the receiver answered 500"
    make_due(event)
    wait_until(lambda: len(receiver.received) == 2)
    # Claimed for this attempt alone; whoever dies with it loses it.
    left = read_delivery(event).next_try_at - read_now(event)
    assert timedelta() < left <= LEASE
    assert read_metric(api, 'attempts_total{outcome="retried"}') == 1
    assert read_metric(api, "waiting") >= 1
    log = api.log()
    assert "is sent again later" in log
    assert PATH not in log
    assert SECRET not in log


# --- what is told, and how often ---


def test_every_end_of_a_run_is_told_once_by_however_many_processes(
    event: EventBox, receiver: WebhookReceiver
) -> None:
    runs = [add_run(event) for _ in range(6)]
    ends = [SyncState.FAILED, SyncState.CRASHED, SyncState.CANCELLED, SyncState.SKIPPED]
    for flow_run_id, state in zip(runs, ends, strict=False):
        held_by = runs[0] if state is SyncState.SKIPPED else None
        for _ in range(2):  # the second one finds it ended
            end(flow_run_id, state, detail="нет", held_by=held_by)
    with open_session() as session:
        complete_run(session, runs[4], {"message": "да", "new_photos": 2})
    with open_session() as session:
        erase_event_rows(session, event.id)  # stops the last one

    for _ in range(2):
        deliver(receiver, processes=3)

    verify(receiver.received)
    told = {call.message["data"]["task_id"]: call.message for call in receiver.received}
    assert len(receiver.received) == len(told) == 6
    types = [told[str(flow_run_id)]["type"] for flow_run_id in runs]
    assert types == [f"sync.{s}" for s in (*ends, SyncState.COMPLETED, SyncState.CANCELLED)]
    assert told[str(runs[3])]["data"]["held_by"] == str(runs[0])
    assert told[str(runs[4])]["data"]["result"] == {"message": "да", "new_photos": 2}
    assert "erased" in told[str(runs[5])]["data"]["detail"]
    assert all(
        delivery.delivered_at and not delivery.next_try_at for delivery in read_deliveries(event)
    )


def test_what_did_not_happen_is_not_told(
    event: EventBox, receiver: WebhookReceiver, configure: Callable[..., None]
) -> None:
    flow_run_id = add_run(event)
    with pytest.raises(RuntimeError, match="nothing happened"), open_session() as session:
        end_run(session, flow_run_id, SyncState.FAILED)
        raise RuntimeError("nothing happened")
    assert read_deliveries(event) == []
    configure(webhook_url="")
    end(flow_run_id, SyncState.FAILED)
    assert read_deliveries(event) == []


def test_two_who_end_a_run_at_once_wait_for_each_other_in_one_order(
    event: EventBox, receiver: WebhookReceiver
) -> None:
    # The watch holds the event's row when it closes a run; the run itself, when it ends, does not.
    flow_run_id = add_run(event)
    with ThreadPoolExecutor(1) as pool, open_session() as watch:
        lock_event(watch, event.id)
        run_ends = pool.submit(end, flow_run_id, SyncState.FAILED, detail="it failed")
        blocked = "SELECT 1 FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"
        wait_until(lambda: event.query(blocked))
        assert end_run(watch, flow_run_id, SyncState.CRASHED, detail="it died")
    assert run_ends.result() is False
    assert read_delivery(event).payload["data"]["detail"] == "it died"


# --- what a receiver may ask for ---


def test_a_receiver_that_is_gone_is_told_no_more(
    event: EventBox, receiver: WebhookReceiver
) -> None:
    end(add_run(event), SyncState.FAILED)
    receiver.answers = [410]
    deliver(receiver)
    deliver(receiver)
    assert len(receiver.received) == 1
    delivery = read_delivery(event)
    assert (delivery.next_try_at, delivery.delivered_at) == (None, None)
    assert delivery.last_error == "the receiver answered 410"


def test_a_receiver_may_ask_for_more_time(event: EventBox, receiver: WebhookReceiver) -> None:
    end(add_run(event), SyncState.FAILED)
    receiver.answers, receiver.headers = [503], {"retry-after": "1800"}
    deliver(receiver)
    wait = read_delivery(event).next_try_at - read_now(event)
    assert timedelta(minutes=28) < wait <= timedelta(minutes=30)
    with open_session() as session:
        assert count_waiting_deliveries(session) == 1
    deliver(receiver)
    assert len(receiver.received) == 1


def test_an_attempt_that_outlives_its_claim_does_not_undo_the_next_ones(
    event: EventBox, receiver: WebhookReceiver
) -> None:
    from api.webhooks import Answer, _claim_due, _record_attempt

    end(add_run(event), SyncState.FAILED)
    (late,) = _claim_due()
    make_due(event)
    deliver(receiver)
    assert read_delivery(event).delivered_at
    _record_attempt(late, Answer("the receiver answered 500"))
    delivery = read_delivery(event)
    assert delivery.delivered_at
    assert (delivery.next_try_at, delivery.attempts, delivery.last_error) == (None, 2, None)


def test_old_webhooks_are_deleted_whatever_became_of_them(
    event: EventBox, receiver: WebhookReceiver
) -> None:
    for _ in range(3):
        end(add_run(event), SyncState.FAILED)
    receiver.answers = [410]
    deliver(receiver)
    end(add_run(event), SyncState.FAILED)
    old, *_, waiting = read_deliveries(event)
    event.query(
        "UPDATE webhook_delivery SET created_at = now() - interval '8 days'"
        f" WHERE id IN ({old.id}, {waiting.id}) RETURNING 1"
    )
    with open_session() as session:
        assert delete_old_deliveries(session, timedelta(days=7)) == 2
    assert len(read_deliveries(event)) == 2
