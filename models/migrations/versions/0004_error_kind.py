"""The kind of a failed attempt's error, in a column of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of older runs the sentence tells, since each S3 failure names S3 or AWS."""
    op.add_column("sync_run", sa.Column("error_kind", sa.Text))
    op.execute(
        "UPDATE sync_run SET error_kind = CASE WHEN detail ~ 'S3|AWS' THEN 's3' ELSE 'other' END"
        " WHERE state IN ('retrying', 'failed')"
    )


def downgrade() -> None:
    """Drop it; the sentence stays."""
    op.drop_column("sync_run", "error_kind")
