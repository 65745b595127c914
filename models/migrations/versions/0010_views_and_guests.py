"""Views of photos, how an event's gallery looks and who may see it, consents, guests' requests."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

PHOTO_COLUMNS = (
    ("views_etag", sa.Text()),
    ("views_source", sa.Text()),
    ("width", sa.Integer()),
    ("height", sa.Integer()),
    ("colour", sa.Text()),
    ("original_bytes", sa.BigInteger()),
    ("original_etag", sa.Text()),
    ("view_bytes", sa.Integer()),
)
LOOKS = ("place", "studio", "accent")


def upgrade() -> None:
    """Add the columns and tables; every event's gallery stays open to all who have its link."""
    for name, kind in PHOTO_COLUMNS:
        op.add_column("photo", sa.Column(name, kind))
    everyone, no = sa.text("'everyone'"), sa.text("false")
    op.add_column(
        "event", sa.Column("visibility", sa.Text, nullable=False, server_default=everyone)
    )
    op.add_column("event", sa.Column("pin_hash", sa.Text))
    op.add_column("event", sa.Column("closes_at", sa.DateTime(timezone=True)))
    op.add_column("event", sa.Column("download_all", sa.Boolean, nullable=False, server_default=no))
    op.add_column("event", sa.Column("held_on", sa.Date))
    for name in LOOKS:
        op.add_column("event", sa.Column(name, sa.Text))
    op.add_column("event", sa.Column("cover_photo_id", sa.BigInteger))
    drawn = sa.text("gen_random_uuid()")
    op.add_column("event", sa.Column("guest_key", sa.Uuid, nullable=False, server_default=drawn))
    _add_table(
        "event_logo",
        sa.Column("event_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("etag", sa.Text, nullable=False),
    )
    _add_table(
        "consent",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("event_id", sa.Integer, nullable=False, index=True),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("text_version", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
    )
    _add_table(
        "guest_request",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("event_id", sa.Integer, nullable=False, index=True),
        sa.Column("photo_id", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["photo_id"], ["photo.id"], ondelete="CASCADE"),
    )
    op.create_index(
        "guest_request_open",
        "guest_request",
        ["photo_id", "kind"],
        unique=True,
        postgresql_where=sa.text("settled_at IS NULL"),
    )


def _add_table(name: str, *parts: sa.schema.SchemaItem) -> None:
    event = sa.ForeignKeyConstraint(["event_id"], ["event.id"], ondelete="CASCADE")
    op.create_table(name, *parts, event)


def downgrade() -> None:
    """Drop them; consents and guests' requests are lost."""
    for table in ("guest_request", "consent", "event_logo"):
        op.drop_table(table)
    own = ("guest_key", "cover_photo_id", *LOOKS, "held_on", "download_all", "closes_at")
    for name in (*own, "pin_hash", "visibility"):
        op.drop_column("event", name)
    for name, _ in PHOTO_COLUMNS:
        op.drop_column("photo", name)
