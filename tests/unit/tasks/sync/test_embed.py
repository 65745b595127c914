"""Embedding a batch: the cache's key, and what becomes of photos that cannot be read."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from models.errors import (
    FaceEngineError,
    FacePassError,
    S3AccessError,
    S3DownloadError,
    S3OutageError,
)
from models.queries.outcomes import PhotoRef
from models.settings import get_settings
from tasks.faces.detected import CHANGED, UNREACHABLE, DetectedFaces, PhotoFaces, unpack_faces
from tasks.faces.engine import PhotoReader
from tasks.faces.limits import PixelBudget
from tasks.results.storage import build_cache_key
from tasks.sync.embed import CircuitBreaker, embed_photos
from tests.support.fake_s3 import FakeClient, make_bucket, make_error
from tests.support.photos import encode_jpeg

PACK = "buffalo_l@0123456789abcdef"
# PostgreSQL stores no NUL, S3 knows no lone surrogate; everything else may be in a key.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
TRICKY = st.sampled_from(["", "a", "b", "ab", "1", "11", "0", "a1", "\\0", "a.jpg\n"]) | TEXTS
PHOTOS = st.lists(st.builds(PhotoRef, TRICKY, TRICKY, st.integers(0, 12)), max_size=4)
INPUTS = st.tuples(PHOTOS, TRICKY, st.integers(1, 120))
TWO = [PhotoRef("events/1/previews/a.jpg", "e1", 0), PhotoRef("events/1/previews/b.jpg", "e2", 0)]


# --- the cache's key ---


@given(INPUTS, INPUTS)
def test_no_two_inputs_share_a_key(
    one: tuple[list[PhotoRef], str, int], other: tuple[list[PhotoRef], str, int]
) -> None:
    assume(one != other)
    assert build_cache_key(*one) != build_cache_key(*other)


@given(PHOTOS.filter(bool), TRICKY, st.data())
def test_text_moved_over_a_border_makes_another_key(
    photos: list[PhotoRef], pack: str, data: st.DataObject
) -> None:
    """Joined without borders these inputs would be the same bytes."""
    key, etag, attempts = photos[0].s3_key, photos[0].etag, photos[0].attempts
    cut = data.draw(st.integers(0, len(key)))
    moved = [
        ([PhotoRef(key[:cut], key[cut:] + etag, attempts), *photos[1:]], pack),
        ([PhotoRef(key[cut:], etag, attempts), *photos[1:]], pack + key[:cut]),
        ([replace(photos[0], etag=f"{etag}{attempts}", attempts=0), *photos[1:]], pack),
    ]
    for other in moved:
        same = other == (photos, pack)
        assert (build_cache_key(*other, 1) == build_cache_key(photos, pack, 1)) == same


@pytest.mark.parametrize(
    ("photos", "pack", "event_id"),
    [
        (TWO[::-1], PACK, 1),
        (TWO[:1], PACK, 1),
        ([replace(TWO[0], s3_key="events/1/previews/c.jpg"), TWO[1]], PACK, 1),
        ([replace(TWO[0], etag="e3"), TWO[1]], PACK, 1),
        ([replace(TWO[0], attempts=1), TWO[1]], PACK, 1),
        (TWO, "buffalo_l@fedcba9876543210", 1),
        (TWO, PACK, 10),
    ],
)
def test_order_key_etag_attempts_pack_and_event_are_in_the_key(
    photos: Sequence[PhotoRef], pack: str, event_id: int
) -> None:
    assert build_cache_key(photos, pack, event_id) != build_cache_key(TWO, PACK, 1)


def test_the_key_does_not_change_between_processes_and_versions() -> None:
    """A constant: another value would compute every batch in storage anew."""
    assert build_cache_key(TWO, PACK, 1) == build_cache_key([*TWO], PACK, 1)
    assert build_cache_key([], "x", 7) == (
        "embed/7/2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    )


@given(INPUTS)
def test_keys_of_an_event_share_a_folder_that_is_no_other_events(
    case: tuple[list[PhotoRef], str, int],
) -> None:
    event_id = case[2]
    folder, _, name = build_cache_key(*case).rpartition("/")
    assert folder == f"embed/{event_id}"
    assert len(name) == 64
    assert Path(name).name == name


# --- embedding ---


class FakeEngine:
    """Reads in order; finds as many faces as the photo's first pixel is bright."""

    def __init__(self) -> None:
        self.photos = 0
        self.budget = PixelBudget(1_000_000)

    def embed_all(
        self, readers: Sequence[PhotoReader], customer: object
    ) -> list[DetectedFaces | FacePassError]:
        """The faces, or the reader's own error."""
        return [self._embed(read) for read in readers]

    def _embed(self, read: PhotoReader) -> DetectedFaces | FacePassError:
        try:
            photo = read()
        except FacePassError as error:
            return error
        self.photos += 1
        count = int(photo[0, 0, 0]) // 50
        dimension = 8 if count else 0
        ones = np.ones((count, dimension), np.float32)
        return DetectedFaces(np.zeros((count, 4), np.float32), np.ones(count, np.float32), ones)


def make_photo(faces: int) -> bytes:
    """A JPEG in which the fake engine finds so many faces."""
    return encode_jpeg(Image.new("RGB", (8, 8), (faces * 50 + 10,) * 3))


