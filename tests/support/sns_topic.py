"""A topic of Amazon SNS as its subscribers see it, with a key and a certificate of its own."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

ARN = "arn:aws:sns:eu-central-1:123456789012:uploads"
HOST = "https://sns.eu-central-1.amazonaws.com"
CERTIFICATE_URL = f"{HOST}/SimpleNotificationService-9c6465fa7f48f5cacd23014631ec1136.pem"
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        *("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    ),
}
_SIGNED["UnsubscribeConfirmation"] = _SIGNED["SubscriptionConfirmation"]


class SnsTopic:
    """A topic; `fetch` answers for SNS, and `asked` lists what was asked of it."""

    def __init__(self, arn: str = ARN, *, valid_for: timedelta = timedelta(days=30)) -> None:
        self.arn = arn
        self.asked: list[str] = []
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        begin = datetime.now(UTC) - timedelta(days=90)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(7)
            .not_valid_before(begin)
            .not_valid_after(begin + timedelta(days=90) + valid_for)
            .sign(self._key, hashes.SHA256())
        )

    def fetch(self, url: str) -> bytes:
        """What SNS answers."""
        self.asked.append(url)
        if url.endswith(".pem"):
            return self._certificate.public_bytes(Encoding.PEM)
        return b"<ConfirmSubscriptionResponse/>"

    def build(self, kind: str = "Notification", *, version: str = "2", **changes: Any) -> Any:
        """A signed message; what is changed is signed as well."""
        message = {
            "Type": kind,
            "MessageId": str(uuid4()),
            "TopicArn": self.arn,
            "Message": '{"Records": []}',
            "Timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
            "SignatureVersion": version,
            "SigningCertURL": CERTIFICATE_URL,
            "UnsubscribeURL": f"{HOST}/?Action=Unsubscribe&SubscriptionArn={self.arn}:1",
        }
        if kind != "Notification":
            message["Token"] = "2336412f37"
            message["SubscribeURL"] = f"{HOST}/?Action=ConfirmSubscription&Token=2336412f37"
        message |= changes
        signed = "".join(
            f"{n}\n{message[n]}\n" for n in _SIGNED[kind] if message.get(n) is not None
        )
        digest = hashes.SHA1() if version == "1" else hashes.SHA256()  # noqa: S303 (as SNS has it)
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), digest)
        return message | {"Signature": base64.b64encode(signature).decode()}
