"""Mail by SMTP, as FACEPASS_SMTP_URL and FACEPASS_MAIL_FROM say.

A library's errors hold addresses and answers of the server: none of their text goes further.
"""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import Message
from email.utils import formataddr, parseaddr
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from models.errors import (
    AddressDelayedError,
    AddressRefusedError,
    ConfigurationError,
    MailUnavailableError,
)
from models.settings import Settings
from tasks.notices.channel import read_mailbox

LIMIT_S = 20.0  # for each answer of the server: guests wait for a confirmation
_CLOSING = 421  # whatever was asked: the server takes nothing more
_PORTS = {"smtps": 465, "smtp": 587}
_AWAY = (
    "The mail server cannot be reached ({kind}): check FACEPASS_SMTP_URL and that it is running."
)
_REFUSED = (
    "The mail server refuses this sender ({kind}): check the user and the password in "
    "FACEPASS_SMTP_URL, and whether it sends for FACEPASS_MAIL_FROM."
)
_NO_TLS = (
    "The mail server offers no encryption (STARTTLS): use smtps://, or a server that has it. "
    "Addresses of guests go unencrypted to no other machine."
)


@dataclass(frozen=True)
class MailServer:
    """Where mail is handed over, and in whose name; the password is in no text of it."""

    host: str
    port: int
    is_encrypted: bool  # from the first byte; otherwise by STARTTLS
    sender: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def is_near(self) -> bool:
        """Whether it is on this machine, where nobody listens."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def read_mail_server(settings: Settings) -> MailServer | None:
    """The mail server of the settings; None where none is named. Raises ConfigurationError."""
    if not settings.smtp_url:
        return None
    wrong = "FACEPASS_SMTP_URL is no address: write smtps://user:password@host:465 or smtp://host."
    try:
        url = urlsplit(settings.smtp_url)
        port = url.port or _PORTS.get(url.scheme, 0)
    except ValueError:
        raise ConfigurationError(wrong) from None  # its text may hold the password
    if url.scheme not in _PORTS or not url.hostname or url.path.strip("/") or url.query:
        raise ConfigurationError(wrong)
    return MailServer(
        host=url.hostname,
        port=port,
        is_encrypted=url.scheme == "smtps",
        sender=_read_sender(settings.mail_from),
        user=unquote(url.username or ""),
        password=unquote(url.password or ""),
    )


def _read_sender(given: str | None) -> str:
    name, address = parseaddr(given or "")
    try:
        if not (given or "").isprintable():
            raise AddressRefusedError("This is more than one line.")
        return formataddr((name, read_mailbox(address)))
    except AddressRefusedError as error:
        raise ConfigurationError(
            "FACEPASS_SMTP_URL needs FACEPASS_MAIL_FROM, the address that notices come from: "
            "write photos@example.com or Studio <photos@example.com>."
        ) from error


@contextmanager
def open_mail_server(server: MailServer) -> Iterator[smtplib.SMTP]:
    """A connection for the block. Raises MailUnavailableError."""
    with _map_mail_errors():
        connection = _connect(server)
    try:
        yield connection
    finally:
        with suppress(smtplib.SMTPException, OSError):
            connection.quit()


def send_mail(connection: smtplib.SMTP, mail: Message) -> None:
    """Hand a mail to one person over; when this returns, the server answers for it.

    Raises AddressRefusedError where the server refuses this address for good, AddressDelayedError
    where it does for now, otherwise MailUnavailableError.
    """
    with _map_mail_errors():
        connection.send_message(mail)


def _connect(server: MailServer) -> smtplib.SMTP:
    # Named by the sender's domain: this machine's own name is nobody's business.
    name = server.sender.rpartition("@")[2].strip(" >")
    context = ssl.create_default_context()
    if server.is_encrypted:
        connection: smtplib.SMTP = smtplib.SMTP_SSL(
            server.host, server.port, local_hostname=name, timeout=LIMIT_S, context=context
        )
    else:
        connection = smtplib.SMTP(server.host, server.port, local_hostname=name, timeout=LIMIT_S)
    try:
        connection.ehlo()
        if not server.is_encrypted and connection.has_extn("starttls"):
            connection.starttls(context=context)
            connection.ehlo()
        elif not server.is_encrypted and not server.is_near:
            raise MailUnavailableError(_NO_TLS)
        if server.user:
            connection.login(server.user, server.password)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _map_mail_errors() -> Iterator[None]:
    """Raise smtplib's errors as the product's; never chained, since they name people."""
    try:
        yield
    except smtplib.SMTPRecipientsRefused as error:
        codes = {code for code, _ in error.recipients.values()}
        if all(500 <= code < 600 for code in codes):
            raise AddressRefusedError("The mail server refuses this address.") from None
        if codes == {_CLOSING}:
            raise MailUnavailableError(_AWAY.format(kind=_CLOSING)) from None
        raise AddressDelayedError("The mail server wants to be asked later.") from None
    except (smtplib.SMTPAuthenticationError, smtplib.SMTPSenderRefused) as error:
        raise MailUnavailableError(_REFUSED.format(kind=error.smtp_code)) from None
    except smtplib.SMTPResponseException as error:
        raise MailUnavailableError(_AWAY.format(kind=error.smtp_code)) from None
    except (smtplib.SMTPException, OSError) as error:
        raise MailUnavailableError(_AWAY.format(kind=type(error).__name__)) from None