def embed(
    objects: dict[str, bytes | Exception], breaker: CircuitBreaker | None = None
) -> list[PhotoFaces]:
    """Embed all the objects as one batch."""
    bucket = make_bucket(FakeClient(objects=dict(objects), make_etag=lambda _: "e"))
    photos = [PhotoRef(key, "e", 0) for key in objects]
    engine: Any = FakeEngine()
    product = embed_photos(photos, bucket, engine, breaker or CircuitBreaker())
    return unpack_faces(product, len(photos))


UNREACHABLE_S3 = EndpointConnectionError(endpoint_url="http://127.0.0.1:8333")
NOISE = encode_jpeg(Image.effect_noise((64, 64), 80).convert("RGB"))


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (make_error("NoSuchKey", 404), "vanished"),
        (make_error("AccessDenied", 403), "forbidden"),
        (make_error("InvalidObjectState", 403), "archived"),
        (make_error("PreconditionFailed", 412), CHANGED),
        (make_error("SlowDown", 503), UNREACHABLE),
        (UNREACHABLE_S3, UNREACHABLE),
        (b"", "empty"),
        (b"not a photo", "not_an_image"),
        (NOISE[:-100], "truncated"),
        (make_photo(0), "no_face_detected"),
    ],
)
def test_a_photo_without_faces_says_why_and_spares_the_others(
    found: bytes | Exception, verdict: str
) -> None:
    first, second, third = embed({"a.jpg": make_photo(1), "b.jpg": found, "c.jpg": make_photo(3)})
    assert (second.faces, second.verdict) == (None, verdict)
    for photo, count in ((first, 1), (third, 3)):
        assert photo.verdict == ""
        assert photo.faces is not None
        assert len(photo.faces.scores) == count


def test_limits_are_those_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = make_photo(1)
    for name, verdict, limit in (
        ("FACEPASS_MAX_PHOTO_BYTES", "too_many_bytes", len(photo) - 1),
        ("FACEPASS_MAX_PIXELS", "too_many_pixels", 63),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, str(limit))
            get_settings.cache_clear()
            [found] = embed({"a.jpg": photo})
        get_settings.cache_clear()
        assert found.verdict == verdict


def test_a_batch_of_which_s3_gave_nothing_is_not_a_result_to_keep() -> None:
    with pytest.raises(S3DownloadError, match=r"unreachable.*\.$"):
        embed({"a.jpg": UNREACHABLE_S3, "b.jpg": make_error("InternalError", 500)})


def test_a_batch_after_which_s3_is_asked_no_more_says_so_wherever_it_was_done() -> None:
    away: dict[str, bytes | Exception] = dict.fromkeys("abc", UNREACHABLE_S3)
    with pytest.raises(S3DownloadError) as raised:
        embed(away, CircuitBreaker(limit=4))
    assert not isinstance(raised.value, S3OutageError)
    with pytest.raises(S3OutageError):
        embed(away, CircuitBreaker(limit=3))


def test_one_photo_that_was_read_makes_the_batch_a_result() -> None:
    photos = embed({"a.jpg": UNREACHABLE_S3, "b.jpg": make_photo(0), "c.jpg": UNREACHABLE_S3})
    assert [photo.verdict for photo in photos] == [UNREACHABLE, "no_face_detected", UNREACHABLE]


def test_one_forbidden_photo_fails_neither_its_batch_nor_itself_alone() -> None:
    forbidden = make_error("AccessDenied", 403)
    photos = embed({"a.jpg": make_photo(1), "b.jpg": forbidden, "c.jpg": make_photo(0)})
    assert [photo.verdict for photo in photos[1:]] == ["forbidden", "no_face_detected"]
    assert photos[0].faces is not None
    assert [photo.verdict for photo in embed({"b.jpg": forbidden})] == ["forbidden"]
    with pytest.raises(S3AccessError, match="s3:GetObject"):
        embed({"a.jpg": forbidden, "b.jpg": forbidden})


def test_a_batch_of_broken_photos_is_a_result() -> None:
    photos = embed({"a.jpg": b"", "b.jpg": make_error("NoSuchKey", 404)})
    assert [photo.verdict for photo in photos] == ["empty", "vanished"]


@pytest.mark.parametrize("code", ["NoSuchBucket", "InvalidAccessKeyId", "ExpiredToken"])
def test_what_no_retry_heals_is_raised_not_written_to_a_photo(code: str) -> None:
    with pytest.raises(S3AccessError):
        embed({"a.jpg": make_photo(1), "b.jpg": make_error(code, 400)})


def test_an_empty_batch_is_an_empty_result() -> None:
    assert embed({}) == []


def test_models_that_fail_on_everything_fail_the_batch_and_no_photo() -> None:
    class SickEngine(FakeEngine):
        def _embed(self, read: PhotoReader) -> DetectedFaces | FacePassError:
            return FaceEngineError("The models fail on every picture.")

    bucket = make_bucket(FakeClient(objects={"a.jpg": make_photo(1)}, make_etag=lambda _: "e"))
    with pytest.raises(FaceEngineError):
        embed_photos([PhotoRef("a.jpg", "e", 0)], bucket, SickEngine(), CircuitBreaker())  # type: ignore[arg-type]


def test_files_that_stall_a_decoder_are_each_photos_own_failure_even_if_all_are() -> None:
    bomb = b"\xff\xd8" + b"\xff\xfe\0\2" * 20_000
    found = embed({"a.jpg": bomb, "b.jpg": bomb})
    assert [photo.verdict for photo in found] == ["unprocessable"] * 2
