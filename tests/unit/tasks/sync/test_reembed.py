"""A change of model: what is stored beside, what is left to the next sync, what is told."""

from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.packs import PackChoice, choose_pack
from models.queries.outcomes import PhotoRef
from models.queries.reembeds import build_reembedding_result
from models.queries.runs import REEMBED, is_reembed
from models.tables import Event, SyncRun
from models.vocabulary import PhotoReason, PhotoStatus, ProfileName, SyncState
from tasks.faces.detected import CHANGED, DetectedFaces
from tasks.sync.embed import ReadPhoto
from tasks.sync.reembed import name_completion, sort_outcomes

FACE = DetectedFaces(
    np.zeros((1, 4), np.float32), np.ones(1, np.float32), np.ones((1, 2), np.float32)
)
FOUND = st.sampled_from(
    [ReadPhoto(FACE), ReadPhoto(None, CHANGED), *(ReadPhoto(None, r) for r in PhotoReason)]
)


@given(st.lists(FOUND, max_size=20))
def test_every_photo_is_stored_or_left_with_its_reason(found: list[ReadPhoto]) -> None:
    photos = {PhotoRef(f"{i}.jpg", "e", 0): faces for i, faces in enumerate(found)}

    outcomes, left = sort_outcomes(photos)

    stored = {outcome.s3_key: outcome.status for outcome in outcomes}
    told = {key: reason for reason, keys in left.items() for key in keys}
    assert stored.keys() | told.keys() == {photo.s3_key for photo in photos}
    assert len(stored) + len(told) == len(photos)
    for photo, faces in photos.items():
        if faces.faces is not None:
            assert stored[photo.s3_key] is PhotoStatus.INDEXED
        elif faces.verdict == PhotoReason.NO_FACE_DETECTED:
            assert stored[photo.s3_key] is PhotoStatus.NO_FACE
        else:
            assert told[photo.s3_key] == faces.verdict


def make_run(prefix: str, **work: Any) -> SyncRun:
    """A run's record."""
    tallies = {REEMBED: {"photos": 10, "done": [0], "left": {}, **work}}
    return SyncRun(
        flow_run_id=uuid4(), event_id=1, s3_prefix=prefix, state=SyncState.RUNNING, tallies=tallies
    )


def test_what_is_left_is_told_and_not_counted_as_found() -> None:
    run = make_run("events/1/", left={"vanished": [1, 2], "changed": [3]})
    counts = {"no_face": 1, "faces_found": 9}

    result = build_reembedding_result(run, counts, PackChoice("opencv_zoo", ProfileName.GROUPS))

    assert (result["photos"], result["left"]) == (7, {"vanished": 2, "changed": 1})
    assert (result["model_pack"], result["profile"]) == ("opencv_zoo", "groups")
    assert result | counts == result
    assert name_completion(result) == "Completed: 7 photos, 3 left to the sync"
    assert name_completion(result | {"left": {}}) == "Completed: 7 photos"


def test_no_sync_is_taken_for_a_change() -> None:
    assert is_reembed(make_run("events/1/"))
    for prefix in ("events/1/previews/", "events/10/", "events/1/day/previews/"):
        assert not is_reembed(make_run(prefix))


@pytest.mark.parametrize("own", [None, "opencv_zoo"])
def test_what_is_not_told_stays_as_the_event_has_it(own: str | None) -> None:
    event = Event(name="Свадьба", gallery_token="t", model_pack=own, profile=ProfileName.GROUPS)
    assert choose_pack(event) == PackChoice(own, ProfileName.GROUPS)
    assert choose_pack(event, "antelopev2").model_pack == "antelopev2"
    assert choose_pack(event, None, ProfileName.STANDARD) == PackChoice(own, ProfileName.STANDARD)
