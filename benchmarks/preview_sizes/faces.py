"""Cut-outs of real people for scenes: head and shoulders, soft at their border.

Seven people, from photos that installed packages carry: InsightFace's group of six, and
scikit-image's astronaut. Each is there as photographed and mirrored.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from deployments.sample_photos import read_group, read_sample
from tasks.faces.engine import FaceEngine
from tasks.images.decode import BgrImage

Floats = npt.NDArray[np.float32]

# How far a cut-out goes beyond the face's box, in widths and heights of the box.
LEFT_RIGHT, ABOVE, BELOW = 0.6, 0.6, 0.7
BORDER = 0.2  # the share of the cut-out's radius over which it fades
ROUNDNESS = 4  # of the cut-out's outline: 2 is an ellipse, infinity a rectangle


@dataclass(frozen=True)
class CutOut:
    """A person's head. `box` is the face's, in the cut-out's pixels, x1 y1 x2 y2.

    pixels: BGR uint8 (H, W, 3); opacity: float32 (H, W, 1) in 0..1. `portrait` is the vector of
    this face in the photo it was cut from, (dim,) of length 1; `selfie` that of the mirrored one.
    """

    person: int
    pixels: BgrImage
    opacity: Floats
    box: Floats
    portrait: Floats
    selfie: Floats

    @property
    def face_height(self) -> float:
        """Of the box, in the cut-out's pixels."""
        return float(self.box[3] - self.box[1])


def cut_out_people(engine: FaceEngine) -> list[CutOut]:
    """Every person twice, persons numbered from 0; the same every time.

    The engine says where the faces are: the finer it looks, the truer the boxes.
    """
    cut_outs: list[CutOut] = []
    for photo in _read_photos():
        mirrored = np.ascontiguousarray(photo[:, ::-1])
        pairs = _pair_up(engine, photo, mirrored)
        for box, vector, mirrored_box, mirrored_vector in pairs:
            person = len(cut_outs) // 2
            cut_outs.append(_cut_out(person, photo, box, vector, mirrored_vector))
            cut_outs.append(_cut_out(person, mirrored, mirrored_box, mirrored_vector, vector))
    return cut_outs


def _read_photos() -> Iterator[BgrImage]:
    for image in (read_group(), read_sample("astronaut.png")):
        yield np.ascontiguousarray(np.asarray(image, dtype=np.uint8)[:, :, ::-1])


def _pair_up(
    engine: FaceEngine, photo: BgrImage, mirrored: BgrImage
) -> Iterator[tuple[Floats, Floats, Floats, Floats]]:
    """Box and vector of each face, and of the same face in the mirrored photo, from the left."""
    height, width = photo.shape[:2]
    scale = np.array([width, height, width, height], np.float32)
    faces, others = engine.embed(photo), engine.embed(mirrored)
    order, other_order = np.argsort(faces.boxes[:, 0]), np.argsort(-others.boxes[:, 2])
    for one, other in zip(order, other_order, strict=True):
        yield (
            faces.boxes[one] * scale,
            faces.embeddings[one],
            others.boxes[other] * scale,
            others.embeddings[other],
        )


def _cut_out(person: int, photo: BgrImage, box: Floats, portrait: Floats, selfie: Floats) -> CutOut:
    height, width = photo.shape[:2]
    across, down = box[2] - box[0], box[3] - box[1]
    left, right = max(0.0, box[0] - LEFT_RIGHT * across), box[2] + LEFT_RIGHT * across
    top, bottom = max(0.0, box[1] - ABOVE * down), box[3] + BELOW * down
    x1, y1, x2, y2 = int(left), int(top), min(width, int(right)), min(height, int(bottom))
    pixels = photo[y1:y2, x1:x2]
    corner = np.array([x1, y1, x1, y1], np.float32)
    opacity = draw_soft_shape(*pixels.shape[:2])
    return CutOut(person, pixels, opacity, box - corner, portrait, selfie)


def draw_soft_shape(height: int, width: int) -> Floats:
    """Opacity (height, width, 1): 1 inside a rounded shape, falling to 0 at its border."""
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    radius = (np.abs(x) ** ROUNDNESS + np.abs(y) ** ROUNDNESS) ** (1 / ROUNDNESS)
    opacity: Floats = np.clip((1 - radius) / BORDER, 0, 1).astype(np.float32)
    return opacity[:, :, None]


def resize_cut_out(cut_out: CutOut, face_height: float) -> CutOut:
    """The cut-out so large that its face's box is about `face_height` pixels high."""
    height, width = cut_out.pixels.shape[:2]
    scale = face_height / cut_out.face_height
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    across, down = size[0] / width, size[1] / height
    return CutOut(
        cut_out.person,
        np.asarray(cv2.resize(cut_out.pixels, size, interpolation=kind), np.uint8),
        draw_soft_shape(size[1], size[0]),
        cut_out.box * np.array([across, down, across, down], np.float32),
        cut_out.portrait,
        cut_out.selfie,
    )
