"""Loading of a model pack with InsightFace, on the CPU backend that FACEPASS_INFERENCE names.

For CUDA's it reads, checks and configures the pack, and its models' files are run in other graphs
(tasks/faces/batched.py).
"""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import ModelPackError
from tasks.packs.folder import shorten_error
from tasks.packs.openvino import PRECISIONS, OpenVinoSession
from tasks.packs.registry import SMALL_DET_SIZE, USUAL_DET_SIZE, ModelPack, find_sized_pack

if TYPE_CHECKING:
    from insightface.app import FaceAnalysis

NEEDED_MODULES = ("detection", "recognition")
# A share of the pack's detection threshold: what a second look reports, as a hint where to look.
HINT = 0.8


def load_analysis(
    pack: ModelPack, inference: str, threads: int = 1, det_size: int = USUAL_DET_SIZE
) -> "FaceAnalysis":
    """Load the pack's detector and recogniser with InsightFace.

    inference: as FACEPASS_INFERENCE; threads: how many will use it at a time. Detection runs once,
    letterboxed to a square of det_size pixels; opencv_zoo's, to what the pack was built for.
    Raises ModelPackError.
    """
    analysis = _open(pack, det_size, NEEDED_MODULES)
    missing = [name for name in NEEDED_MODULES if name not in analysis.models]
    if missing:
        raise ModelPackError(
            f"Model pack {pack.name} in {pack.folder} has no {' and no '.join(missing)} model: "
            "set FACEPASS_MODEL_PACK to a pack with both."
        )
    side = analysis.models["detection"].input_size[0]
    if side != det_size != USUAL_DET_SIZE:
        raise ModelPackError(
            f"Model pack {pack.name} looks for faces in {side} pixels and no others: give its "
            "events the profile standard, or another model pack."
        )
    _move_to_openvino(analysis, inference, threads)
    return analysis


def load_small_detector(pack: ModelPack, inference: str, threads: int = 1) -> Any:  # noqa: ANN401 (InsightFace publishes no types)
    """The pack's detector for squares of SMALL_DET_SIZE pixels, for second looks.

    Where the detector's file is made for one size and there is none for this one, it is the usual
    detector: it sees the small square enlarged. Raises ModelPackError.
    """
    sized = find_sized_pack(pack, SMALL_DET_SIZE)
    sized = replace(sized, figures=replace(sized.figures, detection=HINT * pack.figures.detection))
    analysis = _open(sized, SMALL_DET_SIZE, ("detection",))
    _move_to_openvino(analysis, inference, threads)
    return analysis.models["detection"]


def _move_to_openvino(analysis: "FaceAnalysis", inference: str, threads: int) -> None:
    """Have OpenVINO run what InsightFace has checked and configured, in its modes."""
    if inference not in PRECISIONS:
        return
    for model in analysis.models.values():
        side = model.input_size[0]
        model.session = OpenVinoSession(Path(model.model_file), inference, threads, side)
        # Else InsightFace opens onnxruntime's session for the size, if the detector takes any.
        model.static_shape_sessions = False


def _open(pack: ModelPack, det_size: int, modules: tuple[str, ...]) -> "FaceAnalysis":
    try:
        return _open_analysis(pack, det_size, modules)
    except Exception as error:  # InsightFace, onnxruntime and protobuf share no base class
        raise ModelPackError(
            f"Model pack {pack.name} in {pack.folder} could not be loaded "
            f"({shorten_error(error)}): delete or replace that folder, "
            "or set FACEPASS_MODEL_PACK to another pack."
        ) from error


def _open_analysis(pack: ModelPack, det_size: int, modules: tuple[str, ...]) -> "FaceAnalysis":
    import onnxruntime
    from insightface import app

    # Its face alignment calls a function that scikit-image deprecates, once a face.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"insightface\.")
    options = onnxruntime.SessionOptions()
    # Several threads share one session, each running it on one core: 1.28 times faster than one
    # session with two threads, and two models' idle pools do not spin against each other.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    analysis = app.FaceAnalysis(
        name=str(pack.folder),
        allowed_modules=list(modules),
        providers=["CPUExecutionProvider"],
        sess_options=options,
    )
    analysis.prepare(
        ctx_id=-1,
        det_size=(det_size, det_size),
        det_thresh=pack.figures.detection,
    )
    return analysis
