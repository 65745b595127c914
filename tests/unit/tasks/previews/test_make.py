"""One original's preview: made once, never over another's, and what stands in for it."""

from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from models.errors import S3AccessError, S3DownloadError
from models.settings import get_settings
from models.vocabulary import PhotoReason
from tasks.images.preview import PreviewRecipe
from tasks.previews import make
from tasks.previews.find import OriginalRef
from tasks.previews.make import (
    HEAD_BYTES,
    KEPT,
    Outcome,
    Verdict,
    bring_preview,
    is_marked,
    mark_recipe,
    put_preview,
    read_preview,
)
from tasks.s3.objects import ORIGINAL as ORIGINAL_OF
from tasks.s3.objects import RECIPE as RECIPE_OF
from tests.support.camera_files import build_nef
from tests.support.fake_s3 import FakeClient, hash_md5, make_bucket, make_error
from tests.support.photos import encode_jpeg, read_sample

ORIGINAL, PREVIEW = "events/1/originals/ё.jpg", "events/1/previews/ё.jpg"
RECIPE = PreviewRecipe(64)
MADE = Outcome(Verdict.MADE)


def put(store: FakeClient, key: str, content: bytes) -> OriginalRef:
    """Upload, as a photographer does."""
    store.objects[key], store.metadata[key] = content, {}
    return OriginalRef(key, store.get_etag(key), len(content), PREVIEW)


@pytest.fixture
def store() -> FakeClient:
    return FakeClient()


def bring(store: FakeClient, original: OriginalRef, recipe: PreviewRecipe = RECIPE) -> Outcome:
    return bring_preview(make_bucket(store), original, recipe)


def make_photo(colour: str = "teal") -> bytes:
    return encode_jpeg(Image.new("RGB", (200, 100), colour))


def test_a_preview_is_made_once_and_says_of_what(store: FakeClient) -> None:
    original = put(store, ORIGINAL, make_photo())
    assert [bring(store, original), bring(store, original)] == [MADE, KEPT]
    assert Image.open(BytesIO(store.objects[PREVIEW])).size == (64, 32)
    assert store.metadata[PREVIEW] == {ORIGINAL_OF: original.etag, RECIPE_OF: "64q85v2"}
    assert store.get_keys("get_object") == [ORIGINAL]
    assert store.get_keys("put_object") == [PREVIEW]


def test_the_push_tool_names_recipes_alike() -> None:
    assert str(PreviewRecipe(640)) == "640q85v2"


def test_a_replaced_original_and_another_recipe_make_it_anew(store: FakeClient) -> None:
    bring(store, put(store, ORIGINAL, make_photo("teal")))
    replaced = put(store, ORIGINAL, make_photo("red"))
    assert bring(store, replaced) == MADE
    assert store.metadata[PREVIEW][ORIGINAL_OF] == replaced.etag
    assert bring(store, replaced, PreviewRecipe(32)) == MADE
    assert store.metadata[PREVIEW][RECIPE_OF] == "32q85v2"


def test_a_photographers_own_preview_is_neither_read_nor_replaced(store: FakeClient) -> None:
    put(store, PREVIEW, b"my own")
    assert bring(store, put(store, ORIGINAL, make_photo())) == KEPT
    assert store.objects[PREVIEW] == b"my own"
    assert store.metadata[PREVIEW] == {}
    assert store.get_keys("get_object") == []


def test_a_preview_that_is_put_meanwhile_stays(store: FakeClient) -> None:
    original = put(store, ORIGINAL, make_photo())
    bucket = make_bucket(store)
    assert read_preview(bucket, PREVIEW) is None
    put(store, PREVIEW, b"my own")
    named: Any = {"original_etag": original.etag, "recipe": RECIPE, "replaces": None}
    assert not put_preview(bucket, PREVIEW, b"ours", **named)
    assert store.objects[PREVIEW] == b"my own"


