"""Notifications of Amazon SNS: their signatures, their age, and the confirmation of subscriptions.

A message is believed where the certificate comes from SNS's own address, the signature fits, the
message is not old, and its topic is one of FACEPASS_HOOK_TOPICS or its sender knows the secret:
anybody may have a topic of their own.
"""

import base64
import binascii
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from models.errors import InvalidNotificationError, NotificationRefusedError, SnsUnavailableError

NOTIFICATION = "Notification"
CONFIRMATION = "SubscriptionConfirmation"
END = "UnsubscribeConfirmation"
_SIGNED = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    CONFIRMATION: (
        "Message",
        "MessageId",
        "SubscribeURL",
        "Timestamp",
        "Token",
        "TopicArn",
        "Type",
    ),
}
_SIGNED[END] = _SIGNED[CONFIRMATION]
_HASHES: dict[str, type[hashes.HashAlgorithm]] = {"1": hashes.SHA1, "2": hashes.SHA256}
_HOST = re.compile(r"sns(?:-fips)?\.[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2}\.amazonaws\.com(?:\.cn)?")
_CERTIFICATE_PATH = re.compile(r"/SimpleNotificationService-[0-9A-Za-z]+\.pem")
# SNS tries a message again for an hour at most.
OLDEST = timedelta(hours=1, minutes=5)
MOST_AHEAD = timedelta(minutes=5)  # by which clocks may differ
MAX_REMEMBERED = 50_000  # messages, some hundred bytes each
MAX_CERTIFICATES = 16
MAX_ANSWER_BYTES = 64 * 1024
FETCH_LIMIT_S = 5.0
_NOT_ITS_HOST = (
    "The message names an address that is not of Amazon SNS: it must begin with "
    "https://sns.REGION.amazonaws.com/."
)
_WRONG = "The message's signature does not fit: it was changed, or SNS did not send it."
_OLD = "The message is more than an hour old, or of the future: check this machine's clock."
_UNAVAILABLE = "Amazon SNS could not be asked: the message is taken when it is sent again."


def read_message(content: object) -> dict[str, Any] | None:
    """A message of SNS, whatever it carries; None for anything else."""
    if not isinstance(content, dict):
        return None
    kind, topic = content.get("Type"), content.get("TopicArn")
    is_sns = isinstance(kind, str) and kind in _SIGNED and isinstance(topic, str)
    return content if is_sns else None


def fetch_from_sns(url: str) -> bytes:
    """What SNS answers; no redirect is followed. Raises SnsUnavailableError."""
    try:
        with httpx.stream("GET", url, timeout=FETCH_LIMIT_S, follow_redirects=False) as answer:
            body = b""
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > MAX_ANSWER_BYTES:
                    raise SnsUnavailableError(_UNAVAILABLE)
            if answer.status_code != httpx.codes.OK:
                raise SnsUnavailableError(_UNAVAILABLE)
            return body
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SnsUnavailableError(_UNAVAILABLE) from error


