"""The delays between the attempts to deliver a webhook, and when it is given up."""

from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from api.webhooks import (
    FIRST_DELAY_S,
    GIVEN_UP_AFTER,
    LEASE,
    LONGEST_DELAY_S,
    SEND_LIMIT_S,
    Answer,
    DeliveryMetrics,
    compute_delay,
    decide_delay,
)
from models.tables import WebhookDelivery, utc_now

FAILED = Answer("the receiver answered 500")
chances = st.floats(0, 1)
attempts_made = st.integers(1, 10_000)


def make_delivery(age: timedelta, attempts: int = 1) -> WebhookDelivery:
    return WebhookDelivery(
        id=7,
        event_id=1,
        flow_run_id=uuid4(),
        payload={},
        attempts=attempts,
        created_at=utc_now() - age,
    )


@given(attempts_made, chances, st.none() | st.floats(0, 1e12))
def test_a_delay_is_between_five_seconds_and_an_hour(
    attempts: int, chance: float, asked_s: float | None
) -> None:
    delay = compute_delay(attempts, chance, asked_s)
    assert FIRST_DELAY_S / 2 <= delay <= LONGEST_DELAY_S
    assert delay >= min(asked_s or 0, LONGEST_DELAY_S)


@given(attempts_made, chances)
def test_delays_double_up_to_an_hour(attempts: int, chance: float) -> None:
    now, later = compute_delay(attempts, chance), compute_delay(attempts + 1, chance)
    full = FIRST_DELAY_S * 2.0 ** min(attempts, 20)
    assert later == pytest.approx(2 * now if full <= LONGEST_DELAY_S else later)
    assert later >= now


@given(attempts_made, chances)
def test_chance_takes_half_of_a_delay_at_most(attempts: int, chance: float) -> None:
    full = compute_delay(attempts, 0)
    assert full / 2 <= compute_delay(attempts, chance) <= full


def test_a_day_of_attempts_is_few_dozen() -> None:
    waits = [compute_delay(attempt, 0.5) for attempt in range(1, 60)]
    total, attempts = 0.0, 0
    while total < GIVEN_UP_AFTER.total_seconds():
        total, attempts = total + waits[attempts], attempts + 1
    assert 25 < attempts < 50


@given(st.integers(0, 86_000))
def test_a_webhook_is_tried_for_a_day(age_s: int) -> None:
    assert decide_delay(make_delivery(timedelta(seconds=age_s)), FAILED) is not None


@given(st.timedeltas(GIVEN_UP_AFTER, timedelta(days=900)))
def test_after_a_day_one_more_failure_is_the_last(age: timedelta) -> None:
    # Also where the API was down all day: then it is the first one.
    assert decide_delay(make_delivery(age), FAILED) is None


def test_a_receiver_that_is_gone_is_asked_no_more() -> None:
    gone = Answer("the receiver answered 410", is_gone=True)
    assert decide_delay(make_delivery(timedelta()), gone) is None


def test_an_attempt_has_ended_before_others_may_take_its_delivery() -> None:
    assert LEASE.total_seconds() > 2 * SEND_LIMIT_S


def test_a_message_keeps_its_id_and_the_id_no_full_stop() -> None:
    # The signature is over id.timestamp.body.
    delivery = make_delivery(timedelta())
    first = delivery.message_id
    delivery.attempts += 1
    assert delivery.message_id == first == f"msg_{delivery.flow_run_id.hex}_7"
    assert "." not in first


def test_outcomes_are_there_before_the_first_of_them() -> None:
    registry = CollectorRegistry()
    metrics = DeliveryMetrics(registry)
    metrics.count("retried")
    found = {
        outcome: registry.get_sample_value("facepass_webhook_attempts_total", {"outcome": outcome})
        for outcome in ("delivered", "retried", "given_up")
    }
    assert found == {"delivered": 0, "retried": 1, "given_up": 0}
