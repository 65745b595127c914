"""An event's own profile and model pack; notices of ended syncs that wait to be delivered."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, UUID

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what the release before has no word for; nothing is rewritten."""
    op.add_column(
        "event", sa.Column("profile", sa.Text, nullable=False, server_default=sa.text("'standard'"))
    )
    op.add_column("event", sa.Column("model_pack", sa.Text))
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column(
            "event_id", sa.Integer, sa.ForeignKey("event.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("flow_run_id", UUID(as_uuid=True), nullable=False),
        sa.Column("payload", JSONB, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("last_error", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True)),
        sa.Column("delivered_at", sa.DateTime(timezone=True)),
    )
    # What waits: null once it is delivered or given up.
    op.create_index(
        "webhook_delivery_next_try_at",
        "webhook_delivery",
        ["next_try_at"],
        postgresql_where=sa.text("next_try_at IS NOT NULL"),
    )
    op.create_index("webhook_delivery_event_id", "webhook_delivery", ["event_id"])


def downgrade() -> None:
    """Drop them; events of another profile or pack are synced under the settings' again."""
    op.drop_table("webhook_delivery")
    op.drop_column("event", "model_pack")
    op.drop_column("event", "profile")
