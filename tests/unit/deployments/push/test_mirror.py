"""What is deleted from S3, and when that is asked about first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.push.mirror import Stored, choose_deletions, require_kept
from models.errors import DeletionRefusedError, PushRefusedError
from models.keys import ListedPreview
from tests.support.fake_s3 import FakeClient
from tests.support.push_sender import KEYS, aim

NAMES = st.sets(st.sampled_from([f"{number}.jpg" for number in range(40)]))


def store_names(originals: set[str], previews: set[str]) -> Stored:
    return Stored(
        *({name: ListedPreview(name, "e", 1) for name in names} for names in (originals, previews))
    )


@given(NAMES, NAMES, NAMES, st.booleans())
def test_what_is_on_disk_stays_and_what_is_not_goes_or_is_asked_about(
    originals: set[str], previews: set[str], wanted: set[str], allowed: bool
) -> None:
    gone = (originals | previews) - wanted
    try:
        doomed = choose_deletions(store_names(originals, previews), wanted, allowed=allowed)
    except DeletionRefusedError:
        assert not allowed
        assert not wanted or (len(gone) > 10 and len(gone) > len(originals | previews) / 2)
    else:
        assert set(doomed) == gone


@pytest.mark.parametrize(
    ("kept", "gone", "asks"), [(0, 1, True), (1, 10, False), (10, 11, True), (11, 11, False)]
)
def test_a_folder_that_lacks_most_is_asked_about(kept: int, gone: int, asks: bool) -> None:
    names = {f"{number}.jpg" for number in range(kept + gone)}
    wanted = {f"{number}.jpg" for number in range(kept)}
    stored = store_names(names, names)
    if asks:
        with pytest.raises(DeletionRefusedError, match=r"--delete deletes them.*--keep keeps them"):
            choose_deletions(stored, wanted, allowed=False)
    else:
        assert len(choose_deletions(stored, wanted, allowed=False)) == gone


def test_a_copy_under_another_name_deletes_nothing_by_the_way() -> None:
    stored = store_names({"1.jpg", "2.jpg"}, {"1.jpg", "2.jpg"})
    with pytest.raises(DeletionRefusedError, match="was called Карта when it was first pushed"):
        choose_deletions(stored, ["1.jpg"], allowed=False, called_before="Карта")
    same = choose_deletions(stored, ["1.jpg", "2.jpg"], allowed=False, called_before="Карта")
    assert same == []


def test_only_the_source_itself_is_looked_at() -> None:
    store = FakeClient()
    for key in (
        f"{KEYS.originals}a/1.jpg",
        f"{KEYS.previews}a/1.jpg",
        f"{KEYS.previews}a/",
        "events/1/previews/Карта-1a2b3c4d-2/1.jpg",
        "events/1/previews/1.jpg",
        "events/11/previews/Карта-1a2b3c4d/1.jpg",
    ):
        store.objects[key] = b"x"
    assert aim(store).stored.names == {"a/1.jpg"}


def test_nothing_is_deleted_where_s3_spells_names_otherwise() -> None:
    require_kept(store_names({"a.jpg", "b.jpg"}, set()), ["a.jpg"])
    with pytest.raises(PushRefusedError, match=r"does not list 1 .*'a.jpg'.*Nothing was deleted"):
        require_kept(store_names({"A.jpg"}, {"a.jpg"}), ["a.jpg"])
