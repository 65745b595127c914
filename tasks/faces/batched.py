"""The pack's models for batches: InsightFace's detector and recogniser, many pictures a call.

They find and embed what InsightFace's classes do, to the bit on onnxruntime's CPU provider; what
differs is who shares a call (tasks/faces/batching.py), and that pixels travel as bytes.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Generic, TypeAlias

import numpy as np
import numpy.typing as npt

from models.errors import ModelPackError
from tasks.faces.align import align_face
from tasks.faces.batching import Batcher, Draw, Gate, Output, Pixels
from tasks.images.decode import BgrImage
from tasks.packs.cuda import HALF, open_session
from tasks.packs.folder import shorten_error
from tasks.packs.graphs import (
    PIXELS,
    THRESHOLD,
    build_detector,
    build_recogniser,
)
from tasks.packs.registry import USUAL_DET_SIZE

Floats: TypeAlias = npt.NDArray[np.float32]
# A graph and a size of batch -> onnxruntime's session.
OpenSession: TypeAlias = Callable[[bytes, int], Any]
AnyArray: TypeAlias = npt.NDArray[Any]

# Candidates whose pairs are looked at all at once: of more they take more memory than it is worth.
FEW = 300
_BLACK = (0, 0, 0)
# Photos of 640 pixels a side in a call, and faces.
PHOTOS, FACES = 32, 64


class Sessions:
    """One session for each size of batch, opened by its first batch.

    onnxruntime's CUDA provider plans its convolutions anew, for a tenth of a second and more,
    whenever the size is another one than in the call before.
    """

    def __init__(self, graph: bytes, open_session: OpenSession) -> None:
        self._graph = graph
        self._open = open_session
        self._sessions: dict[int, Any] = {}
        self._lock = threading.Lock()

    def run(self, feed: dict[str, AnyArray]) -> list[AnyArray]:
        """The outputs for a batch."""
        size = len(feed[PIXELS])
        with self._lock:
            session = self._sessions.get(size)
            if session is None:
                session = self._sessions[size] = self._open(self._graph, size)
        outputs: list[AnyArray] = session.run(None, feed)
        return outputs

    def release(self, size: int) -> None:
        """Close a size's session: its memory is free when its last batch has ended."""
        with self._lock:
            self._sessions.pop(size, None)


class BatchedModel(ABC, Generic[Output]):
    """A model whose pictures share batches, ready to compute them."""

    def __init__(
        self,
        plain: Any,  # noqa: ANN401 (InsightFace publishes no types)
        graph: bytes,
        open_session: OpenSession,
        most: int,
        gate: Gate,
    ) -> None:
        """plain: InsightFace's, for its settings; most: pictures a call. Raises ModelPackError."""
        self._plain = plain
        self._sessions = Sessions(graph, open_session)
        self.input_size: tuple[int, int] = tuple(plain.input_size)
        self.det_thresh: float = getattr(plain, "det_thresh", 0.0)  # a detector's
        self._batcher: Batcher[Output] = Batcher(
            self.compute, self.input_size[0], choose_sizes(most), gate, self._sessions.release
        )
        _warm_up(self._batcher)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Pictures a batch."""
        return self._batcher.sizes

    @abstractmethod
    def compute(self, pixels: Pixels) -> Output:
        """The model's output for a batch uint8 (B, side, side, 3)."""


