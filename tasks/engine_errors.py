"""What the face engine makes of errors: whose fault one is, and what it must not hold on to."""

from models.errors import FacePassError

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
