"""Views of an event's photos, made in this process without a flow run."""

from tasks.previews.job import Tally
from tasks.s3.bucket import get_bucket
from tasks.views.find import delete_orphans, list_work, survey_views
from tasks.views.job import ViewBatch, bring_batch


def make_event_views(event_id: int, folder: str | None = None) -> Tally:
    """Make the views that an event's photos lack, as the flow does, by this process's settings.

    folder: the event's in S3, where it is not events/{id}/.
    """
    bucket, folder = get_bucket(), folder or f"events/{event_id}/"
    delete_orphans(bucket, survey_views(bucket, event_id, folder))
    tally = Tally()
    for photos in list_work(event_id, 100):
        tally.add(bring_batch(bucket, ViewBatch(0, event_id, folder, photos)))
    return tally
