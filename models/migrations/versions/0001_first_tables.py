"""First tables: event, pack, sync_run, photo, face."""

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import HALFVEC
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "event",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("uuid", sa.Uuid, nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("gallery_token", sa.Text, nullable=False, unique=True),
        sa.Column("sync_epoch", sa.Integer, nullable=False),
        sa.Column("pending_prefixes", ARRAY(sa.Text), nullable=False),
        sa.Column("active_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "pack",
        sa.Column("id", sa.SmallInteger, primary_key=True),
        sa.Column("identity", sa.Text, nullable=False, unique=True),
        sa.Column("licence", sa.Text, nullable=False),
    )
    _create_sync_run()
    _create_photo()
    _create_face()


def _create_sync_run() -> None:
    op.create_table(
        "sync_run",
        sa.Column("flow_run_id", sa.Uuid, primary_key=True),
        sa.Column(
            "event_id", sa.Integer, sa.ForeignKey("event.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("s3_prefix", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("detail", sa.Text),
        sa.Column("held_by", sa.Uuid),
        sa.Column("planned", sa.Boolean, nullable=False),
        sa.Column("batches", sa.Integer, nullable=False),
        sa.Column("processed", sa.Integer, nullable=False),
        sa.Column("gone", sa.Integer, nullable=False),
        sa.Column("tallies", JSONB, nullable=False),
        sa.Column("result", sa.JSON),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True)),
        sa.Column("next_try_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
    )
    op.create_index("ix_sync_run_event_id", "sync_run", ["event_id"])


def _create_photo() -> None:
    op.create_table(
        "photo",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column(
            "event_id", sa.Integer, sa.ForeignKey("event.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("s3_key", sa.Text(collation="C"), nullable=False),
        sa.Column("etag", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("image_url", sa.Text, nullable=False),
        sa.Column("original_missing", sa.Boolean, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("confidence", sa.Float, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("change", sa.Text, nullable=False),
        sa.Column("pack_id", sa.SmallInteger, sa.ForeignKey("pack.id")),
        sa.Column("sync_run_id", sa.Uuid),
        sa.Column("batch", sa.Integer),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("processed_at", sa.DateTime(timezone=True)),
    )
    op.create_index("photo_event_id_s3_key", "photo", ["event_id", "s3_key"], unique=True)
    op.create_index("photo_sync_run_id_batch", "photo", ["sync_run_id", "batch"])


def _create_face() -> None:
    op.create_table(
        "face",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column(
            "photo_id",
            sa.BigInteger,
            sa.ForeignKey("photo.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column(
            "event_id", sa.Integer, sa.ForeignKey("event.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("pack_id", sa.SmallInteger, sa.ForeignKey("pack.id"), nullable=False),
        *(sa.Column(corner, sa.Float, nullable=False) for corner in ("x1", "y1", "x2", "y2")),
        sa.Column("confidence", sa.Float, nullable=False),
        sa.Column("embedding", HALFVEC, nullable=False),
    )
    # In the row, not beside it: a search reads every vector of an event in one pass.
    op.execute("ALTER TABLE face ALTER COLUMN embedding SET STORAGE PLAIN")
    op.create_index("ix_face_photo_id", "face", ["photo_id"])
    op.create_index("face_event_id_pack_id", "face", ["event_id", "pack_id"])


def downgrade() -> None:
    """Drop the tables, the last made first."""
    for table in ("face", "photo", "sync_run", "pack", "event"):
        op.drop_table(table)
