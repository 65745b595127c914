"""A second pack that finds the same people as opencv_zoo, by vectors that fit none of its own.

Its recogniser's numbers are weighted and doubled: 256 a face. So every similarity is another than
opencv_zoo's, and comparing vectors of the two is an error of the database, not a wrong answer.
"""

import json
import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tasks.packs.figures import build_section
from tests.support.standin_pack import STANDIN_FIGURES

DIMENSION = 256


def write_turned_zoo(zoo: Path, folder: Path) -> None:
    """Make the pack in `folder`, which must not exist, out of opencv_zoo in `zoo`."""
    shutil.copytree(zoo, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    recognition = manifest["tasks"]["recognition"]
    path = folder / recognition["file"]
    model = onnx.load(path)
    _weight_and_double(model)
    path.write_bytes(model.SerializeToString(deterministic=True))
    manifest["model_id"] = folder.name
    # A lower threshold than opencv_zoo's, so that it shows weaker detections too.
    manifest["facepass"] = build_section(STANDIN_FIGURES)
    recognition["sha256"] = sha256(path.read_bytes()).hexdigest()
    recognition["embedding_dimension"] = DIMENSION
    (folder / "manifest.json").write_text(json.dumps(manifest))


def _weight_and_double(model: onnx.ModelProto) -> None:
    output = model.graph.output[0]
    weights = np.linspace(1.0, 1.5, DIMENSION // 2, dtype=np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weights, "weights"))
    model.graph.node.append(helper.make_node("Mul", [output.name, "weights"], ["weighted"]))
    model.graph.node.append(
        helper.make_node("Concat", ["weighted", "weighted"], ["doubled"], axis=1)
    )
    output.name = "doubled"
    output.type.tensor_type.shape.dim[1].dim_value = DIMENSION
