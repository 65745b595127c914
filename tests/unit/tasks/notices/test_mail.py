"""Mail: what the settings say of the server, what goes out, and what of an error goes further."""

import logging
import traceback
from email import message_from_bytes
from email.policy import default

import pytest

from models.errors import (
    AddressDelayedError,
    AddressRefusedError,
    ConfigurationError,
    MailUnavailableError,
)
from models.settings import Settings
from tasks.notices.letters import Letter, write_letter
from tasks.notices.mail import open_mail_server, read_mail_server, send_mail
from tests.support.mail_server import MailServer, serve_mail

FROM = {"mail_from": "Студия <photos@example.com>"}
ANNA = "anna@example.com"


def build_letter(kind: str = "photos", language: str = "ru", name: str = "Свадьба") -> Letter:
    return Letter(kind, ANNA, language, name, "https://x.example/gallery/notices/t", 3)


def send(server: MailServer, url: str | None = None) -> None:
    aim = read_mail_server(Settings(smtp_url=url or server.url, **FROM))
    assert aim is not None
    with open_mail_server(aim) as connection:
        send_mail(connection, write_letter(build_letter(), aim.sender))


@pytest.mark.parametrize(
    ("url", "host", "port", "is_encrypted"),
    [
        ("smtps://mail.example.com", "mail.example.com", 465, True),
        ("smtp://mail.example.com", "mail.example.com", 587, False),
        ("smtp://u:p%40ss@[::1]:2525", "::1", 2525, False),
    ],
)
def test_a_mail_server_is_read_from_its_address(
    url: str, host: str, port: int, is_encrypted: bool
) -> None:
    server = read_mail_server(Settings(smtp_url=url, **FROM))
    assert server is not None
    assert (server.host, server.port, server.is_encrypted) == (host, port, is_encrypted)
    assert server.password in {"", "p@ss"} and "p@ss" not in repr(server)


@pytest.mark.parametrize(
    "settings",
    [
        {"smtp_url": "mail.example.com", **FROM},
        {"smtp_url": "https://mail.example.com", **FROM},
        {"smtp_url": "smtp://u:pa55w0rd@mail.example.com:x", **FROM},
        {"smtp_url": "smtp://u:pa55w0rd@[mail", **FROM},
        {"smtp_url": "smtp://mail.example.com/path", **FROM},
        {"smtp_url": "smtp://mail.example.com"},
        {"smtp_url": "smtp://mail.example.com", "mail_from": "nobody"},
        {"smtp_url": "smtp://mail.example.com", "mail_from": "a@example.com\r\nBcc: b@example.com"},
    ],
)
def test_a_wrong_setting_is_told_in_words_without_a_secret(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_mail_server(Settings(**settings))
    told = "".join(traceback.format_exception(caught.value))
    assert "FACEPASS_" in str(caught.value) and "pa55w0rd" not in told


def test_without_a_server_there_is_none() -> None:
    assert read_mail_server(Settings()) is None


@pytest.mark.parametrize("kind", ["ask", "photos", "ended"])
@pytest.mark.parametrize("language", ["ru", "en"])
def test_a_letter_is_text_with_a_link_and_a_way_out(kind: str, language: str) -> None:
    letter = write_letter(build_letter(kind, language), "photos@example.com")
    read = message_from_bytes(letter.as_bytes(), policy=default)
    assert "Свадьба" in read["subject"] and read["to"] == ANNA
    assert "{" not in read.get_content() and "https://x.example/" in read.get_content()
    assert not read.is_multipart()
    assert ("list-unsubscribe" in read) == (kind != "ended")
    assert read["message-id"].endswith("@example.com>")


@pytest.mark.parametrize(
    "name", ["a\r\nBcc: eve@example.com", "a\n\n<html>", "\u2028\x0b\x1c{link}"]
)
def test_a_name_adds_no_header(name: str) -> None:
    letter = write_letter(build_letter(name=name), "photos@example.com")
    read = message_from_bytes(letter.as_bytes(), policy=default)
    assert "bcc" not in read and read["to"] == ANNA
    assert "\n" not in read["subject"]


def test_a_mail_arrives_by_a_login() -> None:
    with serve_mail("studio", "word") as server:
        send(server)
        send(server)
        assert [mail.recipient for mail in server.mails] == [ANNA, ANNA]
        assert server.logins == 2


def test_an_error_names_nobody(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serve_mail("studio", "word") as server:
        for refusal, error in (
            (f"550 {ANNA} unknown", AddressRefusedError),
            (f"450 {ANNA} later", AddressDelayedError),
            (f"421 {ANNA} closing", MailUnavailableError),
        ):
            server.refusals[ANNA] = refusal
            with pytest.raises(error) as caught:
                send(server)
            assert caught.type is error
            told = "".join(traceback.format_exception(caught.value))
            assert ANNA not in told and "word" not in told
        with pytest.raises(MailUnavailableError, match="user and the password"):
            send(server, f"smtp://studio:wrong@127.0.0.1:{server.port}")
    with pytest.raises(MailUnavailableError, match="cannot be reached"):
        send(server)
    assert ANNA not in caplog.text


def test_a_server_elsewhere_gets_nothing_unencrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.notices.mail import MailServer as Aim

    with serve_mail() as server:
        monkeypatch.setattr(Aim, "is_near", property(lambda _: False))
        with pytest.raises(MailUnavailableError, match="STARTTLS"):
            send(server)
        assert server.mails == []
