"""The search for photos whose views have to be made, and for views that have lost their photo.

One listing of the event's folder tells which originals and views there are; the database decides.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing

from models.queries.gallery.views import (
    Orphans,
    ViewWork,
    count_views,
    list_view_work,
    settle_listing,
)
from models.session import open_session
from models.vocabulary import ViewKind
from tasks.images.views import VIEWS_RECIPE
from tasks.s3.bucket import Bucket
from tasks.s3.objects import read_metadata
from tasks.s3.views import delete_views


def survey_views(bucket: Bucket, event_id: int, folder: str) -> Orphans:
    """Have the database know the event's originals and views as S3 lists them now.

    Raises EventNotFoundError, S3DownloadError or S3AccessError.
    """
    with closing(bucket.list_pages(folder)) as pages, open_session() as session:
        return settle_listing(session, event_id, folder, pages, len(ViewKind))


def count_work(event_id: int) -> tuple[int, int]:
    """How many photos guests see, and of how many of these the views are to be looked at."""
    with open_session() as session:
        return count_views(session, event_id, VIEWS_RECIPE)


def list_work(event_id: int, most: int) -> Iterator[Sequence[ViewWork]]:
    """These photos, so many at a time, by key; each once, whatever becomes of it."""
    after = ""
    while True:
        with open_session() as session:
            work = list_view_work(session, event_id, VIEWS_RECIPE, after=after, most=most)
        if not work:
            return
        yield work
        after = work[-1].s3_key


def delete_orphans(bucket: Bucket, orphans: Orphans) -> int:
    """Delete our views of photos that are erased or gone from S3; returns how many there were.

    A preview may have come after its folder was listed: it is asked for once more. Raises
    S3AccessError or S3DownloadError.
    """
    previews = {preview for _, preview in orphans.lost}
    back = {preview for preview in previews if read_metadata(bucket, preview) is not None}
    keys = [key for key, preview in orphans.lost if preview not in back]
    return delete_views(bucket, [*orphans.erased, *keys])
