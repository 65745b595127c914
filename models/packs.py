"""Profiles of events, and the model pack and detection size that are used for an event's faces.

A profile sets the size of previews and the size at which faces are detected. The event's row
stores the profile and the model pack; docs/previews.md shows what each profile finds and costs.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.vocabulary import ProfileName

if TYPE_CHECKING:
    from models.tables import Event


@dataclass(frozen=True)
class Profile:
    """Sizes in pixels: a preview's longest side, the square in which faces are looked for."""

    preview_side: int
    det_size: int


PROFILES = {
    ProfileName.STANDARD: Profile(preview_side=640, det_size=640),
    ProfileName.GROUPS: Profile(preview_side=1600, det_size=1280),
}


@dataclass(frozen=True)
class PackChoice:
    """The pack and profile of an event; `model_pack` None: the pack that the settings name."""

    model_pack: str | None = None
    profile: ProfileName = ProfileName.STANDARD

    @property
    def det_size(self) -> int:
        """The side of the square in which faces are looked for, in pixels."""
        return PROFILES[self.profile].det_size


USUAL_CHOICE = PackChoice()


def choose_pack(
    event: "Event", model_pack: str | None = None, profile: ProfileName | None = None
) -> PackChoice:
    """The choice in the event's row, unless told otherwise."""
    return PackChoice(model_pack or event.model_pack, profile or ProfileName(event.profile))
