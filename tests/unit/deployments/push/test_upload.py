"""One photo on its way to a store that is a dictionary."""

from io import BytesIO
from pathlib import Path

import pillow_heif
import pytest
from PIL import Image

from deployments.push import upload
from deployments.push.upload import NamedPhoto, delete_names, name_type, send_photos
from models.errors import S3AccessError, S3DownloadError
from tests.support.camera_files import build_nef
from tests.support.fake_s3 import FakeClient, make_bucket, make_error
from tests.support.photos import encode_jpeg, read_sample
from tests.support.push_sender import KEYS, Heard, aim, put_on_disk, send


@pytest.fixture
def coffee(tmp_path: Path) -> NamedPhoto:
    """A photo without people, on disk."""
    return put_on_disk(tmp_path, "Кофе/1.jpg", encode_jpeg(read_sample("coffee.png")))


def test_the_preview_goes_up_first_and_the_original_as_it_is(coffee: NamedPhoto) -> None:
    store = FakeClient()
    result = send(aim(store, preview_side=320), coffee)
    original, preview = f"{KEYS.originals}Кофе/1.jpg", f"{KEYS.previews}Кофе/1.jpg"
    assert store.get_keys("put_object") == [preview, original]
    assert store.objects[original] == coffee.file.path.read_bytes()
    assert store.metadata[original] == {"facepass-md5": store.get_etag(original)}
    with Image.open(BytesIO(store.objects[preview])) as image:
        assert max(image.size) == 320
    assert store.metadata[preview] | {"facepass-md5": ""} == {
        "facepass-md5": "",
        "facepass-original": store.get_etag(original),
        "facepass-recipe": "320q85v2",
    }
    assert (result.original_sent, result.preview_sent, result.is_current()) == (True, True, True)
    assert result.bytes_sent == sum(map(len, store.objects.values()))


