"""An adapter that runs InsightFace's models on OpenVINO, with onnxruntime's session interface."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import LifoQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import ModelPackError

# OpenVINO's names of the precisions; on a CPU with bf16 it would choose that by itself.
PRECISIONS = {"openvino": "f32", "openvino-bf16": "bf16"}


@dataclass(frozen=True)
class _Tensor:
    """An input or output as onnxruntime describes it."""

    name: str
    shape: list[int | str]

    @classmethod
    def of(cls, port: Any) -> "_Tensor":  # noqa: ANN401 (OpenVINO publishes no types)
        """An input or output of a compiled model."""
        shape = [size.get_length() if size.is_static else "?" for size in port.get_partial_shape()]
        return cls(port.get_any_name(), shape)


class OpenVinoSession:
    """One compiled model, shared by all threads.

    Its input's shape is fixed, one picture at a time: a batch of faces brings nothing on one core,
    and a model of free shapes is prepared anew for each number of them.
    """

    def __init__(self, model: Path, inference: str, threads: int, side: int) -> None:
        """Compile for pictures of `side` pixels, `threads` of them at a time.

        Raises ModelPackError without OpenVINO, or without bf16 on this CPU.
        """
        core = open_openvino(inference)
        graph = core.read_model(model)
        graph.reshape([1, 3, side, side])
        self._compiled: Any = core.compile_model(
            graph,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": PRECISIONS[inference],
                # One stream a thread that asks, one core each; the system places them.
                "NUM_STREAMS": threads,
                "INFERENCE_NUM_THREADS": threads,
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._requests: LifoQueue[Any] = LifoQueue()
        blank = np.zeros((1, 3, side, side), np.float32)
        for _ in range(threads):
            request = self._compiled.create_infer_request()
            # One after the other: requests whose first pictures come at the same moment can wait
            # for each other for ever where cores are few
            # (github.com/ultralytics/ultralytics/issues/25923).
            request.infer([blank])
            self._requests.put(request)

    def run(
        self, output_names: Sequence[str] | None, feed: dict[str, npt.NDArray[np.float32]]
    ) -> list[npt.NDArray[np.float32]]:
        """The outputs asked for, or all, in the model's order; pictures (N, 3, side, side)."""
        names = output_names or [tensor.name for tensor in self.get_outputs()]
        [(name, pictures)] = feed.items()
        request = self._requests.get()
        try:
            # What infer gives back are copies: the next picture may use the request at once.
            found = [request.infer({name: picture[np.newaxis]}) for picture in pictures]
            outputs = [[one[output] for one in found] for output in names]
        finally:
            self._requests.put(request)
        return [one[0] if len(one) == 1 else np.concatenate(one) for one in outputs]

    def get_inputs(self) -> list[_Tensor]:
        """The model's inputs."""
        return [_Tensor.of(port) for port in self._compiled.inputs]

    def get_outputs(self) -> list[_Tensor]:
        """The model's outputs."""
        return [_Tensor.of(port) for port in self._compiled.outputs]

    def get_providers(self) -> list[str]:
        """The device it runs on, in onnxruntime's words."""
        return ["CPUExecutionProvider"]


def open_openvino(inference: str) -> Any:  # noqa: ANN401 (OpenVINO publishes no types)
    """OpenVINO's core; raises ModelPackError where this machine cannot run the mode."""
    try:
        import openvino
    except ImportError as error:
        raise ModelPackError(
            f"FACEPASS_INFERENCE={inference} needs OpenVINO: install facepass-sync[openvino], "
            "or set FACEPASS_INFERENCE=cpu."
        ) from error
    core = openvino.Core()
    abilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if PRECISIONS[inference] == "bf16" and "BF16" not in abilities:
        raise ModelPackError(
            "This CPU does not compute in bf16: set FACEPASS_INFERENCE=openvino (or cpu)."
        )
    return core
