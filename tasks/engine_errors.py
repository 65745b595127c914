"""What the face engine makes of errors: whose fault one is, and what it must not hold on to."""

import numpy as np

from models.errors import FacePassError
from tasks.photos import BgrImage

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


def make_plain_picture() -> BgrImage:
    """What shows whether the models work at all: BGR uint8 (256, 256, 3), grey."""
    return np.full((_PLAIN_SIDE, _PLAIN_SIDE, 3), 128, np.uint8)
