"""Views that a push makes: sent once after the preview, replaced and deleted with their photo."""

from pathlib import Path

import pytest

from deployments.push import upload
from deployments.push.report import Report
from deployments.push.upload import UploadResult, delete_names, send_photos
from models.vocabulary import ViewKind
from tasks.images.preview import PreviewRecipe, make_preview
from tasks.images.views import make_views
from tests.support.fake_s3 import FakeClient, make_bucket
from tests.support.photos import encode_jpeg, read_group
from tests.support.push_sender import KEYS, Heard, aim, put_on_disk

PHOTO = encode_jpeg(read_group().resize((1200, 831)))
OTHER = encode_jpeg(read_group().resize((900, 623)))
NAME = "Камера/Ёлка.jpg"


def send(store: FakeClient, folder: Path, content: bytes = PHOTO) -> UploadResult:
    """Push a folder with one photo."""
    store.calls.clear()
    photo = put_on_disk(folder, NAME, content)
    (result,) = send_photos(aim(store, makes_views=True), [photo], Heard())
    return result


def test_preview_original_and_views_are_sent_in_this_order_and_once(tmp_path: Path) -> None:
    store = FakeClient()
    result = send(store, tmp_path)
    keys = KEYS.views(NAME)
    assert store.get_keys("put_object") == [
        KEYS.preview(NAME),
        KEYS.original(NAME),
        *(keys[kind] for kind in ViewKind),
    ]
    assert {kind: store.objects[key] for kind, key in keys.items()} == make_views(PHOTO).contents
    assert store.objects[KEYS.preview(NAME)] == make_preview(PHOTO, PreviewRecipe(640))
    assert (result.original_sent, result.preview_sent, result.views_sent) == (True, True, True)
    assert result.bytes_sent == sum(len(content) for content in store.objects.values())

    again = send(store, tmp_path)
    assert not store.get_keys("put_object")
    assert (again.preview_sent, again.views_sent, again.bytes_sent) == (False, False, 0)
    report = Report(photos=1, results={NAME: again})
    assert (report.count()["unchanged"], report.as_json()["views_sent"]) == (1, 0)


def test_views_are_sent_with_their_preview_alone_since_the_photo_may_be_erased(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FakeClient()
    send(store, tmp_path)
    for key in KEYS.views(NAME).values():
        del store.objects[key]
    monkeypatch.setattr(upload, "try_views", None)
    monkeypatch.setattr(upload, "make_preview", None)
    result = send(store, tmp_path)
    assert not store.get_keys("put_object")
    assert (result.preview_sent, result.views_sent) == (False, False)
    assert Report(photos=1, results={NAME: result}).count()["unchanged"] == 1


def test_a_changed_photo_has_them_made_anew_and_a_deleted_one_loses_them(tmp_path: Path) -> None:
    store = FakeClient()
    send(store, tmp_path)
    assert send(store, tmp_path, OTHER).views_sent
    keys = KEYS.views(NAME)
    assert {kind: store.objects[key] for kind, key in keys.items()} == make_views(OTHER).contents
    store.objects["events/1/views/other.txt"] = b"stays"
    assert delete_names(make_bucket(store), KEYS, [NAME]) == 1
    assert store.objects.keys() == {"events/1/views/other.txt"}


def test_a_photo_that_changes_while_it_is_sent_keeps_no_view_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "PAUSE_S", 0.0)
    store = FakeClient()
    changes = iter([OTHER])

    def change(key: str) -> None:
        if key == KEYS.views(NAME)[ViewKind.VIEW_JPEG] and (content := next(changes, None)):
            put_on_disk(tmp_path, NAME, content)

    store.before_put = change
    result = send(store, tmp_path)
    assert result.not_sent is None
    keys = KEYS.views(NAME)
    assert {kind: store.objects[key] for kind, key in keys.items()} == make_views(OTHER).contents


def test_somebody_else_s_file_under_such_a_key_is_left_alone(tmp_path: Path) -> None:
    foreign = KEYS.views(NAME)[ViewKind.VIEW]
    store = FakeClient({foreign: b"theirs"})
    result = send(store, tmp_path)
    assert (result.preview_sent, result.views_sent) == (True, False)
    assert store.get_keys("put_object") == [KEYS.preview(NAME), KEYS.original(NAME)]
    delete_names(make_bucket(store), KEYS, [NAME])
    assert store.objects == {foreign: b"theirs"}


def test_what_is_no_photo_has_none_and_where_they_are_off_none_are_made(tmp_path: Path) -> None:
    store = FakeClient()
    result = send(store, tmp_path, PHOTO[:5000])
    assert (result.reason, result.preview_sent, result.views_sent) == ("truncated", True, False)
    photo = put_on_disk(tmp_path, NAME, PHOTO)
    (result,) = send_photos(aim(store), [photo], Heard())
    assert (result.preview_sent, result.views_sent) == (True, False)
    assert store.objects.keys() == {KEYS.original(NAME), KEYS.preview(NAME)}
