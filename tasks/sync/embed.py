"""The cached Prefect task that finds and embeds the faces of a batch.

The cache only saves computing a photo twice with the same model pack; batch.py stores the faces
each time. After many S3 failures in a row, a circuit breaker stops the requests to S3.
"""

import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from io import BytesIO
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary
from zipfile import ZipFile

from prefect import get_run_logger, task
from prefect.cache_policies import CachePolicy
from prefect.context import TaskRunContext
from prefect.runtime import task_run
from prefect.utilities.annotations import NotSet, quote
from pydantic import SecretBytes

from models.errors import (
    FacePassError,
    PhotoChangedError,
    PhotosForbiddenError,
    PhotoUnavailableError,
    ResultUnreadableError,
    S3DownloadError,
    S3OutageError,
)
from models.packs import USUAL_CHOICE, PackChoice
from models.queries.outcomes import PhotoRef
from models.settings import get_settings
from models.vocabulary import PhotoReason, Taking
from tasks.faces.cache import require_face_engine
from tasks.faces.detected import (
    CHANGED,
    UNREACHABLE,
    DetectedFaces,
    PhotoFaces,
    pack_faces,
    unpack_faces,
)
from tasks.faces.engine import FaceEngine
from tasks.faces.limits import PixelBudget
from tasks.images.decode import BgrImage, decode_photo
from tasks.images.formats import SHOWN_BY_BROWSERS, recognise_format
from tasks.images.taking import read_taking
from tasks.results.signed import RawBytes, SignedStorage
from tasks.results.storage import CACHE_LIFETIME, build_cache_key, open_result_storage
from tasks.s3.bucket import Bucket, get_bucket
from tasks.s3.errors import quote_s3
from tasks.s3.objects import parse_taking

logger = logging.getLogger(__name__)

NO_FACE = PhotoReason.NO_FACE_DETECTED.value
# One photo takes minutes to be given up on when S3 accepts connections and answers nothing. More
# than one batch fetches at a time, so that one hanging connection pool is no outage yet.
FAILURES_IN_A_ROW = 12
MOST_WORDS = 3  # different answers of S3 that a batch tells of


# --- the circuit breaker ---


class CircuitBreaker:
    """Failures of S3 in a row, of all threads that fetch for one attempt; open after some.

    Once open it stays open: the flow's next attempt begins with a new one.
    """

    def __init__(self, limit: int = FAILURES_IN_A_ROW) -> None:
        self._limit = limit
        self._failures = 0
        self._lock = threading.Lock()

    @property
    def is_open(self) -> bool:
        """Whether S3 is not asked any more."""
        return self._failures >= self._limit

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Count what the block does. Raises S3DownloadError at once where it is open."""
        if self.is_open:
            raise S3DownloadError("S3 unreachable: it is asked again with the next attempt.")
        try:
            yield
        except S3DownloadError:
            self._count(answered=False)
            raise
        except FacePassError:
            self._count(answered=True)
            raise
        else:
            self._count(answered=True)

    def _count(self, *, answered: bool) -> None:
        with self._lock:
            # What was under way when S3 went away may still arrive.
            if not self.is_open:
                self._failures = 0 if answered else self._failures + 1


_breakers: WeakValueDictionary[tuple[int, int], CircuitBreaker] = WeakValueDictionary()
_breakers_lock = threading.Lock()


def get_circuit_breaker(event_id: int, attempt: int) -> CircuitBreaker:
    """The breaker that this process's batches of an attempt share while any is under way.

    attempt: the event's epoch.
    """
    with _breakers_lock:
        return _breakers.setdefault((event_id, attempt), CircuitBreaker())


# --- the task ---


def _key_of_call(_: TaskRunContext, parameters: dict[str, Any]) -> str:
    return build_cache_key(parameters["photos"], parameters["pack"], parameters["event_id"])


def _name_call() -> str:
    photos = task_run.get_parameters()["photos"]
    if isinstance(photos, quote):  # Prefect takes it apart only after it has named the task run
        photos = photos.unquote()
    return f"embed {len(photos)} photo{'' if len(photos) == 1 else 's'}"


@task(
    name="process_face_embedding",
    task_run_name=_name_call,
    persist_result=True,
    result_serializer=RawBytes(),
    cache_result_in_memory=False,
    # The same photos under the same pack, in any run: see build_cache_key.
    cache_policy=CachePolicy.from_cache_key_fn(_key_of_call),
    cache_expiration=CACHE_LIFETIME,
)
def process_face_embedding(
    photos: list[PhotoRef],
    pack: str,
    event_id: int,
    attempt: int,
    choice: PackChoice = USUAL_CHOICE,
) -> bytes:
    """Faces of a batch of previews, from result storage where they are there already.

    Called by `recall_or_embed` only, which gives it the signed storage. `attempt` (the event's
    epoch) is no part of the key: it tells circuit breakers apart. Nor is `choice`, by which this
    process finds `pack`.
    """
    breaker = get_circuit_breaker(event_id, attempt)
    engine = require_face_engine(pack, choice.model_pack, choice.det_size)
    tell = get_run_logger().warning
    return embed_photos(photos, get_bucket(), engine, breaker, customer=event_id, tell=tell)


def recall_or_embed(
    key: UUID,
    photos: list[PhotoRef],
    pack: str,
    event_id: int,
    attempt: int,
    choice: PackChoice,
    refresh: bool,
) -> bytes:
    """The task's product, looked up and kept where the settings say, signed by the event's `key`.

    With `refresh` it is computed, whatever is kept. Asked for at the call, not in the decorator:
    importing this module must not need a server. Raises ConfigurationError for a storage that is
    not there.
    """
    signed = SignedStorage(storage=open_result_storage(), secret=SecretBytes(key.bytes))
    task_here = process_face_embedding.with_options(
        result_storage=signed, refresh_cache=refresh or NotSet
    )
    # Quoted, or Prefect looks through every field of every photo for results of other tasks, twice.
    quoted: Any = quote(photos)
    return task_here(quoted, pack, event_id, attempt, choice)


# --- the work ---


def embed_photos(
    photos: Sequence[PhotoRef],
    bucket: Bucket,
    engine: FaceEngine,
    breaker: CircuitBreaker,
    customer: Hashable = None,
    tell: Callable[[str], object] = logger.warning,
) -> bytes:
    """Read, decode, detect, align and embed; a product for `unpack_product`.

    `tell` hears what S3 said of photos that it did not give.
    Raises S3DownloadError when S3 gave none of the photos (S3OutageError where it is not asked
    any more), PhotosForbiddenError when it denied all, FaceEngineError when the models fail on a
    plain picture too.
    """
    takings: list[Taking | None] = [None] * len(photos)
    readers = [
        partial(_read_photo, bucket, photo, breaker, engine.budget, partial(takings.__setitem__, i))
        for i, photo in enumerate(photos)
    ]
    found = engine.embed_all(readers, customer)
    tell_s3_words(found, tell)
    faces = [_judge(each) for each in found]
    if faces and all(photo.verdict == UNREACHABLE for photo in faces):
        kind = S3OutageError if breaker.is_open else S3DownloadError
        raise kind(f"S3 unreachable: none of a batch's photos could be read. {found[0]}")
    if len(faces) > 1 and all(photo.verdict == PhotoReason.FORBIDDEN for photo in faces):
        raise PhotosForbiddenError(
            "S3 lists the photos and denies reading them: allow s3:GetObject on the bucket."
        )
    return add_takings(pack_faces(faces), takings)


def tell_s3_words(
    found: Sequence[DetectedFaces | FacePassError], tell: Callable[[str], object]
) -> None:
    """Give the log S3's own words about photos that were not read, each answer once."""
    words = Counter(
        quote_s3(error)
        for error in found
        if isinstance(error, S3DownloadError)
        or (isinstance(error, PhotoUnavailableError) and error.reason == PhotoReason.FORBIDDEN)
    )
    for said, photos in words.most_common(MOST_WORDS):
        if said is not None:
            tell(f"Photos that were not read: {photos}. S3's own words: {said}")


