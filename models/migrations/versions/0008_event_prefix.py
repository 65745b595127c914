"""Folders of events' own in S3; originals that are called otherwise than their previews."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; null is what every event and photo had before."""
    op.add_column("event", sa.Column("s3_folder", sa.Text))
    op.add_column("photo", sa.Column("original_key", sa.Text))


def downgrade() -> None:
    """Drop them; the release before does not sync events with a folder of their own."""
    op.drop_column("photo", "original_key")
    op.drop_column("event", "s3_folder")