def test_a_write_whose_answer_was_lost_counts_as_made(store: FakeClient) -> None:
    original = put(store, ORIGINAL, make_photo())
    bucket = make_bucket(store)
    named: Any = {"original_etag": original.etag, "recipe": RECIPE, "replaces": None}
    assert [put_preview(bucket, PREVIEW, b"ours", **named) for _ in range(2)] == [True, True]
    assert store.get_keys("put_object") == [PREVIEW]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", PhotoReason.EMPTY),
        (b"<html>", PhotoReason.NOT_AN_IMAGE),
        (encode_jpeg(read_sample("coffee.png"))[:9000], PhotoReason.TRUNCATED),
    ],
)
def test_an_unreadable_originals_bytes_stand_in_and_are_not_tried_again(
    store: FakeClient, content: bytes, reason: PhotoReason
) -> None:
    original = put(store, ORIGINAL, content)
    outcomes = [bring(store, original), bring(store, original)]
    assert outcomes == [Outcome(Verdict.STOOD_IN, reason), KEPT]
    assert store.objects[PREVIEW] == content
    assert store.get_keys("get_object") == [ORIGINAL]


def test_of_a_large_unreadable_original_its_beginning_stands_in(
    store: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = get_settings().model_copy(update={"max_photo_bytes": 2 * HEAD_BYTES})
    monkeypatch.setattr(make, "get_settings", lambda: settings)
    original = put(store, ORIGINAL, bytes(2 * HEAD_BYTES + 1))
    assert bring(store, original) == Outcome(Verdict.STOOD_IN, PhotoReason.NOT_AN_IMAGE)
    assert len(store.objects[PREVIEW]) == HEAD_BYTES


def test_an_original_over_the_limit_is_not_read(
    store: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = get_settings().model_copy(update={"max_original_bytes": 100})
    monkeypatch.setattr(make, "get_settings", lambda: settings)
    original = put(store, ORIGINAL, make_photo())
    assert bring(store, original) == Outcome(Verdict.LEFT_OUT, PhotoReason.TOO_MANY_BYTES)
    assert store.get_keys("get_object") == []
    assert PREVIEW not in store.objects


def test_an_original_replaced_after_its_listing_is_read_as_it_is_now(store: FakeClient) -> None:
    listed = put(store, ORIGINAL, make_photo("teal"))
    now = put(store, ORIGINAL, make_photo("red"))
    assert bring(store, listed) == MADE
    assert store.metadata[PREVIEW][ORIGINAL_OF] == now.etag


def test_an_original_that_is_gone_is_left_out(store: FakeClient) -> None:
    original = put(store, ORIGINAL, make_photo())
    del store.objects[ORIGINAL]
    assert bring(store, original) == Outcome(Verdict.LEFT_OUT, PhotoReason.VANISHED)


def test_a_decoder_that_fails_in_an_unknown_way_fails_one_photo(
    store: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError

    monkeypatch.setattr("tasks.images.preview.decode_picture", fail)
    original = put(store, ORIGINAL, make_photo())
    assert bring(store, original) == Outcome(Verdict.STOOD_IN, PhotoReason.UNPROCESSABLE)


@pytest.mark.parametrize(
    ("refusal", "error", "word"),
    [
        (make_error("AccessDenied", 403, "PutObject"), S3AccessError, "s3:PutObject"),
        (make_error("NoSuchBucket", 404, "PutObject"), S3AccessError, "FACEPASS_S3_BUCKET"),
        (make_error("SlowDown", 503, "PutObject"), S3DownloadError, "SlowDown"),
    ],
)
def test_a_refused_write_is_s3s_and_gives_back_what_it_held(
    store: FakeClient, refusal: Exception, error: type[Exception], word: str
) -> None:
    original = put(store, ORIGINAL, make_photo())

    def refuse(_: str) -> None:
        raise refusal

    store.before_put = refuse
    with pytest.raises(error, match=word):
        bring(store, original)
    assert make.get_byte_budget().held == make.get_pixel_budget().held == 0


@pytest.mark.parametrize(
    ("code", "status"),
    [("NotImplemented", 501), ("NotImplemented", 400), ("InvalidArgument", 400), ("X", 405)],
)
def test_a_store_without_conditional_writes_is_asked_before_each_write(
    code: str, status: int
) -> None:
    refused = []

    class Plain(FakeClient):
        def put_object(self, **call: Any) -> dict[str, Any]:
            if {"IfMatch", "IfNoneMatch"} & call.keys():
                refused.append(call)
                raise make_error(code, status, "PutObject")
            return super().put_object(**call)

    store = Plain()
    bucket = make_bucket(store)
    original = put(store, ORIGINAL, make_photo("teal"))
    assert bring_preview(bucket, original, RECIPE) == MADE
    assert bring_preview(bucket, put(store, ORIGINAL, make_photo("red")), RECIPE) == MADE
    assert len(refused) == 1
    # One that somebody else puts in between stays.
    store.objects[PREVIEW], store.metadata[PREVIEW] = b"theirs", {}
    content = make_photo("red")
    sent = {"original_etag": "e", "recipe": RECIPE, "replaces": None}
    assert not put_preview(bucket, PREVIEW, content, **sent)  # type: ignore[arg-type]
    assert store.objects[PREVIEW] == b"theirs"


def test_the_mark_tells_whether_all_were_made_by_a_recipe(store: FakeClient) -> None:
    bucket = make_bucket(store)
    assert not is_marked(bucket, "events/1/", RECIPE)
    mark_recipe(bucket, "events/1/", RECIPE)
    assert is_marked(bucket, "events/1/", RECIPE)
    assert not is_marked(bucket, "events/1/", PreviewRecipe(1600))


def test_a_preview_that_the_photographer_exported_of_a_raw_file_stays_the_only_one(
    store: FakeClient,
) -> None:
    folder, content = "events/1/originals/", build_nef(make_photo_of(600))
    raw = OriginalRef(f"{folder}2.NEF", "e", 0, "events/1/previews/2.NEF.jpg")
    raw = replace(put(store, raw.s3_key, content), preview_key=raw.preview_key)
    put(store, "events/1/previews/2.jpg", make_photo())
    put(store, "events/1/previews/2.b.jpg", make_photo())
    assert bring(store, raw) == KEPT
    assert raw.preview_key not in store.objects
    # With an original of its own name, that preview is not the RAW file's.
    put(store, f"{folder}2.jpg", make_photo())
    assert bring(store, raw) == MADE
    assert Image.open(BytesIO(store.objects[raw.preview_key])).size == (64, 32)


def test_a_jpeg_that_is_called_as_a_raw_file_gets_no_second_preview(store: FakeClient) -> None:
    folder, preview = "events/1/originals/", "events/1/previews/3.CR2.jpg"
    jpeg = replace(put(store, f"{folder}3.CR2.jpg", make_photo()), preview_key=f"{preview}.jpg")
    put(store, preview, make_photo())
    assert bring(store, jpeg) == KEPT
    assert jpeg.preview_key not in store.objects
    # It is the RAW file's.
    put(store, f"{folder}3.CR2", make_photo())
    assert bring(store, jpeg) == MADE


def make_photo_of(side: int) -> bytes:
    return encode_jpeg(Image.new("RGB", (side, side // 2), "teal"))


def test_a_preview_that_was_pushed_ahead_of_its_original_is_kept_whatever_an_etag_is(
    store: FakeClient,
) -> None:
    store.make_etag = lambda content: f"{len(content):032x}"
    original = put(store, ORIGINAL, make_photo())
    store.metadata[ORIGINAL] = {"facepass-md5": hash_md5(store.objects[ORIGINAL])}
    put(store, PREVIEW, b"pushed")
    notes = {ORIGINAL_OF: hash_md5(store.objects[ORIGINAL]), RECIPE_OF: str(RECIPE)}
    store.metadata[PREVIEW] = notes
    assert bring(store, original) == KEPT
    store.metadata[PREVIEW] = {**notes, ORIGINAL_OF: hash_md5(b"an earlier file")}
    assert bring(store, original) == MADE
