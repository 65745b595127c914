"""A mail server on this machine: speaks enough SMTP, keeps what it is given, answers as told."""

import base64
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import cast


@dataclass(frozen=True)
class Mail:
    """One mail as it arrived: whom it is for, and its text."""

    recipient: str
    raw: bytes

    @property
    def message(self) -> EmailMessage:
        """The mail, read."""
        return cast("EmailMessage", message_from_bytes(self.raw, policy=default))

    @property
    def text(self) -> str:
        """The body."""
        return str(self.message.get_content())


@dataclass
class MailServer:
    """What came in; `refusals`: answers to RCPT by address; `on_mail`: called before 250."""

    port: int = 0
    user: str = ""
    password: str = ""
    mails: list[Mail] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)
    connections: int = 0
    logins: int = 0
    on_mail: Callable[[Mail], None] | None = None

    @property
    def url(self) -> str:
        """What FACEPASS_SMTP_URL says."""
        login = f"{self.user}:{self.password}@" if self.user else ""
        return f"smtp://{login}127.0.0.1:{self.port}"

    def list_to(self, address: str) -> list[Mail]:
        """The mails to an address."""
        return [mail for mail in self.mails if mail.recipient == address]


class _Handler(socketserver.StreamRequestHandler):
    state: MailServer
    timeout = 30

    def handle(self) -> None:
        self.state.connections += 1
        self.tell("220 test")
        recipient, is_known = "", not self.state.user
        while line := self.rfile.readline(2000):
            words = line.decode("ascii").strip()
            match words.split(" ")[0].upper():
                case "EHLO":
                    self.tell("250-test\r\n250-SIZE 1000000\r\n250 AUTH PLAIN")
                case "AUTH":
                    is_known = self.check(words.split(" ")[2])
                    self.tell("235 welcome" if is_known else "535 no")
                case "MAIL":
                    self.tell("250 ok" if is_known else "530 login first")
                case "RCPT":
                    recipient = words.partition("<")[2].partition(">")[0]
                    self.tell(self.state.refusals.get(recipient, "250 ok"))
                case "DATA":
                    self.tell("354 go on")
                    self.take(recipient)
                case "QUIT":
                    self.tell("221 bye")
                    return
                case _:
                    self.tell("250 ok")

    def tell(self, answer: str) -> None:
        self.wfile.write(f"{answer}\r\n".encode())

    def check(self, given: str) -> bool:
        self.state.logins += 1
        expected = f"\0{self.state.user}\0{self.state.password}".encode()
        return base64.b64decode(given) == expected

    def take(self, recipient: str) -> None:
        lines = []
        while (line := self.rfile.readline()) not in {b".\r\n", b""}:
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        mail = Mail(recipient, b"".join(lines))
        self.state.mails.append(mail)
        if self.state.on_mail:
            self.state.on_mail(mail)
        self.tell("250 taken")


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, *_: object) -> None:
        """Be quiet about clients that leave or are killed."""


@contextmanager
def serve_mail(user: str = "", password: str = "") -> Iterator[MailServer]:
    """A mail server on a free port of 127.0.0.1; with a user it takes mail of that one alone."""
    state = MailServer(user=user, password=password)
    handler = type("Handler", (_Handler,), {"state": state})
    with _Server(("127.0.0.1", 0), handler) as server:
        state.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield state
        finally:
            server.shutdown()
