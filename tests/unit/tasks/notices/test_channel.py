"""Addresses that guests may leave, the channel that takes them, and the links in messages."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import AddressRefusedError
from models.settings import Settings
from models.tables import Event
from models.vocabulary import SubscriptionChannel
from tasks.notices.channel import choose_channel, read_address, read_mailbox
from tasks.notices.links import fits_notice, read_notice_id, sign_notice

PUBLIC = {"public_url": "https://photos.example.com"}
MAIL = {"smtp_url": "smtps://mail.example.com", "mail_from": "a@example.com"}
HOOK = {"webhook_url": "https://hook.example.com", "notice_contact": "Telegram"}


@pytest.mark.parametrize(
    ("settings", "channel"),
    [
        ({}, None),
        (MAIL, None),
        (PUBLIC, None),
        (PUBLIC | MAIL, SubscriptionChannel.EMAIL),
        (PUBLIC | HOOK, SubscriptionChannel.WEBHOOK),
        (PUBLIC | HOOK | MAIL, SubscriptionChannel.EMAIL),
        (PUBLIC | HOOK | {"notice_contact": None}, None),
        (PUBLIC | MAIL | {"mail_from": None}, None),
    ],
)
def test_a_channel_is_offered_only_where_all_it_needs_is_set(
    settings: dict[str, Any], channel: SubscriptionChannel | None
) -> None:
    assert choose_channel(Settings(**settings)) is channel


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (" anna@example.com ", "anna@example.com"),
        ("Anna.B+wedding@Example.COM", "Anna.B+wedding@example.com"),
        ("o'neill_1=x@sub.example.co", "o'neill_1=x@sub.example.co"),
        ("anna@почта.рф", "anna@xn--80a1acny.xn--p1ai"),
    ],
)
def test_an_address_is_kept_as_mail_servers_know_it(given: str, kept: str) -> None:
    assert read_address(SubscriptionChannel.EMAIL, given) == kept


@given(st.text(max_size=300))
def test_no_text_becomes_more_than_one_address_or_line(text: str) -> None:
    try:
        address = read_mailbox(text)
    except AddressRefusedError as error:
        assert len(text) < 8 or text not in str(error)
        return
    assert address.isascii() and address.isprintable() and len(address) <= 254
    assert address.count("@") == 1 and not set(address) & set(' ,;:<>()[]"\\%!')
    assert not address.startswith("-")


@pytest.mark.parametrize("given", ["", " ", "a\nb", "a\x00", "x" * 255, "a\u2028b"])
def test_what_is_no_line_of_text_is_no_address_of_the_webhook(given: str) -> None:
    with pytest.raises(AddressRefusedError):
        read_address(SubscriptionChannel.WEBHOOK, given)
    assert read_address(SubscriptionChannel.WEBHOOK, " @анна ") == "@анна"


def test_a_link_is_of_one_subscription_and_one_key() -> None:
    event, other = (Event(name="x", gallery_token="y") for _ in range(2))
    first, second = uuid4(), uuid4()
    token = sign_notice(event, first)
    assert read_notice_id(token) == first
    assert fits_notice(event, first, token)
    assert not fits_notice(event, second, token)
    assert not fits_notice(other, first, token)
    event.guest_key = uuid4()  # an erasure, or a new link
    assert not fits_notice(event, first, token)


@given(st.text(max_size=80))
def test_what_is_no_token_names_nothing(text: str) -> None:
    assert read_notice_id(text) is None


def test_a_token_is_written_in_one_way_only() -> None:
    token = f"{UUID(int=10).hex}.{'a' * 32}"
    assert read_notice_id(token) == UUID(int=10)
    assert read_notice_id(token.upper()) is None
    assert read_notice_id(token + "\n") is None
