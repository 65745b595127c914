"""The face engine: it finds and embeds the faces of photos, on all cores, and serves runs in turn.

It uses neither Prefect nor SQL; the caller gives it a function that reads each photo.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from models.errors import FaceEngineError, FacePassError, PhotoUnavailableError
from models.vocabulary import PhotoReason
from tasks.faces.align import align_face
from tasks.faces.batching import Gate
from tasks.faces.detected import DetectedFaces
from tasks.faces.limits import (
    Cores,
    PixelBudget,
    count_cores,
    return_large_blocks,
    stop_inner_threads,
)
from tasks.faces.looks import FAINTEST, FaceFinder, judge_turn
from tasks.faces.tiles import SeenFace
from tasks.images.decode import BgrImage
from tasks.packs.cuda import TF32, describe_card, is_out_of_memory, require_cuda
from tasks.packs.loading import load_analysis, load_small_detector
from tasks.packs.registry import USUAL_DET_SIZE, ModelPack

logger = logging.getLogger(__name__)

# Threads that wait for S3 beside those that compute. What they hide is their number times a photo's
# computing, divided by the cores: 8 hide 120 ms of S3 behind 30 ms of work on two cores, and on a
# machine of many cores two for each hide twice the time that one core takes for a photo.
FETCH_THREADS = 8
FETCH_THREADS_A_CORE = 2
# Batches of the detector that photos in memory fill: some computed, one waiting, one decoded.
BATCHES = 5
# Faces a recogniser call: bounds its activations in a group photo of two hundred.
FACES_PER_CALL = 16
# Decoded at a time, by all threads together: one photo at the usual limit, or a hundred previews.
# While it is decoded a pixel takes up to 20 bytes.
PIXELS_AT_A_TIME = 50_000_000

SHORTEST_VECTOR = 1e-12  # a vector of zeros stays one, instead of becoming not-a-number
# A strip longer than this is letterboxed to less than one pixel, which the detector cannot read.
LONGEST_STRIP = 640

# The five points of a face in the plain picture.
PLAIN_LANDMARKS = ((96, 104), (160, 104), (128, 140), (102, 176), (154, 176))
_PLAIN_SIDE = 256

PhotoReader: TypeAlias = Callable[[], BgrImage]
FacesOrError: TypeAlias = DetectedFaces | FacePassError
Floats: TypeAlias = npt.NDArray[np.float32]

NO_VECTORS = np.zeros((0, 0), np.float32)
NO_DETECTIONS = (np.zeros((0, 5), np.float32), np.zeros((0, 5, 2), np.float32))

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """A queue that serves several customers in turn, and each in the order of its requests.

    Thread-safe; `take` never waits: it is called once for every `put`.
    """

    def __init__(self) -> None:
        self._lines: dict[Hashable, deque[Item]] = {}  # who has waited longest first
        self._lock = threading.Lock()

    def put(self, customer: Hashable, item: Item) -> None:
        """Add a customer's next item."""
        with self._lock:
            self._lines.setdefault(customer, deque()).append(item)

    def take(self) -> Item:
        """The first item of the customer who has waited longest. Raises IndexError when empty."""
        with self._lock:
            if not self._lines:
                raise IndexError("nobody waits")
            customer = next(iter(self._lines))
            line = self._lines.pop(customer)
            item = line.popleft()
            if line:
                self._lines[customer] = line  # now behind the others
            return item


class SharedLimits:
    """Limits that all engines of a process share: cores, and pixels in memory.

    A reader reserves pixels before it decodes; what it held is free again once its photo is done.
    """

    def __init__(self, cores: int) -> None:
        """cores: photos computed at a time."""
        self.computing = Cores(cores)
        self.budget = PixelBudget(PIXELS_AT_A_TIME)


