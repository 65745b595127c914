"""Erasure: since when an event has no faces, when something was last erased, photos kept out."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; none of them rewrites a table."""
    for name in ("erased_at", "last_erasure_at"):
        op.add_column("event", sa.Column(name, sa.DateTime(timezone=True)))
    op.add_column(
        "photo",
        sa.Column("erased_alone", sa.Boolean, nullable=False, server_default=sa.text("false")),
    )


def downgrade() -> None:
    """Drop the columns. Photos that were erased look like new work to the release before."""
    op.execute("UPDATE photo SET status = 'pending' WHERE status = 'erased'")
    op.drop_column("photo", "erased_alone")
    for name in ("last_erasure_at", "erased_at"):
        op.drop_column("event", name)
