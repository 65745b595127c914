"""The telling of guests, one after the other, of photos that were added and surely show them.

A photo is recorded as told in the moment the mail server has taken the message: a process that is
killed between the two tells it once more, and none is left out. A message by the webhook and its
record are one transaction.
"""

import smtplib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from typing import Any
from uuid import UUID

from prefect import get_run_logger, task
from prefect.client.schemas.objects import State
from prefect.states import Completed
from sqlmodel import Session

from models.errors import (
    AddressDelayedError,
    AddressRefusedError,
    ConfigurationError,
    DatabaseUnavailableError,
    FacePassError,
    MailUnavailableError,
    SelfieError,
    SyncSkippedError,
)
from models.queries.events import read_event
from models.queries.guests.subscriptions import (
    delete_ended,
    find_subscription,
    is_told_otherwise,
    list_confirmed,
    list_told,
    lock_event_key,
    lock_subscription,
    mark_told,
    read_person,
    withdraw_subscription,
)
from models.queries.webhooks import add_guest_delivery
from models.session import open_session
from models.settings import get_settings
from models.tables import Event, Subscription, utc_now
from models.vocabulary import SelfieCode, SubscriptionChannel
from tasks.notices.due import may_tell
from tasks.notices.find import find_sure_photos
from tasks.notices.letters import Letter, write_letter
from tasks.notices.links import build_notice_url, describe_guest
from tasks.notices.mail import open_mail_server, read_mail_server, send_mail

# In a row, of what is no single guest's: after them this attempt ends.
MOST_FAILURES = 3
_OF_ALL = (ConfigurationError, DatabaseUnavailableError, MailUnavailableError)


class Outcome(StrEnum):
    """What became of one guest in a run."""

    TOLD = "told"
    UNCHANGED = "unchanged"  # no new photo
    REFUSED = "refused"  # the mail server does not take this address
    LATER = "later"  # the event's model is being changed
    ENDED = "ended"  # the model was changed: the vector fits no face any more
    GONE = "gone"  # withdrawn, erased or closed meanwhile


class Post:
    """A run's way to the mail server: one connection, opened with the first mail."""

    def __init__(self) -> None:
        self._server = read_mail_server(get_settings())
        self._open = ExitStack()
        self._connection: smtplib.SMTP | None = None

    def send(self, letter: Letter) -> None:
        """Send a mail. Raises AddressRefusedError and MailUnavailableError."""
        if self._server is None:
            raise MailUnavailableError("No mail server is configured: set FACEPASS_SMTP_URL.")
        try:
            if self._connection is None:
                self._connection = self._open.enter_context(open_mail_server(self._server))
            send_mail(self._connection, write_letter(letter, self._server.sender))
        except MailUnavailableError:
            self.close()  # what is left of it is not trusted with the next one
            raise

    def close(self) -> None:
        """Take leave of the server."""
        self._open.close()
        self._connection = None


@contextmanager
def _open_post() -> Iterator[Post]:
    post = Post()
    try:
        yield post
    finally:
        post.close()


@task(name="tell_guests", persist_result=False)
def tell_guests(event_id: int) -> dict[str, int]:
    """Tell each guest of an event of new photos; returns how many fared how.

    May run any number of times, and beside another run. One guest's trouble keeps no other from
    being told: it is raised in the end, for a later attempt, which goes on where this one ended.
    Raises SyncSkippedError for an event that tells nothing.
    """
    with open_session() as session:
        if not may_tell(read_event(session, event_id), utc_now()):
            raise SyncSkippedError("This event sends no notices: off, closed or erased.")
        waiting = list_confirmed(session, event_id)
    counts: Counter[str] = Counter()
    trouble: FacePassError | None = None
    failures = 0
    with _open_post() as post:
        for subscription_id in waiting:
            try:
                counts[tell_guest(subscription_id, post)] += 1
                failures = 0
            except FacePassError as error:
                trouble = error
                counts[f"not told ({type(error).__name__})"] += 1
                is_one = isinstance(error, AddressDelayedError) or not isinstance(error, _OF_ALL)
                failures = 0 if is_one else failures + 1
                if failures == MOST_FAILURES:
                    break
    summary = ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items()))
    get_run_logger().info("Guests: %s", summary or "none")
    if trouble is not None:
        raise trouble
    return {str(outcome): counts[outcome] for outcome in Outcome}


def tell_guest(subscription_id: UUID, post: Post) -> Outcome:
    """Tell one guest of the photos that are new since the last notice.

    Whoever withdraws waits until this is over, or is told of nothing any more.
    """
    with open_session() as session:
        lock_subscription(session, subscription_id)
        found = find_subscription(session, subscription_id)
        if found is None or not may_tell(found[1], utc_now()):
            return Outcome.GONE
        subscription, event = found
        try:
            photos = find_sure_photos(event, *read_person(session, subscription))
        except SelfieError as error:
            if error.code != SelfieCode.SELFIE_NEEDED:
                return Outcome.LATER
            return _end_subscription(session, subscription, event, post)
        new = set(photos) - list_told(session, subscription_id)
        if not new:
            return Outcome.UNCHANGED
        if subscription.channel == SubscriptionChannel.EMAIL:
            link = build_notice_url(event, subscription_id)
            try:
                post.send(_address(subscription, event, "photos", link, len(new)))
            except AddressRefusedError:
                return Outcome.REFUSED
        return _record(session, subscription, event, new)


def _record(session: Session, subscription: Subscription, event: Event, new: set[int]) -> Outcome:
    """Record what a guest is told of; by the webhook it is told by this record."""
    lock_event_key(session, subscription.event_id)
    if find_subscription(session, subscription.id) is None:  # erased with the event meanwhile
        return Outcome.GONE
    mark_told(session, subscription.id, new)
    if subscription.channel == SubscriptionChannel.WEBHOOK:
        guest = subscription.id, subscription.address, subscription.language
        about = describe_guest(event, *guest)
        add_guest_delivery(session, event, "photos", {**about, "photos": len(new)})
    return Outcome.TOLD


def _end_subscription(
    session: Session, subscription: Subscription, event: Event, post: Post
) -> Outcome:
    """Delete a subscription whose vector fits the event's faces no more, and say so once.

    Of an address that has another one here the last says it, if that ends too.
    """
    is_last = not is_told_otherwise(session, subscription.id)
    if subscription.channel == SubscriptionChannel.EMAIL and is_last:
        link = f"{get_settings().public_url}/gallery/{event.gallery_token}"
        try:
            post.send(_address(subscription, event, "ended", link, 0))
        except AddressRefusedError:
            get_run_logger().info("A guest whose notices end could not be told")
    withdraw_subscription(session, subscription.id, reason="model_changed")
    return Outcome.ENDED


def _address(subscription: Subscription, event: Event, kind: str, link: str, photos: int) -> Letter:
    return Letter(kind, subscription.address, subscription.language, event.name, link, photos)


def report_notices(counts: dict[str, int]) -> State[Any]:
    """The run's last state."""
    name = f"Completed: {counts[Outcome.TOLD]} guests told"
    if refused := counts[Outcome.REFUSED]:
        name += f", {refused} addresses refused"
    return Completed(name=name, data=counts)


@task(name="prune_subscriptions", persist_result=False)
def prune_subscriptions() -> int:
    """Delete addresses and vectors that serve nothing any more; returns how many there were."""
    with open_session() as session:
        deleted = delete_ended(session)
    get_run_logger().info("Deleted %d subscriptions that are over or were not confirmed", deleted)
    return deleted
