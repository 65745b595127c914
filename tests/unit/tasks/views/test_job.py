"""A batch of views: what was erased meanwhile is deleted, however the batch ends."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from models.errors import S3AccessError, S3DownloadError
from models.queries.gallery.views import ViewWork
from tasks.views import job
from tasks.views.job import ViewBatch
from tasks.views.make import Outcome, Verdict
from tests.support.fake_s3 import FakeClient, make_bucket

PHOTOS = [ViewWork(number, f"events/1/previews/{number}.jpg", "e", 1, None, None, None)
          for number in (1, 2, 3)]  # fmt: skip


@pytest.mark.parametrize("failure", [None, S3DownloadError, S3AccessError])
def test_views_of_photos_that_were_erased_do_not_stay(
    monkeypatch: pytest.MonkeyPatch, failure: type[Exception] | None
) -> None:
    deleted: list[str] = []

    @contextmanager
    def open_session() -> Iterator[None]:
        yield None

    def bring(_: object, photo: ViewWork, __: str) -> Outcome:
        if failure is not None and photo.id == 2:
            raise failure("S3 says no.")
        return Outcome(Verdict.LEFT_OUT, None)

    monkeypatch.setattr(job, "open_session", open_session)
    monkeypatch.setattr(job, "bring_views", bring)
    monkeypatch.setattr(job, "record_views", lambda *_: None)
    monkeypatch.setattr(job, "list_hidden_photos", lambda _, ids: [n for n in ids if n != 3])
    monkeypatch.setattr(job, "delete_views", lambda _, keys: deleted.extend(keys))
    batch = ViewBatch(0, 1, "events/1", PHOTOS)
    bucket = make_bucket(FakeClient())
    if failure is S3AccessError:
        with pytest.raises(S3AccessError):
            job.bring_batch(bucket, batch)
    else:
        job.bring_batch(bucket, batch)
    assert len(deleted) == 6 and not [key for key in deleted if "/3.jpg" in key]