class FaceEngine:
    """A pack's detector and recogniser, shared by all threads of this process.

    Each thread carries one photo all the way: fetch, decode, then compute. As many compute at a
    time as there are cores (the sessions are single-threaded), the others wait for S3 meanwhile.
    Decoded photos in memory are bounded by the number of threads, and their pixels by a budget.
    Batches of one run follow each other without a gap; several runs get a photo each in turn.
    """

    def __init__(
        self,
        pack: ModelPack,
        inference: str,
        threads: int | None = None,
        limits: SharedLimits | None = None,
        *,
        batching: bool | None = None,
    ) -> None:
        """Load the pack (seconds, and its size in memory). Raises ModelPackError.

        threads: photos computed at a time; None means one for each core this process may use.
        limits: of engines beside this one; None for an engine that is alone.
        batching: photos share calls of the models; None means as the backend is faster.
        """
        cores = threads or count_cores()
        limits = limits or SharedLimits(cores)
        return_large_blocks()
        stop_inner_threads()
        # A core for a block: as many at a time as there are, batches and selfies together.
        self.computing = limits.computing
        self.budget = limits.budget
        if inference in TF32:
            logger.info(
                "Faces are found and embedded on %s", describe_card(require_cuda(inference))
            )
        analysis: Any = load_analysis(pack, inference, cores, pack.det_size)
        self.pack = pack
        self._detector = analysis.models["detection"]
        self._recogniser = analysis.models["recognition"]
        self._small_detector: Any = load_small_detector(pack, inference, cores)
        at_a_time = cores
        self._is_batching = inference in TF32 if batching is None else batching
        if self._is_batching:
            from tasks.faces.batched import batch_detector, batch_recogniser  # with onnx: heavy

            gate = Gate(self.computing.aside)
            self._detector = batch_detector(self._detector, inference, gate)
            self._small_detector = batch_detector(self._small_detector, inference, gate)
            self._recogniser = batch_recogniser(self._recogniser, inference, gate)
            at_a_time += BATCHES * self._detector.sizes[-1]
        if pack.figures.doubt.poor:
            self._detector.det_thresh = FAINTEST
        self._finder = FaceFinder(
            self._look,
            partial(_detect, self._small_detector),
            pack.figures,
            large=pack.det_size > USUAL_DET_SIZE,
        )
        fetching = max(FETCH_THREADS, FETCH_THREADS_A_CORE * cores)
        # The others wait with their pixels: files, up to 50 MB each, are not counted by the budget.
        self._reading = threading.Semaphore(cores + fetching)
        self._threads = ThreadPoolExecutor(at_a_time + fetching, thread_name_prefix="engine")
        self._waiting: FairQueue[tuple[PhotoReader, Future[FacesOrError]]] = FairQueue()

    def embed(self, photo: BgrImage) -> DetectedFaces:
        """Find and embed every face of a photo.

        photo: BGR uint8 (H, W, 3), upright. Detection: SCRFD's scheme (Guo et al. 2021); faces
        are aligned by five landmarks and embedded as ArcFace does (Deng et al. 2019).
        """
        faces = self.find_faces(photo)
        height, width = photo.shape[:2]
        scale = np.array([width, height, width, height], dtype=np.float32)
        boxes = np.array([face.box for face in faces], np.float32).reshape(-1, 4)
        return DetectedFaces(
            boxes=np.clip(boxes / scale, 0.0, 1.0).astype(np.float32),
            scores=np.array([face.score for face in faces], np.float32),
            embeddings=self._embed_faces(photo, [face.landmarks for face in faces]),
            turned=judge_turn(faces),
        )

    def find_faces(self, photo: BgrImage, *, doubt_all: bool = False) -> list[SeenFace]:
        """Find faces whichever way up they are (tasks/faces/looks.py), best score first.

        doubt_all: each is looked at again, as if the first look left it in doubt.
        """
        return [] if is_strip(photo) else self._finder.find_faces(photo, doubt_all=doubt_all)

    def detect(self, photo: BgrImage) -> tuple[Floats, Floats]:
        """Find faces by the first look alone.

        Returns float32 (F, 5), x1 y1 x2 y2 in pixels and the score; landmarks (F, 5, 2).
        """
        if is_strip(photo):
            return NO_DETECTIONS
        faces, landmarks = self._look(photo)
        known = faces[:, 4] >= self.pack.figures.detection
        return faces[known], landmarks[known]

    def _look(self, photo: BgrImage) -> tuple[Floats, Floats]:
        """The first look, down to faces that are too faint to count."""
        return _detect(self._detector, photo)

    def align(self, photo: BgrImage, landmarks: Floats) -> BgrImage:
        """A face turned upright by its landmarks (5, 2), in the recogniser's square."""
        return align_face(photo, landmarks, self._recogniser.input_size[0])

    def embed_crops(self, crops: list[BgrImage]) -> Floats:
        """Embed aligned faces: float32 (F, dim), each of length 1."""
        if not crops:
            return NO_VECTORS
        starts = range(0, len(crops), FACES_PER_CALL)
        calls = [self._recogniser.get_feat(crops[i : i + FACES_PER_CALL]) for i in starts]
        return _scale_to_one(np.concatenate(calls))

    def _embed_faces(self, photo: BgrImage, landmarks: list[Floats]) -> Floats:
        """Align and embed a photo's faces; in batches each is drawn where it is computed."""
        if not (self._is_batching and landmarks):
            return self.embed_crops([self.align(photo, points) for points in landmarks])
        return _scale_to_one(self._recogniser.embed_faces(photo, landmarks))

    def embed_all(
        self, readers: Sequence[PhotoReader], customer: Hashable = None
    ) -> list[FacesOrError]:
        """Read and embed photos, several at a time; results in the order given.

        A reader's FacePassError takes its photo's place, as does PhotoUnavailableError of a photo
        on which the models fail, and FaceEngineError where they fail on a plain picture too; any
        other error is raised. `customer` tells those apart who share this engine, each of whom
        gets a photo in turn.
        """
        results: list[Future[FacesOrError]] = [Future() for _ in readers]
        for read, result in zip(readers, results, strict=True):
            self._waiting.put(customer, (read, result))
            self._threads.submit(self._do_next)
        try:
            return [result.result() for result in results]
        finally:
            for result in results:
                result.cancel()  # after an error: what has not begun is not wanted

    def _do_next(self) -> None:
        read, result = self._waiting.take()
        if not result.set_running_or_notify_cancel():
            return
        try:
            result.set_result(self._read_and_embed(read))
        except BaseException as error:  # noqa: BLE001 (raised where the result is asked for)
            result.set_exception(error)

    def _read_and_embed(self, read: PhotoReader) -> FacesOrError:
        try:
            with self._reading:
                photo = read()
            return self._embed_or_refuse(photo)
        except FacePassError as error:
            return forget_frames(error)
        finally:  # the photo itself is gone with the frames above
            self.budget.release()

    def _embed_or_refuse(self, photo: BgrImage) -> DetectedFaces:
        try:
            with self.computing:
                return self.embed(photo)
        except Exception as error:  # noqa: BLE001 (cv2 and the runtimes share no base class)
            with self.computing:
                refusal = judge_failure(error, self)
        raise refusal


