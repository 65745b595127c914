"""Profiles of events: how large previews are made, and at which size faces are looked for.

An event has one (`Event.profile`); docs/previews.md measures what each finds and what it costs.
"""

from dataclasses import dataclass
from enum import StrEnum


class ProfileName(StrEnum):
    """What an event's photos mostly show."""

    STANDARD = "standard"  # people near the camera
    GROUPS = "groups"  # many people in one photo, each of them small


@dataclass(frozen=True)
class Profile:
    """Sizes in pixels: a preview's longest side, the square in which faces are looked for."""

    preview_side: int
    det_size: int


PROFILES = {
    ProfileName.STANDARD: Profile(preview_side=640, det_size=640),
    ProfileName.GROUPS: Profile(preview_side=1600, det_size=1280),
}
