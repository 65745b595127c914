"""What an erasure sweeps: cached faces whatever becomes of the views, and both troubles told."""

from collections import Counter

import pytest

from models.errors import ErasureIncompleteError, S3AccessError
from models.queries.erasures import ErasedRows
from models.tables import utc_now
from tasks.results import erasure

ROWS = ErasedRows(faces=1, photos=1, syncs=0, erased_at=utc_now(), folder="events/1")


@pytest.mark.parametrize("failed", [0, 2])
def test_trouble_with_views_keeps_no_cached_face_and_hides_no_other_trouble(
    monkeypatch: pytest.MonkeyPatch, failed: int
) -> None:
    swept = []

    def delete_results(event_id: int) -> Counter[str]:
        swept.append(event_id)
        return Counter(deleted=3, failed=failed)

    def refuse(_: ErasedRows) -> int:
        raise S3AccessError("S3 refuses.")

    monkeypatch.setattr(erasure, "delete_event_results", delete_results)
    monkeypatch.setattr(erasure, "sweep_views", refuse)
    with pytest.raises(ErasureIncompleteError, match=r"S3 refuses\.") as caught:
        erasure._sweep(1, ROWS)
    assert swept == [1]
    assert (f"{failed} cached results" in str(caught.value)) == bool(failed)
