"""Messages of SNS: only what SNS signed, lately, for a topic that may tell, is believed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.hooks.sns import MAX_REMEMBERED, SnsReceiver, read_message
from models.errors import (
    InvalidNotificationError,
    NotificationRefusedError,
    SnsUnavailableError,
)
from tests.support.sns_topic import ARN, CERTIFICATE_URL, HOST, SnsTopic


@pytest.fixture(scope="module")
def topic() -> SnsTopic:
    return SnsTopic()


@pytest.fixture
def receiver(topic: SnsTopic) -> SnsReceiver:
    topic.asked.clear()
    return SnsReceiver(topic.fetch)


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(
    "kind", ["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"]
)
def test_what_sns_signed_is_believed(
    receiver: SnsReceiver, topic: SnsTopic, kind: str, version: str
) -> None:
    receiver.check(topic.build(kind, version=version), [ARN], knows_secret=False)
    receiver.check(topic.build(kind, version=version), [], knows_secret=True)


@pytest.mark.parametrize("subject", ["Amazon S3 Notification", "день", None])
def test_a_subject_is_signed_where_there_is_one(
    receiver: SnsReceiver, topic: SnsTopic, subject: str | None
) -> None:
    message = topic.build(Subject=subject)
    receiver.check(message, [ARN], knows_secret=False)
    with pytest.raises(NotificationRefusedError, match="signature does not fit"):
        receiver.check(message | {"Subject": "another"}, [ARN], knows_secret=False)


@pytest.mark.parametrize(
    "change",
    [
        {"Message": '{"Records": [1]}'},
        {"MessageId": "another"},
        {"Signature": ""},
        {"Signature": "ä"},
        {"Signature": "not base64!"},
        {"Signature": "AAAA"},
        {"SignatureVersion": "1"},
        {"SignatureVersion": "3"},
        {"Type": "UnsubscribeConfirmation", "Token": "t", "SubscribeURL": f"{HOST}/"},
    ],
)
def test_a_wrong_signature_is_refused(
    receiver: SnsReceiver, topic: SnsTopic, change: dict[str, Any]
) -> None:
    with pytest.raises(NotificationRefusedError, match="signature does not fit"):
        receiver.check(topic.build() | change, [ARN], knows_secret=True)


def test_another_key_than_snss_is_refused(receiver: SnsReceiver) -> None:
    with pytest.raises(NotificationRefusedError, match="signature does not fit"):
        receiver.check(SnsTopic().build(), [ARN], knows_secret=True)


@pytest.mark.parametrize(
    "url",
    [
        "https://sns.eu-central-1.amazonaws.com.evil.example/SimpleNotificationService-1.pem",
        "https://evil.example/SimpleNotificationService-1.pem",
        "https://evil.example/https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem",
        "http://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.eu-central-1.amazonaws.com@evil.example/SimpleNotificationService-1.pem",
        "https://evil@sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.eu-central-1.amazonaws.com:8443/SimpleNotificationService-1.pem",
        "https://sns.eu-central-1.amazonaws.com\\.evil.example/SimpleNotificationService-1.pem",
        "https://sns.eu-central-1.amazonaws.com/other.pem",
        "https://sns.eu-central-1.amazonaws.com/../SimpleNotificationService-1.pem",
        "https://sns.eu-central-1.amazonaws.com/?Action=x#SimpleNotificationService-1.pem",
        "https://s3.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.evil.amazonaws.com/SimpleNotificationService-1.pem",
        "https://mybucket.sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://[::1]/SimpleNotificationService-1.pem",
        "https://[/SimpleNotificationService-1.pem",
        "https://sns.eu-central-1.amazonaws.com:x/SimpleNotificationService-1.pem",
        "file:///etc/SimpleNotificationService-1.pem",
        "",
    ],
)
def test_a_certificate_from_elsewhere_is_never_fetched(
    receiver: SnsReceiver, topic: SnsTopic, url: str
) -> None:
    with pytest.raises(NotificationRefusedError, match=r"not of Amazon SNS"):
        receiver.check(topic.build(SigningCertURL=url), [ARN], knows_secret=True)
    with pytest.raises(NotificationRefusedError, match=r"not of Amazon SNS"):
        receiver.confirm({"SubscribeURL": url.replace("sns.eu-central-1.amazonaws.com/", "x/")})
    assert topic.asked == []


@pytest.mark.parametrize(
    "host",
    [
        "sns.us-east-1.amazonaws.com",
        "sns.cn-north-1.amazonaws.com.cn",
        "sns.us-gov-west-1.amazonaws.com",
        "sns.ap-southeast-4.amazonaws.com",
    ],
)
def test_every_region_has_certificates(receiver: SnsReceiver, topic: SnsTopic, host: str) -> None:
    url = f"https://{host}/SimpleNotificationService-0123abcd.pem"
    receiver.check(topic.build(SigningCertURL=url), [ARN], knows_secret=False)
    assert topic.asked == [url]


@pytest.mark.parametrize("hours", [-1, 2, 24 * 365])
def test_an_old_message_is_refused_and_one_of_tomorrow(
    receiver: SnsReceiver, topic: SnsTopic, hours: int
) -> None:
    sent = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
    with pytest.raises(NotificationRefusedError, match="more than an hour old"):
        receiver.check(topic.build(Timestamp=sent), [ARN], knows_secret=True)
    assert topic.asked == []


def test_a_message_that_sns_tries_for_an_hour_is_taken(
    receiver: SnsReceiver, topic: SnsTopic
) -> None:
    sent = (datetime.now(UTC) - timedelta(minutes=59)).isoformat()
    receiver.check(topic.build(Timestamp=sent), [ARN], knows_secret=False)


def test_a_strangers_topic_is_refused_before_sns_is_asked(
    receiver: SnsReceiver, topic: SnsTopic
) -> None:
    with pytest.raises(NotificationRefusedError, match="not one of FACEPASS_HOOK_TOPICS"):
        receiver.check(topic.build(), [f"{ARN}-other"], knows_secret=True)
    with pytest.raises(NotificationRefusedError, match="Anybody may have a topic"):
        receiver.check(topic.build(), [], knows_secret=False)
    assert topic.asked == []


@pytest.mark.parametrize(
    "name", ["Message", "MessageId", "Timestamp", "Signature", "SigningCertURL"]
)
def test_what_lacks_a_field_is_refused_in_a_sentence(
    receiver: SnsReceiver, topic: SnsTopic, name: str
) -> None:
    message = topic.build()
    for value in (None, 7, ["x"]):
        with pytest.raises(InvalidNotificationError, match=f"lacks {name}"):
            receiver.check(message | {name: value}, [ARN], knows_secret=True)
    with pytest.raises(InvalidNotificationError, match="Timestamp is none"):
        receiver.check(topic.build(Timestamp="yesterday"), [ARN], knows_secret=True)


def test_a_certificate_is_fetched_once(receiver: SnsReceiver, topic: SnsTopic) -> None:
    for _ in range(3):
        receiver.check(topic.build(), [ARN], knows_secret=False)
    assert topic.asked == [CERTIFICATE_URL]


def test_an_outdated_certificate_is_refused() -> None:
    topic = SnsTopic(valid_for=timedelta(days=-1))
    with pytest.raises(NotificationRefusedError, match="not valid today"):
        SnsReceiver(topic.fetch).check(topic.build(), [ARN], knows_secret=False)


def test_what_sns_answers_may_be_no_certificate(topic: SnsTopic) -> None:
    receiver = SnsReceiver(lambda _url: b"<html>busy</html>")
    with pytest.raises(SnsUnavailableError, match="sent again"):
        receiver.check(topic.build(), [ARN], knows_secret=False)


def test_a_repeated_message_is_known_for_as_long_as_it_could_pass_for_new(topic: SnsTopic) -> None:
    now = datetime.now(UTC)
    receiver = SnsReceiver(topic.fetch, clock=lambda: now)
    first, second = topic.build(), topic.build()
    receiver.remember(first)
    assert receiver.is_repeated(first)
    assert not receiver.is_repeated(second)
    now += timedelta(hours=3)
    receiver.remember(second)
    assert not receiver.is_repeated(first)
    with pytest.raises(NotificationRefusedError, match="more than an hour old"):
        receiver.check(first, [ARN], knows_secret=True)


def test_its_memory_has_an_end() -> None:
    receiver = SnsReceiver(lambda _url: b"")
    for number in range(MAX_REMEMBERED + 10):
        receiver.remember({"MessageId": number})
    assert not receiver.is_repeated({"MessageId": 0})
    assert receiver.is_repeated({"MessageId": MAX_REMEMBERED + 9})


def test_a_subscription_is_confirmed_at_sns(receiver: SnsReceiver, topic: SnsTopic) -> None:
    message = topic.build("SubscriptionConfirmation")
    receiver.confirm(message)
    assert topic.asked == [message["SubscribeURL"]]


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {"Type": ["Notification"], "TopicArn": "x"},
        {"Type": "Other"},
        {"Type": "Notification"},
    ],
)
def test_what_is_no_message_of_sns_is_read_otherwise(content: object) -> None:
    assert read_message(content) is None
