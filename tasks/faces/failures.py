"""Failures of the models: told apart into a photo's own, the models', and memory's."""

import logging
from typing import Protocol

import numpy as np
import numpy.typing as npt

from models.errors import FaceEngineError, FacePassError, PhotoUnavailableError
from models.vocabulary import PhotoReason
from tasks.images.decode import BgrImage

logger = logging.getLogger(__name__)

# The five points of a face in the plain picture.
PLAIN_LANDMARKS = ((96, 104), (160, 104), (128, 140), (102, 176), (154, 176))
_PLAIN_SIDE = 256

# How cv2, onnxruntime and OpenVINO say that memory ran out.
_OUT_OF_MEMORY = ("insufficient memory", "bad_alloc", "bad allocation", "allocate", "out of memory")


def is_out_of_memory(error: Exception) -> bool:
    """Whether a library's own error means that memory ran out: never the photo's fault."""
    return any(sign in str(error).lower() for sign in _OUT_OF_MEMORY)


def forget_frames(error: FacePassError) -> FacePassError:
    """The error without its traceback, whose frames hold the photo's bytes.

    A batch keeps its errors until it ends: a hundred broken files of 50 MB would stay in memory.
    """
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


class Models(Protocol):
    """The part of the engine that is tried on a plain picture."""

    def embed(self, photo: BgrImage) -> object:
        """Every face of a photo."""

    def align(self, photo: BgrImage, landmarks: npt.NDArray[np.float32]) -> BgrImage:
        """A face turned upright."""
        ...

    def embed_crops(self, crops: list[BgrImage]) -> object:
        """Vectors of aligned faces."""


def judge_failure(error: Exception, models: Models) -> PhotoUnavailableError:
    """The error to raise for one photo on which the models failed.

    The photo is to blame only while the models still work on a plain picture. Raises MemoryError,
    or FaceEngineError where they do not.
    """
    if isinstance(error, MemoryError) or is_out_of_memory(error):
        raise MemoryError("The models ran out of memory.") from error
    check_models(models)
    logger.warning("The models failed on one photo: %s", type(error).__name__)
    return PhotoUnavailableError(PhotoReason.UNPROCESSABLE)


def check_models(models: Models) -> None:
    """Every step once, on a plain picture. Raises FaceEngineError."""
    try:
        models.embed(plain := make_plain_picture())
        models.embed_crops([models.align(plain, np.array(PLAIN_LANDMARKS, np.float32))])
    except Exception as error:
        raise FaceEngineError(
            f"The models fail on every picture ({type(error).__name__}): look at the worker's "
            "memory and at FACEPASS_INFERENCE, then start the sync again."
        ) from error


def make_plain_picture() -> BgrImage:
    """A picture on which sound models never fail: BGR uint8 (256, 256, 3), grey."""
    return np.full((_PLAIN_SIDE, _PLAIN_SIDE, 3), 128, np.uint8)
