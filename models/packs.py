"""Model packs as the database knows them: a small number in every row instead of a name.

Profiles of events: how large previews are made, and at which size faces are looked for.

An event has one (`Event.profile`); docs/previews.md measures what each finds and what it costs.
"""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from models.tables import Event, Pack
from models.vocabulary import ProfileName


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
    """By what an event's faces are found; `model_pack` None: the pack that the settings name."""

    model_pack: str | None = None
    profile: ProfileName = ProfileName.STANDARD

    @property
    def det_size(self) -> int:
        """The side of the square in which faces are looked for, in pixels."""
        return PROFILES[self.profile].det_size


USUAL_CHOICE = PackChoice()


def choose_pack(
    event: Event, model_pack: str | None = None, profile: ProfileName | None = None
) -> PackChoice:
    """What stands in the event's row, unless told otherwise."""
    return PackChoice(model_pack or event.model_pack, profile or ProfileName(event.profile))


def register_pack(session: Session, identity: str, licence: str) -> int:
    """The number of a pack, given on its first use; `identity` is name@hash of its files."""
    query = select(Pack.id).where(Pack.identity == identity)
    known = session.exec(query).one_or_none()
    if known is None:
        next_id = text("nextval('pack_id_seq')")
        session.execute(
            insert(Pack)
            .values(id=next_id, identity=identity, licence=licence)
            .on_conflict_do_nothing(index_elements=[col(Pack.identity)])
        )
        known = session.exec(query).one()
    if known is None:
        raise RuntimeError("A pack was registered without a number.")
    return known