def is_strip(photo: BgrImage) -> bool:
    """Whether the photo is longer than LONGEST_STRIP times its width."""
    height, width = photo.shape[:2]
    return bool(min(height, width) * LONGEST_STRIP < max(height, width))


def _detect(detector: Any, photo: BgrImage) -> tuple[Floats, Floats]:  # noqa: ANN401 (InsightFace publishes no types)
    detections, landmarks = detector.detect(photo)
    return NO_DETECTIONS if landmarks is None else (detections, landmarks)


def _scale_to_one(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units: Floats = (vectors / np.maximum(lengths, SHORTEST_VECTOR)).astype(np.float32)
    return units


def judge_failure(error: Exception, engine: "FaceEngine") -> PhotoUnavailableError:
    """The error to raise for one photo on which the models failed.

    The photo is to blame only while every step still works on a plain grey picture. Raises
    MemoryError, or FaceEngineError where one does not.
    """
    if is_out_of_memory(error):
        raise MemoryError("The models ran out of memory.") from error
    plain = np.full((_PLAIN_SIDE, _PLAIN_SIDE, 3), 128, np.uint8)
    try:
        engine.embed(plain)
        engine.embed_crops([engine.align(plain, np.array(PLAIN_LANDMARKS, np.float32))])
    except Exception as failure:
        raise FaceEngineError(
            f"The models fail on every picture ({type(failure).__name__}): look at the worker's "
            "memory and at FACEPASS_INFERENCE, then start the sync again."
        ) from failure
    logger.warning("The models failed on one photo: %s", type(error).__name__)
    return PhotoUnavailableError(PhotoReason.UNPROCESSABLE)


def forget_frames(error: FacePassError) -> FacePassError:
    """The error without its traceback, whose frames hold the photo's bytes.

    A batch keeps its errors until it ends: a hundred broken files of 50 MB would stay in memory.
    """
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
