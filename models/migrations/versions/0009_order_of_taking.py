"""The order of taking: when and by which camera a photo was taken, and its name for sorting."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, which syncs fill; until then photos are ordered by their keys."""
    op.add_column("event", sa.Column("utc_offset", sa.SmallInteger))
    op.add_column(
        "event",
        sa.Column("camera_shifts", JSONB, nullable=False, server_default=sa.text("'{}'")),
    )
    op.add_column("photo", sa.Column("taken_at", sa.DateTime))
    op.add_column("photo", sa.Column("utc_offset", sa.SmallInteger))
    op.add_column("photo", sa.Column("camera", sa.Text))
    op.add_column("photo", sa.Column("camera_name", sa.Text))
    op.add_column("photo", sa.Column("sort_name", sa.Text(collation="C")))


def downgrade() -> None:
    """Drop them; photos are ordered by their keys again."""
    for column in ("sort_name", "camera_name", "camera", "utc_offset", "taken_at"):
        op.drop_column("photo", column)
    op.drop_column("event", "camera_shifts")
    op.drop_column("event", "utc_offset")
