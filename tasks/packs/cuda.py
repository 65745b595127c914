"""Sessions on an NVIDIA card: precision, and the sentences where a card cannot be used.

InsightFace reads and checks a pack on the CPU; onnxruntime's CUDA provider runs its graphs.
"""

import ctypes
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

from models.errors import ModelPackError
from tasks.packs.folder import shorten_error

# The modes of FACEPASS_INFERENCE, and whether each rounds fp32's products to ten bits (TF32).
TF32 = {"cuda": False, "cuda-tf32": True, "cuda-fp16": True}
HALF = "cuda-fp16"
PROVIDER = "CUDAExecutionProvider"
MIB = 1024 * 1024
# Below it not even a batch of one photo is computed, beside what CUDA itself takes.
LEAST_FREE_MIB = 1500
LEAST_CAPABILITY = (7, 5)  # CUDA 13 has no programs for older cards
_CAPABILITY = (75, 76)  # cuda.h's numbers of its two attributes

# How cv2, onnxruntime, CUDA's libraries and OpenVINO say that memory ran out.
_OUT_OF_MEMORY = (
    "insufficient memory",
    "bad_alloc",
    "bad allocation",
    "allocate",
    "alloc_failed",
    "allocation_failed",
    "out of memory",
)

_NO_DRIVER = "No NVIDIA driver is found here"
_OTHERWISE = "or set FACEPASS_INFERENCE=cpu."


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of a model says that memory ran out, of the machine or of its device."""
    told = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in told for sign in _OUT_OF_MEMORY)


@dataclass(frozen=True)
class Card:
    """The first card that this process may use, as its driver describes it.

    driver: the newest CUDA that the driver serves, as 13000 for 13.0; capability: what the card
    can compute, as (9, 0).
    """

    name: str
    memory_mib: int
    free_mib: int
    driver: int
    capability: tuple[int, int]


def find_card() -> Card:
    """The card. Raises ModelPackError, in words, where there is none, or no driver."""
    try:
        driver: Any = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise ModelPackError(
            f"{_NO_DRIVER}: install it (a container needs --gpus all), {_OTHERWISE}"
        ) from error
    code = driver.cuInit(0)
    count, version, device = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(version))
    if code == 0:
        code = driver.cuDeviceGetCount(ctypes.byref(count))
    if code != 0 or not count.value:
        raise ModelPackError(
            f"The NVIDIA driver finds no card (its error {code}): look at nvidia-smi and at "
            f"CUDA_VISIBLE_DEVICES, {_OTHERWISE}"
        )
    driver.cuDeviceGet(ctypes.byref(device), 0)
    name = ctypes.create_string_buffer(100)
    driver.cuDeviceGetName(name, len(name), device)
    numbers = (ctypes.c_int(), ctypes.c_int())
    for number, attribute in zip(numbers, _CAPABILITY, strict=True):
        driver.cuDeviceGetAttribute(ctypes.byref(number), attribute, device)
    memory, free = _read_memory(driver, device)
    return Card(
        name.value.decode(errors="replace"),
        memory // MIB,
        free // MIB,
        version.value,
        (numbers[0].value, numbers[1].value),
    )


def _read_memory(driver: Any, device: ctypes.c_int) -> tuple[int, int]:  # noqa: ANN401 (a library loaded by ctypes)
    """Bytes of a card, and those that are free, as its driver says."""
    context, free, total = ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t()
    # The context that CUDA's runtime, and so onnxruntime, uses in this process too.
    if driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
        raise ModelPackError(
            "The NVIDIA card gives this process no memory: stop what else runs on it "
            f"(nvidia-smi names it), {_OTHERWISE}"
        )
    driver.cuCtxSetCurrent(context)
    driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
    return total.value, free.value


def require_cuda(inference: str) -> Card:
    """The card, once everything is there to use it. Raises ModelPackError, in words."""
    import onnxruntime

    if PROVIDER not in onnxruntime.get_available_providers():
        raise ModelPackError(
            f"FACEPASS_INFERENCE={inference} needs onnxruntime-gpu in place of onnxruntime: "
            f"install facepass-sync[cuda] as docs/insightface.md shows, {_OTHERWISE}"
        )
    card = find_card()
    needed = str(getattr(onnxruntime, "cuda_version", "") or "")
    if needed and card.driver // 1000 < int(needed.split(".")[0]):
        raise ModelPackError(
            f"The NVIDIA driver serves CUDA {card.driver // 1000}, and this onnxruntime needs "
            f"{needed}: install a newer driver, {_OTHERWISE}"
        )
    if card.capability < LEAST_CAPABILITY:
        raise ModelPackError(
            f"{card.name} is too old for CUDA 13: take a card of NVIDIA's Turing or later, "
            f"{_OTHERWISE}"
        )
    if card.free_mib < LEAST_FREE_MIB:
        raise ModelPackError(
            f"{card.name} has {card.free_mib} MB of memory free, of {card.memory_mib}: stop what "
            f"else runs on it (nvidia-smi names it), {_OTHERWISE}"
        )
    # Those that pip has installed; a system's own are found without. It prints what it misses.
    with redirect_stdout(sys.stderr):
        onnxruntime.preload_dlls(directory="")
    return card


def describe_card(card: Card) -> str:
    """The card in a line of the log."""
    return f"{card.name}, {card.free_mib} of {card.memory_mib} MB free"


def open_session(graph: bytes, size: int, inference: str) -> Any:  # noqa: ANN401 (onnxruntime publishes no types)
    """A session for batches of `size` pictures; inference: "cpu", or one of TF32's.

    Raises ModelPackError where onnxruntime falls back to the CPU, which it does silently.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # errors are raised, too
    options.add_free_dimension_override_by_name("batch", size)
    providers: list[Any] = ["CPUExecutionProvider"]
    if inference in TF32:
        wanted = {
            "use_tf32": str(int(TF32[inference])),
            # Trying them all makes an engine's start twice as long, and it 2 % faster.
            "cudnn_conv_algo_search": "HEURISTIC",
            # Else each block of memory doubles, and is kept.
            "arena_extend_strategy": "kSameAsRequested",
        }
        providers.insert(0, (PROVIDER, wanted))
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=providers)
    except Exception as error:  # onnxruntime's errors share no base class
        if is_out_of_memory(error):
            raise  # whoever asks may do with less
        raise ModelPackError(
            f"The model pack cannot be run with FACEPASS_INFERENCE={inference} "
            f"({shorten_error(error)}): try FACEPASS_INFERENCE=cpu."
        ) from error
    if inference in TF32 and session.get_providers()[0] != PROVIDER:
        raise ModelPackError(
            "CUDA's libraries cannot be loaded (onnxruntime says above which is missing): install "
            f"facepass-sync[cuda] as docs/insightface.md shows, {_OTHERWISE}"
        )
    return session
