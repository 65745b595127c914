"""The receiver of webhooks: settings, signatures, and what its answers mean."""

import logging
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import anyio
import pytest

from api.webhooks import (
    Answer,
    Receiver,
    judge_answer,
    open_receiver_client,
    read_receiver,
    send_message,
)
from api.webhooks import sign_message as sign
from models.errors import ConfigurationError
from models.settings import Settings
from tests.support.documents import read_python
from tests.support.webhook_receiver import HANG, WebhookReceiver, receive_webhooks

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PAYLOAD = {"type": "sync.completed", "data": {"event_name": "Свадьба Анны и Ёжи"}}

check_notice: Callable[..., bool] = read_python("operations.md", "check_notice")


# --- settings ---


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hook?token=x",
        "https://пример.рф/события",
        "http://127.0.0.1:9000/hook",
        "http://[::1]:9000/",
        "http://localhost/",
    ],
)
def test_webhooks_go_to_https_or_stay_on_this_machine(url: str) -> None:
    assert read_receiver(Settings(webhook_url=url, webhook_secret=SECRET)) == Receiver(url, SECRET)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/hook",
        "http://127.0.0.1.example.com/hook",
        "http://localhost@example.com/hook",
        "http://10.0.0.1/",
        "ftp://127.0.0.1/",
        "example.com/hook",
        "https:///hook",
        "https://example.com:port/hook",
        "https://[::1/",
    ],
)
def test_another_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^FACEPASS_WEBHOOK_URL ") as refusal:
        read_receiver(Settings(webhook_url=url, webhook_secret=SECRET))
    assert url not in str(refusal.value)


@pytest.mark.parametrize(
    ("secret", "says"),
    [
        (None, "set without FACEPASS_WEBHOOK_SECRET"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "must be whsec_"),  # no prefix
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLQ==", "24 to 64"),  # 22 bytes
        ("whsec_" + "A" * 88, "24 to 64"),  # 66 bytes
        ("whsec_наша тайна, которую никто не знает", "24 to 64"),
        ("whsec_our secret that nobody knows at all!", "24 to 64"),
    ],
)
def test_a_secret_that_is_missing_or_weak_is_a_sentence(secret: str | None, says: str) -> None:
    settings = Settings(webhook_url="https://example.com/", webhook_secret=secret)
    with pytest.raises(ConfigurationError, match=says) as refusal:
        read_receiver(settings)
    assert "openssl rand -base64 32" in str(refusal.value)
    assert secret is None or secret not in str(refusal.value)


def test_nobody_is_told_where_no_receiver_is_set() -> None:
    assert read_receiver(Settings()) is None
    assert read_receiver(Settings(webhook_secret="nonsense")) is None


def test_neither_address_nor_secret_is_shown() -> None:
    url = "https://example.com/hook/token"
    settings = Settings(webhook_url=url, webhook_secret=SECRET)
    shown = f"{settings!r} {settings} {read_receiver(settings)!r}"
    assert url not in shown
    assert SECRET not in shown


# --- signatures ---


def test_the_signature_is_the_specifications_own_example() -> None:
    headers = sign(
        SECRET,
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        '{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_the_documented_receiver_takes_ours_and_nothing_else() -> None:
    body, now = "Ёжик: да", datetime.now(UTC)
    headers = sign(SECRET, "msg_1", now, body)
    assert check_notice(SECRET, headers, body.encode())
    # A receiver that is being given another secret gets both signatures for a while.
    both = headers | {"webhook-signature": f"v1,AAAA {headers['webhook-signature']}"}
    assert check_notice(SECRET, both, body.encode())
    other = SECRET[:-1] + "A"
    old = sign(SECRET, "msg_1", now - timedelta(minutes=6), body)
    early = sign(SECRET, "msg_1", now + timedelta(minutes=6), body)
    for secret, found, text in (
        (other, headers, body),
        (SECRET, headers, f"{body}."),
        (SECRET, headers | {"webhook-id": "msg_2"}, body),
        (SECRET, headers | {"webhook-timestamp": str(int(now.timestamp()) - 1)}, body),
        (SECRET, headers | {"webhook-signature": "v1,"}, body),
        (SECRET, old, body),
        (SECRET, early, body),
    ):
        assert not check_notice(secret, found, text.encode())


# --- answers ---


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_takes_the_webhook(status: int) -> None:
    assert judge_answer(status, "60") == Answer()


@pytest.mark.parametrize("status", [100, 301, 302, 307, 400, 401, 404, 429, 500, 503])
def test_any_other_answer_is_tried_again(status: int) -> None:
    answer = judge_answer(status, None)
    assert answer.error == f"the receiver answered {status}"
    assert not answer.is_gone


def test_410_wants_no_more() -> None:
    assert judge_answer(410, None).is_gone


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("120", 120.0), ("0", 0.0), ("9" * 400, 999_999_999.0), ("soon", None), ("-5", None)],
)
def test_retry_after_is_seconds(value: str, seconds: float | None) -> None:
    assert judge_answer(503, value).retry_after_s == seconds


def test_retry_after_may_be_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    asked = judge_answer(503, later).retry_after_s
    assert asked is not None
    assert 3000 < asked <= 3600
    assert judge_answer(503, "Wed, 21 Oct 2015 07:28:00 GMT").retry_after_s == 0.0
    assert judge_answer(503, "Wed, 21 Oct 2015 07:28:00 -0000").retry_after_s is None


# --- sending ---


def run(work: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
    return anyio.run(work)


def send(receiver: Receiver) -> Answer:
    async def work() -> Answer:
        async with open_receiver_client(receiver) as client:
            return await send_message(client, receiver, "msg_1", PAYLOAD)

    return run(work)


def aim_at(receiver: WebhookReceiver) -> Receiver:
    return Receiver(receiver.url, SECRET, limit_s=0.5)


def test_what_arrives_is_utf8_and_verifies() -> None:
    with receive_webhooks() as receiver:
        assert send(aim_at(receiver)) == Answer()
    (call,) = receiver.received
    assert call.message == PAYLOAD
    assert "Свадьба Анны и Ёжи".encode() in call.body
    assert call.headers["content-type"] == "application/json"
    assert check_notice(SECRET, call.headers, call.body)


def test_no_redirect_is_followed() -> None:
    with receive_webhooks("/elsewhere") as stranger, receive_webhooks() as receiver:
        receiver.answers, receiver.headers = [307], {"location": stranger.url}
        assert send(aim_at(receiver)).error == "the receiver answered 307"
    assert stranger.received == []


def test_no_proxy_of_the_environment_reads_webhooks(monkeypatch: pytest.MonkeyPatch) -> None:
    with receive_webhooks() as proxy, receive_webhooks() as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        assert send(aim_at(receiver)) == Answer()
    assert proxy.received == []


def test_a_receiver_that_hangs_or_is_away_is_an_answer_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "api")
    with receive_webhooks() as receiver:
        receiver.answers = [HANG]
        assert send(aim_at(receiver)).error == "no answer within 0.5 s"
    away = send(aim_at(receiver))
    assert away.error == "the receiver cannot be reached (ConnectError)"
    assert receiver.url not in caplog.text
