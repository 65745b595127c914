"""Guests' subscriptions, openings of photos, an event's retention, the installation."""

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import HALFVEC

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns and tables; no event offers subscriptions until a photographer allows it."""
    op.add_column("event", sa.Column("retention_days", sa.SmallInteger))
    no = sa.text("false")
    op.add_column("event", sa.Column("notices", sa.Boolean, nullable=False, server_default=no))
    op.create_table(
        "subscription",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("event_id", sa.Integer, nullable=False, index=True),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("pack_id", sa.SmallInteger, sa.ForeignKey("pack.id"), nullable=False),
        sa.Column("embedding", HALFVEC, nullable=False),
        sa.Column("text_version", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], ondelete="CASCADE"),
    )
    op.create_table(
        "told_photo",
        sa.Column("subscription_id", sa.Uuid, primary_key=True),
        sa.Column("photo_id", sa.BigInteger, primary_key=True, autoincrement=False, index=True),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["subscription_id"], ["subscription.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["photo_id"], ["photo.id"], ondelete="CASCADE"),
    )
    op.create_table(
        "photo_opening",
        sa.Column("photo_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("opened", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(["photo_id"], ["photo.id"], ondelete="CASCADE"),
    )
    op.alter_column("webhook_delivery", "event_id", nullable=True)
    installation = op.create_table("installation", sa.Column("id", sa.Uuid, primary_key=True))
    op.execute(installation.insert().values(id=sa.text("gen_random_uuid()")))


def downgrade() -> None:
    """Drop them; subscriptions and openings are lost."""
    for table in ("installation", "photo_opening", "told_photo", "subscription"):
        op.drop_table(table)
    op.execute("DELETE FROM webhook_delivery WHERE event_id IS NULL")
    op.alter_column("webhook_delivery", "event_id", nullable=False)
    op.drop_column("event", "notices")
    op.drop_column("event", "retention_days")
