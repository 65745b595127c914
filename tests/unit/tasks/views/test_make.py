"""One photo's views: of what they are made, and what keeps a photo from having any."""

import pytest

from models.errors import S3AccessError
from models.keys import derive_view_keys
from models.queries.gallery.views import ViewWork
from models.vocabulary import ViewKind
from tasks.images.views import VIEWS_RECIPE, make_views
from tasks.views.make import Verdict, bring_views
from tests.support.fake_s3 import FakeClient, hash_md5, make_bucket, make_error
from tests.support.photos import encode_jpeg, read_group

FOLDER = "events/1/"
PREVIEW, ORIGINAL = "events/1/previews/Ёлка.jpg", "events/1/originals/Ёлка.jpg"
SMALL = encode_jpeg(read_group().resize((640, 443)))
LARGE = encode_jpeg(read_group().resize((1200, 831)))


def describe(original: bytes | None = LARGE, key: str = PREVIEW) -> ViewWork:
    """A photo as the database knows it."""
    etag = None if original is None else hash_md5(original)
    size = None if original is None else len(original)
    return ViewWork(7, key, hash_md5(SMALL), len(SMALL), None, etag, size)


def list_keys() -> dict[ViewKind, str]:
    keys = derive_view_keys(PREVIEW, FOLDER)
    assert keys is not None
    return keys


def test_views_are_made_of_the_original_once() -> None:
    store = FakeClient({PREVIEW: SMALL, ORIGINAL: LARGE})
    outcome = bring_views(make_bucket(store), describe(), FOLDER)
    assert outcome.verdict is Verdict.MADE
    made = make_views(LARGE)
    assert {kind: store.objects[key] for kind, key in list_keys().items()} == made.contents
    assert outcome.record is not None
    assert outcome.record.views_source == f"{VIEWS_RECIPE} {hash_md5(LARGE)}"
    assert (outcome.record.width, outcome.record.colour) == (1200, made.colour)
    store.calls.clear()
    again = bring_views(make_bucket(store), describe(), FOLDER)
    assert (again.verdict, again.record) == (Verdict.KEPT, outcome.record)
    assert store.get_keys("put_object") == store.get_keys("get_object") == []


@pytest.mark.parametrize(
    ("original", "lasts"),
    [
        (b"", True),
        (b"no photo", True),
        (LARGE[:3000], True),
        (make_error("AccessDenied", 403), False),
        (make_error("InvalidObjectState", 403), False),
    ],
)
def test_an_original_that_cannot_be_read_is_stood_in_for(
    original: bytes | Exception, lasts: bool
) -> None:
    store = FakeClient({PREVIEW: SMALL, ORIGINAL: original})
    listed = original if isinstance(original, bytes) else LARGE
    outcome = bring_views(make_bucket(store), describe(listed), FOLDER)
    assert (outcome.verdict, outcome.record and outcome.record.width) == (Verdict.MADE, 640)
    tried = f"{hash_md5(listed)}+{hash_md5(SMALL)}"
    assert outcome.record is not None
    # What may be allowed or restored is noted as the preview's own, so that the next run tries.
    source = tried if lasts else hash_md5(SMALL)
    assert outcome.record.views_source == f"{VIEWS_RECIPE} {source}"
    store.calls.clear()
    again = bring_views(make_bucket(store), describe(listed), FOLDER)
    assert (again.verdict, again.record) == (Verdict.KEPT, outcome.record)
    assert store.get_keys("put_object") == []


def test_an_original_that_is_replaced_or_goes_meanwhile_is_looked_at_again() -> None:
    store = FakeClient({PREVIEW: SMALL, ORIGINAL: LARGE})
    outcome = bring_views(make_bucket(store), describe(SMALL + b"before"), FOLDER)
    assert outcome.record is not None
    assert outcome.record.views_source == f"{VIEWS_RECIPE} {hash_md5(LARGE)}"
    gone = FakeClient({PREVIEW: SMALL})
    outcome = bring_views(make_bucket(gone), describe(), FOLDER)
    assert outcome.record is not None
    assert outcome.record.width == 640


@pytest.mark.parametrize("kind", list(ViewKind))
def test_somebody_else_s_object_stays_and_nothing_is_put_beside_it(kind: ViewKind) -> None:
    theirs = list_keys()[kind]
    store = FakeClient({PREVIEW: SMALL, ORIGINAL: LARGE, theirs: b"theirs"})
    # A preview's notes do not make a view of it.
    store.metadata[theirs] = {"facepass-original": "x", "facepass-recipe": "640q85v2"}
    outcome = bring_views(make_bucket(store), describe(), FOLDER)
    assert outcome.verdict is Verdict.LEFT_OUT
    assert outcome.record is not None
    assert outcome.record.views_etag == ""
    assert store.get_keys("put_object") == []
    assert store.objects[theirs] == b"theirs"


def test_a_photo_without_room_for_its_views_or_without_a_preview_is_left_out() -> None:
    store = FakeClient({ORIGINAL: LARGE[:3000]})
    longest = f"{FOLDER}previews/{'x' * (1024 - len(FOLDER) - 13)}.jpg"
    outcome = bring_views(make_bucket(store), describe(key=longest), FOLDER)
    assert (outcome.verdict, outcome.why) == (
        Verdict.LEFT_OUT,
        "its key leaves no room for those of its views: rename it",
    )
    outcome = bring_views(make_bucket(store), describe(LARGE[:3000]), FOLDER)
    assert (outcome.verdict, outcome.record) == (Verdict.LEFT_OUT, None)  # the next run tries


def test_a_bucket_that_takes_nothing_is_told_of_the_run() -> None:
    store = FakeClient({PREVIEW: SMALL, ORIGINAL: LARGE})

    def refuse(_: str) -> None:
        raise make_error("AccessDenied", 403, "PutObject")

    store.before_put = refuse
    with pytest.raises(S3AccessError, match="s3:PutObject"):
        bring_views(make_bucket(store), describe(), FOLDER)
