"""The order of taking: when and by which camera a photo was taken, and its name for sorting."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# As `build_sort_name` of models/keys.py, but for letters that are not ASCII's.
FILL_NAMES = r"""
UPDATE photo SET sort_name = regexp_replace(regexp_replace(
    regexp_replace(lower(s3_key), '[.][a-z0-9]+$', ''),
    '([0-9]+)', '00000000000000000000\1', 'g'), '[0-9]*([0-9]{20})', '\1', 'g')
"""


def upgrade() -> None:
    """Add the columns. Names are filled in here, times by syncs."""
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
    op.execute(FILL_NAMES)


def downgrade() -> None:
    """Drop them; photos are ordered by their keys again."""
    for column in ("sort_name", "camera_name", "camera", "utc_offset", "taken_at"):
        op.drop_column("photo", column)
    op.drop_column("event", "camera_shifts")
    op.drop_column("event", "utc_offset")
