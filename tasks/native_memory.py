"""Memory that decoders and models ask the C library for: given back once it is free."""

import ctypes
import os

# Larger than anything a preview needs, so that previews cost no extra calls of the kernel.
LARGE_BLOCK_BYTES = 8 * 1024 * 1024
_M_MMAP_THRESHOLD = -3  # glibc's malloc.h


def return_large_blocks() -> bool:
    """Have glibc give large blocks back to the system; whether this process runs on glibc.

    By itself it learns from every large block to keep the next ones, in each thread's own arena:
    after a batch of photos of 49 megapixels a worker of ten threads kept 3 GB for ever, and needed
    3.6 GB at its peak; with a fixed threshold 0.4 and 1.1 GB.
    """
    if os.name != "posix":
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    return set_option is not None and set_option(_M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES) == 1
