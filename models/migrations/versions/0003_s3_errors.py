"""Attempts of a sync that failed because of S3: a metric."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; a constant default rewrites no table."""
    op.add_column(
        "sync_run", sa.Column("s3_errors", sa.Integer, nullable=False, server_default=sa.text("0"))
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_column("sync_run", "s3_errors")
