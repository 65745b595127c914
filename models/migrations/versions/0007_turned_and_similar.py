"""By how much a preview has to be turned; how similar the different people of an event are."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and the table; both are filled by the next syncs."""
    op.add_column(
        "photo", sa.Column("turned", sa.SmallInteger, nullable=False, server_default=sa.text("0"))
    )
    op.create_table(
        "similarity_histogram",
        sa.Column(
            "event_id",
            sa.Integer,
            sa.ForeignKey("event.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("pack_id", sa.SmallInteger, sa.ForeignKey("pack.id"), primary_key=True),
        sa.Column("counts", sa.ARRAY(sa.BigInteger), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    """Drop both."""
    op.drop_table("similarity_histogram")
    op.drop_column("photo", "turned")
