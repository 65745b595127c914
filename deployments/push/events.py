"""The event that the photos belong to: found by its name or UUID, or added."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from deployments.push.names import compose
from deployments.push.rest import RestApi
from models.errors import PushRefusedError
from models.packs import PROFILES, Profile
from models.vocabulary import ProfileName

# An event that is added under a UUID made of its name is one event, also when two pushes add it at
# the same time or the answer to the first call is lost.
NAMES = UUID("6f1d3a52-3f0c-4f5e-9d55-0b1d7f6c2a41")


@dataclass(frozen=True)
class PushedEvent:
    """What the push needs to know of an event."""

    event_id: int
    event_uuid: str
    name: str
    s3_prefix: str
    gallery_url: str
    profile_name: ProfileName
    is_new: bool

    @property
    def profile(self) -> Profile:
        """How large its previews are."""
        return PROFILES[self.profile_name]


def find_event(api: RestApi, wanted: str, profile: ProfileName | None) -> PushedEvent:
    """The event called so, or a new one; by its UUID only one that is there.

    Raises PushRefusedError, and what the API's calls raise.
    """
    event_uuid, is_new = _read_uuid(wanted), False
    if event_uuid is None:
        event_uuid, is_new = _find_or_add(api, wanted, profile or ProfileName.STANDARD)
    details: dict[str, Any] = api.get(f"events/{event_uuid}")
    if details.get("erased_at"):
        raise PushRefusedError(
            f"The faces of event {details['name']} were erased, so it takes no photos until "
            f"somebody resumes it: POST /api/v1/events/{event_uuid}/resume."
        )
    if profile is not None and details["profile"] != profile:
        raise PushRefusedError(
            f"Event {details['name']} has the profile {details['profile']}, chosen when it was "
            "added: leave --profile out."
        )
    return PushedEvent(
        event_id=details["event_id"],
        event_uuid=details["event_uuid"],
        name=details["name"],
        s3_prefix=details["s3_prefix"],
        gallery_url=details["gallery_url"],
        profile_name=ProfileName(details["profile"]),
        is_new=is_new,
    )


def _find_or_add(api: RestApi, name: str, profile: ProfileName) -> tuple[UUID, bool]:
    spelled = compose(name.strip())
    known: list[dict[str, Any]] = api.get("events")
    found = [UUID(event["event_uuid"]) for event in known if compose(event["name"]) == spelled]
    if len(found) > 1:
        raise PushRefusedError(
            f"There are {len(found)} events called {spelled}: give one's UUID as --event: "
            f"{', '.join(str(event_uuid) for event_uuid in sorted(found))}."
        )
    if found:
        return found[0], False
    event_uuid = uuid5(NAMES, spelled)
    body = {"name": spelled, "profile": profile, "event_uuid": str(event_uuid)}
    return event_uuid, api.post_new("events", body)


def _read_uuid(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None
