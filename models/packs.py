"""Model packs as the database knows them: a small number in every row instead of a name."""

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from models.tables import Pack


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