@pytest.mark.parametrize("etag_is_md5", [True, False])
def test_what_is_there_is_neither_sent_nor_made_again(
    coffee: NamedPhoto, etag_is_md5: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FakeClient()
    if not etag_is_md5:  # S3 with keys of its own
        store.make_etag = lambda content: f"{len(content):032x}"
    send(aim(store), coffee)
    store.calls.clear()
    monkeypatch.setattr(upload, "make_preview", None)

    result = send(aim(store), coffee)

    assert store.get_keys("put_object") == []
    assert not (result.original_sent or result.preview_sent or result.bytes_sent)
    assert len(store.get_keys("head_object")) == (1 if etag_is_md5 else 2)


def test_another_profile_makes_the_preview_anew_and_sends_no_original(coffee: NamedPhoto) -> None:
    store = FakeClient()
    send(aim(store), coffee)
    store.calls.clear()
    send(aim(store, preview_side=320), coffee)
    assert store.get_keys("put_object") == [f"{KEYS.previews}Кофе/1.jpg"]


def test_a_file_of_the_same_size_and_other_content_is_sent(coffee: NamedPhoto) -> None:
    store = FakeClient()
    send(aim(store), coffee)
    content = bytearray(coffee.file.path.read_bytes())
    content[-3] ^= 1
    coffee.file.path.write_bytes(content)
    result = send(aim(store), coffee)
    assert (result.original_sent, result.preview_sent) == (True, True)
    assert store.objects[f"{KEYS.originals}Кофе/1.jpg"] == content


def test_a_push_that_was_killed_between_original_and_preview_is_finished(
    coffee: NamedPhoto,
) -> None:
    store = FakeClient()
    send(aim(store), coffee)
    # The file was replaced, the original sent, the preview not.
    other = encode_jpeg(read_sample("coffee.png"), quality=70)
    coffee.file.path.write_bytes(other)
    preview = f"{KEYS.previews}Кофе/1.jpg"
    before, metadata = store.objects[preview], store.metadata[preview]
    send(aim(store), coffee)
    store.objects[preview], store.metadata[preview] = before, metadata
    store.calls.clear()
    result = send(aim(store), coffee)
    assert store.get_keys("put_object") == [f"{KEYS.previews}Кофе/1.jpg"]
    assert not result.original_sent


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (b"%PDF-1.7", "not_an_image"), (b"\xff\xd8\xff\xe0broken", "truncated")],
)
def test_a_file_that_is_no_photo_stands_in_for_its_preview(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    store, photo = FakeClient(), put_on_disk(tmp_path, "1.jpg", content)
    result = send(aim(store), photo)
    assert (result.reason, result.not_sent) == (reason, None)
    assert [store.objects[key] for key in store.get_keys("put_object")] == [content, content]
    store.calls.clear()
    # The next push sends nothing, and still knows the reason.
    assert send(aim(store), photo).reason == reason
    assert store.get_keys("put_object") == []


def test_what_is_too_large_to_stand_in_leaves_no_preview_behind(
    coffee: NamedPhoto,
) -> None:
    store = FakeClient()
    send(aim(store), coffee)
    coffee.file.path.write_bytes(b"no photo, and long")
    result = send(aim(store, max_photo_bytes=10), coffee)
    assert result.reason == "not_an_image"
    assert store.objects.keys() == {f"{KEYS.originals}Кофе/1.jpg"}


def test_a_file_larger_than_any_photo_is_sent_and_never_read_into_memory(
    coffee: NamedPhoto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "read_bytes", None)
    store = FakeClient()
    result = send(aim(store, max_photo_bytes=100, max_original_bytes=100), coffee)
    assert result.reason == "too_many_bytes"
    assert store.get_keys("put_object") == [f"{KEYS.originals}Кофе/1.jpg"]


def test_a_file_that_changes_while_it_is_sent_is_not_taken_for_sent(coffee: NamedPhoto) -> None:
    path = coffee.file.path
    # Before the original is read, and after its preview was: none of both is the file as it is.
    for moment in (KEYS.originals, KEYS.previews):
        store = FakeClient()

        def grow(key: str, moment: str = moment) -> None:
            if key.startswith(moment):
                path.write_bytes(path.read_bytes() + b"more")

        store.before_put = grow
        result = send(aim(store), coffee)
        assert not result.is_current()
    assert store.get_keys("put_object") == [f"{KEYS.previews}Кофе/1.jpg"]


def test_a_photo_that_is_still_being_copied_gets_another_turn(
    coffee: NamedPhoto, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, whole, path = FakeClient(), coffee.file.path.read_bytes(), coffee.file.path
    path.write_bytes(whole[:1000])
    growths = [whole[:2000]]
    store.before_put = lambda _: path.write_bytes(growths.pop()) if growths else None
    monkeypatch.setattr(upload.time, "sleep", lambda _: path.write_bytes(whole))
    heard = Heard()

    (result,) = send_photos(aim(store), [coffee], heard)

    assert (result.not_sent, result.reason, result.is_current()) == (None, None, True)
    assert store.objects[f"{KEYS.originals}Кофе/1.jpg"] == whole
    assert (len(heard.previews), len(heard.originals)) == (1, 1)


@pytest.mark.parametrize("is_in_place", [True, False])
def test_what_is_not_as_the_scan_saw_it_is_sent_from_the_same_folder_alone(
    coffee: NamedPhoto, monkeypatch: pytest.MonkeyPatch, is_in_place: bool
) -> None:
    monkeypatch.setattr(upload.time, "sleep", lambda _: None)
    store, other = FakeClient(), encode_jpeg(read_sample("coffee.png"), quality=70)
    coffee.file.path.write_bytes(other)
    (result,) = send_photos(aim(store), [coffee], Heard(), lambda: is_in_place)
    assert (result.not_sent is None) == (other in store.objects.values()) == is_in_place
    assert is_in_place or store.objects == {}


def test_a_photo_that_never_rests_is_named(
    coffee: NamedPhoto, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, path = FakeClient(), coffee.file.path
    monkeypatch.setattr(upload.time, "sleep", lambda _: None)
    store.before_put = lambda _: path.write_bytes(path.read_bytes() + b"+")
    (result,) = send_photos(aim(store), [coffee], Heard())
    assert result.not_sent == "it changed while it was sent"


def test_a_file_that_is_gone_or_locked_is_named_and_stops_no_other(
    coffee: NamedPhoto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload.time, "sleep", lambda _: None)
    lost = put_on_disk(tmp_path, "2.jpg", b"x")
    lost.file.path.unlink()
    store = FakeClient()
    results = send_photos(aim(store), [lost, coffee], Heard())
    told = {result.photo.name: result.not_sent for result in results}
    assert told["Кофе/1.jpg"] is None
    assert "No such file" in str(told["2.jpg"])


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [("AccessDenied", 403, S3AccessError), ("InternalError", 500, S3DownloadError)],
)
def test_what_is_wrong_with_s3_ends_the_push(
    coffee: NamedPhoto, code: str, status: int, kind: type[Exception]
) -> None:
    store = FakeClient()

    def refuse(_: str) -> None:
        raise make_error(code, status, "PutObject")

    store.before_put = refuse
    with pytest.raises(kind):
        send_photos(aim(store), [coffee], Heard())


def test_a_photo_is_deleted_preview_first(coffee: NamedPhoto) -> None:
    store = FakeClient()
    send(aim(store), coffee)
    assert delete_names(aim(store).bucket, KEYS, ["Кофе/1.jpg"]) == 1
    assert store.get_keys("delete_object") == [
        f"{KEYS.previews}Кофе/1.jpg",
        f"{KEYS.originals}Кофе/1.jpg",
    ]
    assert store.objects == {}


def test_a_damaged_file_that_upsets_the_decoder_ends_nothing(
    coffee: NamedPhoto, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("tasks.images.preview.decode_picture", fail)
    assert send(aim(FakeClient()), coffee).reason == "unprocessable"


def test_a_photo_that_does_not_fit_into_memory_is_named(
    coffee: NamedPhoto, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("tasks.images.preview.decode_picture", fail)
    assert "too little memory" in str(send(aim(FakeClient()), coffee).not_sent)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("1.HEIC", "image/heic"), ("1.tif", "image/tiff"), ("1.NEF", "application/octet-stream")],
)
def test_a_camera_file_is_sent_as_it_is_and_its_preview_is_a_jpeg(
    tmp_path: Path, name: str, kind: str
) -> None:
    pillow_heif.register_heif_opener()
    jpeg, picture = encode_jpeg(read_sample("coffee.png")), BytesIO()
    if name == "1.NEF":
        content = build_nef(jpeg)
    else:
        Image.open(BytesIO(jpeg)).save(picture, "HEIF" if name == "1.HEIC" else "TIFF")
        content = picture.getvalue()
    store, photo = FakeClient(), put_on_disk(tmp_path, name, content)
    result = send(aim(store), photo)
    assert (result.original_sent, result.preview_sent, result.reason) == (True, True, None)
    assert store.objects[f"{KEYS.originals}{name}"] == content
    assert name_type(photo.file.path) == kind
    assert store.objects[f"{KEYS.previews}{name}.jpg"].startswith(b"\xff\xd8\xff")
    store.calls.clear()
    again = send(aim(store), photo)
    assert (again.original_sent, again.preview_sent) == (False, False)
    assert aim(store).stored.names == {name}
    assert delete_names(make_bucket(store), KEYS, [name]) == 1
    assert not store.objects


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jfif", "image/jpeg"), ("a.JPE", "image/jpeg"), ("a.png", "image/png"),
        ("a.WEBP", "image/webp"), ("a.avif", "image/avif"), ("a.heif", "image/heic"),
        ("a.cr3", "application/octet-stream"),
    ],
)  # fmt: skip
def test_each_photo_has_a_content_type(name: str, kind: str) -> None:
    assert name_type(Path(name)) == kind
