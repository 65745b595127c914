"""Failures of the models: told apart into a photo's own, the models', and memory's."""

import logging
from typing import TYPE_CHECKING

import numpy as np

from models.errors import FaceEngineError, FacePassError, PhotoUnavailableError
from models.vocabulary import PhotoReason

if TYPE_CHECKING:
    from tasks.faces.engine import FaceEngine

logger = logging.getLogger(__name__)

# The five points of a face in the plain picture.
PLAIN_LANDMARKS = ((96, 104), (160, 104), (128, 140), (102, 176), (154, 176))
_PLAIN_SIDE = 256

# How cv2, onnxruntime and OpenVINO say that memory ran out.
_OUT_OF_MEMORY = ("insufficient memory", "bad_alloc", "bad allocation", "allocate", "out of memory")


def forget_frames(error: FacePassError) -> FacePassError:
    """The error without its traceback, whose frames hold the photo's bytes.

    A batch keeps its errors until it ends: a hundred broken files of 50 MB would stay in memory.
    """
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)


def judge_failure(error: Exception, engine: "FaceEngine") -> PhotoUnavailableError:
    """The error to raise for one photo on which the models failed.

    The photo is to blame only while every step still works on a plain grey picture. Raises
    MemoryError, or FaceEngineError where one does not.
    """
    if isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in _OUT_OF_MEMORY):
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
