"""The pack that a run's plan was made for; how often a photo changed within its run."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both; of older plans no pack is known, and their runs go on with what they have."""
    op.add_column("sync_run", sa.Column("pack_id", sa.SmallInteger, sa.ForeignKey("pack.id")))
    op.add_column(
        "photo", sa.Column("changes", sa.Integer, nullable=False, server_default=sa.text("0"))
    )


def downgrade() -> None:
    """Drop them; changes are counted over a photo's whole life again."""
    op.drop_column("photo", "changes")
    op.drop_column("sync_run", "pack_id")