class BatchedDetector(BatchedModel[list[AnyArray]]):
    """A detector of SCRFD's form (Guo et al. 2021), with InsightFace's `detect`."""

    @cached_property
    def _candidates(self) -> int:
        """Places of a photo's candidates."""
        width, height = self.input_size
        return sum(
            anchors * (width // stride) * (height // stride)
            for stride, anchors in list_levels(self._plain).items()
        )

    def detect(self, photo: BgrImage) -> tuple[Floats, Floats]:
        """Faces float32 (F, 5), x1 y1 x2 y2 and the score, best first; landmarks (F, 5, 2)."""
        sides, scale = fit_photo(photo, self.input_size)
        [share] = self._batcher.run(1, partial(_draw_photo, photo, sides))
        places, rows = share.output
        ends = np.array([share.row, share.row + 1]) * self._candidates
        start, end = np.searchsorted(places, ends)
        own = rows[start:end]
        own = own[np.argsort(-own[:, 0], kind="stable")]
        faces = np.asarray(np.hstack([own[:, 1:5] / scale, own[:, :1]]), np.float32)
        points = np.asarray(own[:, 5:].reshape(-1, 5, 2) / scale, np.float32)
        if not len(own):
            return faces, points
        few = len(faces) <= FEW
        keep = suppress(faces, self._plain.nms_thresh) if few else self._plain.nms(faces)
        return faces[keep], points[keep]

    def compute(self, pixels: Pixels) -> list[AnyArray]:
        """PLACES and ROWS (tasks/packs/graphs.py) of a batch uint8 (B, side, side, 3)."""
        threshold = np.array([self.det_thresh], np.float32)
        return self._sessions.run({PIXELS: pixels, THRESHOLD: threshold})


class BatchedRecogniser(BatchedModel[AnyArray]):
    """A recogniser with InsightFace's `get_feat`."""

    def get_feat(self, crops: list[BgrImage]) -> Floats:
        """The vectors float32 (F, dim) of aligned faces, not of length 1."""
        return self._collect(len(crops), partial(_draw_crop, crops))

    def embed_faces(self, photo: BgrImage, landmarks: Sequence[Floats]) -> Floats:
        """The vectors float32 (F, dim) of a photo's faces, by their landmarks (5, 2)."""
        return self._collect(len(landmarks), partial(_draw_face, photo, landmarks))

    def _collect(self, count: int, draw: Draw) -> Floats:
        shares = self._batcher.run(count, draw)
        return np.stack([share.output[share.row] for share in shares])

    def compute(self, pixels: Pixels) -> AnyArray:
        """The vectors of a batch uint8 (B, side, side, 3)."""
        [vectors] = self._sessions.run({PIXELS: pixels})
        return vectors


def _warm_up(batcher: Batcher[Any]) -> None:
    """Prepare the device for every size of batch. Raises ModelPackError."""
    try:
        batcher.warm_up()
    except ModelPackError:
        raise
    except Exception as error:  # onnxruntime's errors share no base class
        raise ModelPackError(
            f"The models cannot be run on this device ({shorten_error(error)}): free its memory "
            "(nvidia-smi shows who has it), take another card, or set FACEPASS_INFERENCE=cpu."
        ) from error


def list_levels(plain: Any) -> dict[int, int]:  # noqa: ANN401 (InsightFace publishes no types)
    """A detector's levels: stride -> anchors a cell."""
    return dict.fromkeys(plain._feat_stride_fpn, plain._num_anchors)


def batch_detector(plain: Any, inference: str, gate: Gate) -> BatchedDetector:  # noqa: ANN401 (InsightFace's models have no types)
    """InsightFace's detector, for batches; inference: "cpu", or one of CUDA's modes.

    Raises ModelPackError.
    """
    side = int(plain.input_size[0])
    with _refuse_other_graphs(plain):
        graph = build_detector(
            Path(plain.model_file),
            side,
            plain.input_mean,
            plain.input_std,
            list_levels(plain),
            half=inference == HALF,
        )
    _let_go(plain)
    open_here = partial(open_session, inference=inference)
    return BatchedDetector(plain, graph, open_here, choose_photos(side), gate)


def batch_recogniser(plain: Any, inference: str, gate: Gate) -> BatchedRecogniser:  # noqa: ANN401 (InsightFace's models have no types)
    """InsightFace's recogniser, likewise."""
    side = int(plain.input_size[0])
    with _refuse_other_graphs(plain):
        graph = build_recogniser(
            Path(plain.model_file), side, plain.input_mean, plain.input_std, half=inference == HALF
        )
    # A file for one face a call stays so.
    most = 1 if isinstance(plain.input_shape[0], int) else FACES
    _let_go(plain)
    return BatchedRecogniser(plain, graph, partial(open_session, inference=inference), most, gate)


@contextmanager
def _refuse_other_graphs(plain: Any) -> Iterator[None]:  # noqa: ANN401 (InsightFace's models have no types)
    """Turn what goes wrong with a model's file into ModelPackError."""
    try:
        yield
    except Exception as error:  # (onnx's and the converter's errors have no base)
        raise ModelPackError(
            f"The model {Path(plain.model_file).name} cannot be run in batches "
            f"({shorten_error(error)}): set FACEPASS_INFERENCE=cpu, or take another model pack."
        ) from error


def _let_go(plain: Any) -> None:  # noqa: ANN401 (InsightFace's models have no types)
    """Free the memory of InsightFace's own session, which is not run."""
    plain.session = plain._resolution_session_pool = None


def suppress(faces: Floats, threshold: float) -> list[int]:
    """Rows of candidates (F, 5), best first, that overlap none better by more than `threshold`.

    InsightFace's SCRFD.nms with its arithmetic, all pairs at once: ten calls of NumPy in place of
    ten for each face, all under the interpreter's lock.
    """
    left, top, right, bottom = faces[:, :4].T
    areas = (right - left + 1) * (bottom - top + 1)
    width = np.minimum(right[:, None], right) - np.maximum(left[:, None], left) + 1
    height = np.minimum(bottom[:, None], bottom) - np.maximum(top[:, None], top) + 1
    shared = np.maximum(0.0, width) * np.maximum(0.0, height)
    apart = shared / (areas[:, None] + areas - shared) <= threshold
    is_left = np.ones(len(faces), np.bool_)
    keep = []
    for number, row in enumerate(apart):
        if is_left[number]:
            keep.append(number)
            is_left &= row
    return keep


def fit_photo(photo: BgrImage, size: tuple[int, int]) -> tuple[tuple[int, int], float]:
    """The photo's width and height in a square of that size, and its scale there.

    As InsightFace's SCRFD has them, so that pixels are the same.
    """
    width, height = size
    ratio = float(photo.shape[0]) / photo.shape[1]
    if ratio > float(height) / width:
        sides = int(height / ratio), height
    else:
        sides = width, int(width * ratio)
    return sides, float(sides[1]) / photo.shape[0]


def _draw_crop(crops: Sequence[BgrImage], number: int, row: Pixels) -> None:
    row[:] = crops[number]


def _draw_face(photo: BgrImage, landmarks: Sequence[Floats], number: int, row: Pixels) -> None:
    align_face(photo, landmarks[number], row.shape[0], row)


def _draw_photo(photo: BgrImage, sides: tuple[int, int], _: int, square: Pixels) -> None:
    """Draw the photo into the corner of a square (height, width, 3), black beside it."""
    import cv2  # heavy: only where faces are looked for

    width, height = sides
    fits = photo.shape[:2] == (height, width)
    drawn = photo if fits else cv2.resize(photo, sides)
    beside = (0, square.shape[0] - height, 0, square.shape[1] - width)
    # One call, since at each the interpreter's lock has to be waited for afterwards.
    cv2.copyMakeBorder(drawn, *beside, cv2.BORDER_CONSTANT, dst=square, value=_BLACK)


def choose_sizes(most: int) -> tuple[int, ...]:
    """Sizes of batches up to `most`: few, since each has a session that takes time to open."""
    return tuple(sorted({max(1, most // 8), max(1, most // 2), most}))


def choose_photos(det_size: int) -> int:
    """Photos of so many pixels a side in a call: as many pixels as PHOTOS of the usual size."""
    return max(1, min(PHOTOS, PHOTOS * USUAL_DET_SIZE**2 // det_size**2))