class SnsReceiver:
    """The check of messages; it keeps SNS's certificates and the ids of messages that were taken.

    Safe for several threads. Each process of the API has one.
    """

    def __init__(
        self,
        fetch: Callable[[str], bytes] = fetch_from_sns,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """fetch: asks SNS for an address."""
        self._fetch = fetch
        self._clock = clock
        self._certificates: OrderedDict[str, x509.Certificate] = OrderedDict()
        self._taken: OrderedDict[str, datetime] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, message: Mapping[str, Any], topics: list[str], *, knows_secret: bool) -> None:
        """Raise unless a message is SNS's, new, and of a topic that may tell us anything.

        Raises NotificationRefusedError, InvalidNotificationError and SnsUnavailableError.
        """
        fields = _read_fields(message)
        # Before SNS is asked for anything: strangers cannot have us do so.
        if topics and fields["TopicArn"] not in topics:
            raise NotificationRefusedError(
                "This topic is not one of FACEPASS_HOOK_TOPICS: add its ARN there."
            )
        if not topics and not knows_secret:
            raise NotificationRefusedError(
                "Anybody may have a topic: set FACEPASS_HOOK_TOPICS to this one's ARN, or add "
                "?key= and FACEPASS_HOOK_SECRET to the subscription's address."
            )
        self._check_age(fields["Timestamp"])
        certificate = self._find_certificate(fields["SigningCertURL"])
        _check_signature(fields, certificate)

    def is_repeated(self, message: Mapping[str, Any]) -> bool:
        """Whether a checked message was taken before."""
        with self._lock:
            return str(message["MessageId"]) in self._taken

    def remember(self, message: Mapping[str, Any]) -> None:
        """Take a message for read: its like does nothing more while it could pass for new."""
        now = self._clock()
        with self._lock:
            self._taken[str(message["MessageId"])] = now
            while self._taken:
                oldest = next(iter(self._taken))
                too_many = len(self._taken) > MAX_REMEMBERED
                if not too_many and now - self._taken[oldest] <= OLDEST + MOST_AHEAD:
                    break
                del self._taken[oldest]

    def confirm(self, message: Mapping[str, Any]) -> None:
        """Confirm a subscription. Raises NotificationRefusedError and SnsUnavailableError."""
        url = message.get("SubscribeURL")
        if not isinstance(url, str):
            raise InvalidNotificationError("The message lacks SubscribeURL.")
        _require_sns_address(url)
        self._fetch(url)

    def _check_age(self, timestamp: str) -> None:
        try:
            sent = datetime.fromisoformat(timestamp)
        except ValueError as error:
            raise InvalidNotificationError("The message's Timestamp is none.") from error
        if sent.tzinfo is None:
            sent = sent.replace(tzinfo=UTC)
        if not -MOST_AHEAD <= self._clock() - sent <= OLDEST:
            raise NotificationRefusedError(_OLD)

    def _find_certificate(self, url: str) -> x509.Certificate:
        path = _require_sns_address(url)
        if not _CERTIFICATE_PATH.fullmatch(path):
            raise NotificationRefusedError(_NOT_ITS_HOST)
        now = self._clock()
        with self._lock:
            kept = self._certificates.get(url)
        if kept is None or not _is_valid(kept, now):
            try:
                kept = x509.load_pem_x509_certificate(self._fetch(url))
            except ValueError as error:
                raise SnsUnavailableError(_UNAVAILABLE) from error
            if not _is_valid(kept, now):
                raise NotificationRefusedError("The message's certificate is not valid today.")
            with self._lock:
                self._certificates[url] = kept
                if len(self._certificates) > MAX_CERTIFICATES:
                    self._certificates.popitem(last=False)
        return kept


def _read_fields(message: Mapping[str, Any]) -> dict[str, str]:
    """What a signature is about, and the signature; all of it text."""
    fields = {name: value for name, value in message.items() if isinstance(value, str)}
    needed = {*_SIGNED[message["Type"]], "Signature", "SignatureVersion", "SigningCertURL"}
    if missing := needed - {"Subject"} - fields.keys():
        raise InvalidNotificationError(f"The message lacks {', '.join(sorted(missing))}.")
    return fields


def _require_sns_address(url: str) -> str:
    """The path of an address of SNS. Raises NotificationRefusedError for any other."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise NotificationRefusedError(_NOT_ITS_HOST) from error
    is_its = _HOST.fullmatch(parts.netloc) and parts.scheme == "https" and port is None
    # Characters that another reader of addresses takes otherwise.
    if not is_its or not url.isascii() or re.search(r"[\s\\@#]", url):
        raise NotificationRefusedError(_NOT_ITS_HOST)
    return parts.path


def _is_valid(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _check_signature(fields: Mapping[str, str], certificate: x509.Certificate) -> None:
    signed = "".join(
        f"{name}\n{fields[name]}\n" for name in _SIGNED[fields["Type"]] if name in fields
    )
    algorithm = _HASHES.get(fields["SignatureVersion"])
    key = certificate.public_key()
    if algorithm is None or not isinstance(key, rsa.RSAPublicKey):
        raise NotificationRefusedError(_WRONG)
    try:
        signature = base64.b64decode(fields["Signature"], validate=True)
        key.verify(signature, signed.encode(), padding.PKCS1v15(), algorithm())
    except (InvalidSignature, binascii.Error, UnicodeEncodeError, ValueError) as error:
        raise NotificationRefusedError(_WRONG) from error
