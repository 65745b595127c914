"""A key per event that signs its cached results; an erasure draws a new one."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; each event draws a key of its own, by PostgreSQL's strong random numbers."""
    op.add_column(
        "event",
        sa.Column(
            "result_key", sa.Uuid, nullable=False, server_default=sa.text("gen_random_uuid()")
        ),
    )


def downgrade() -> None:
    """Drop it; results that were signed by it are computed again."""
    op.drop_column("event", "result_key")
