"""Queries for the numbers of model packs.

Each face row stores this small number instead of the pack's long identity (name@hash).
"""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from models.tables import Pack


def find_pack_id(session: Session, identity: str) -> int | None:
    """A pack's number; None where it has made no vector yet."""
    return session.exec(select(Pack.id).where(Pack.identity == identity)).one_or_none()


def list_pack_ids(session: Session, identities: Sequence[str]) -> list[int]:
    """The numbers of those packs that have made vectors."""
    found = session.exec(select(Pack.id).where(col(Pack.identity).in_(identities)))
    return sorted(number for number in found if number is not None)


def register_pack(session: Session, identity: str, licence: str) -> int:
    """The number of a pack, given on its first use; `identity` is name@hash of its files."""
    known = find_pack_id(session, identity)
    if known is None:
        next_id = text("nextval('pack_id_seq')")
        session.execute(
            insert(Pack)
            .values(id=next_id, identity=identity, licence=licence)
            .on_conflict_do_nothing(index_elements=[col(Pack.identity)])
        )
        known = find_pack_id(session, identity)
    if known is None:
        raise RuntimeError("A pack was registered without a number.")
    return known
