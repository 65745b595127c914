"""Folders of events' own in S3; originals that are called otherwise than their previews."""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Previews that were made of an original of exactly their name before, and would now be taken for
# those of one without `.jpg`.
CONVERTED = """
s3_key ~ '[.]jpg$' AND s3_key ~* ('[.](3fr|ari|arw|avif|bay|cap|cr2|cr3|crw|dcr|dng|eip|erf|fff|'
    'gpr|heic|heif|hif|iiq|k25|kdc|mef|mos|mrw|nef|nrw|orf|pef|ptx|r3d|raf|raw|rw2|rwl|rwz|sr2|'
    'srf|srw|tif|tiff|x3f)([.]jpg)+$')
"""
NAMESAKE = "regexp_replace(s3_key, '/previews/', '/originals/')"  # the first one alone
OWN_FOLDERS = (
    "An event has a folder of its own in S3, which the release before knows nothing of: delete "
    "such events, or stay with this release."
)


def upgrade() -> None:
    """Add the columns; null is what every event, and nearly every photo, had before."""
    op.add_column("event", sa.Column("s3_folder", sa.Text))
    op.add_column("photo", sa.Column("original_key", sa.Text))
    op.execute(
        f"UPDATE photo SET original_key = {NAMESAKE} WHERE NOT original_missing AND {CONVERTED}"  # noqa: S608 (parts of this module)
    )


def downgrade() -> None:
    """Drop them; an original of another name counts as missing in the release before."""
    if op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT FROM event WHERE s3_folder <> '')")):
        raise CommandError(OWN_FOLDERS)
    op.execute(
        "UPDATE photo SET original_missing = true "  # noqa: S608 (parts of this module)
        f"WHERE original_key <> {NAMESAKE} OR (original_key IS NULL AND {CONVERTED})"
    )
    op.drop_column("photo", "original_key")
    op.drop_column("event", "s3_folder")