def _read_photo(
    bucket: Bucket,
    photo: PhotoRef,
    breaker: CircuitBreaker,
    budget: PixelBudget,
    note: Callable[[Taking | None], None],
) -> BgrImage:
    """The photo's pixels; `note` is told when it was taken: by the original, or by itself."""
    settings, notes = get_settings(), dict[str, str]()
    with breaker.watch():
        content = bucket.read_photo(photo.s3_key, photo.etag, settings.max_photo_bytes, notes)
    note(parse_taking(notes) or read_taking(content))
    pixels = decode_photo(content, settings.max_pixels, budget.reserve)
    # A HEIC or RAW called .jpg can be read, but it is no preview: no guest would see it.
    if recognise_format(content) not in SHOWN_BY_BROWSERS:
        raise PhotoUnavailableError(PhotoReason.NOT_AN_IMAGE)
    return pixels


def _judge(found: DetectedFaces | FacePassError) -> PhotoFaces:
    match found:
        case DetectedFaces(scores=scores):
            return PhotoFaces(found) if len(scores) else PhotoFaces(None, NO_FACE)
        case PhotoUnavailableError(reason=reason):
            return PhotoFaces(None, reason)
        case PhotoChangedError():
            return PhotoFaces(None, CHANGED)
        case S3DownloadError():
            return PhotoFaces(None, UNREACHABLE)
        case _:
            raise found


# --- the product ---


@dataclass(frozen=True)
class ReadPhoto(PhotoFaces):
    """One photo's faces, and when and by which camera it was taken."""

    taking: Taking | None = None


_TAKINGS = "takings.json"


def add_takings(product: bytes, takings: Sequence[Taking | None]) -> bytes:
    """A batch's faces, as `pack_faces` lays them out, with one more file: when each was taken."""
    rows = [
        taking
        and (taking.taken_at.isoformat(), taking.utc_offset, taking.camera, taking.camera_name)
        for taking in takings
    ]
    buffer = BytesIO(product)
    with ZipFile(buffer, "a") as archive:
        archive.writestr(_TAKINGS, json.dumps(rows))
    return buffer.getvalue()


def unpack_product(product: bytes, count: int) -> list[ReadPhoto]:
    """The `count` photos of a batch. Raises ResultUnreadableError for another release's product."""
    photos = unpack_faces(product, count)
    try:
        with ZipFile(BytesIO(product)) as archive:
            rows = json.loads(archive.read(_TAKINGS))
        takings = [row and Taking(datetime.fromisoformat(row[0]), *row[1:]) for row in rows]
        return [
            ReadPhoto(photo.faces, photo.verdict, taking)
            for photo, taking in zip(photos, takings, strict=True)
        ]
    except Exception as error:  # (zipfile's, json's and the values' errors have no base)
        raise ResultUnreadableError("A cached result is of another release.") from error
