"""Alignment of a face: the recogniser's square, cut out so that the five points lie as ArcFace's do.

The similarity transformation is that of least squares (Umeyama 1991), as in InsightFace; in the
plane it is one division of complex numbers.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tasks.images.decode import BgrImage

Floats: TypeAlias = npt.NDArray[np.float32]
Affine: TypeAlias = npt.NDArray[np.float64]

# Eyes, nose and corners of the mouth in a square of 112 pixels (ArcFace, Deng et al. 2019).
TEMPLATE_SIDE = 112
TEMPLATE = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
# Points that are all one have no size: anything is as good a scale.
_SMALLEST_SPREAD = 1e-12


def estimate_alignment(landmarks: Floats, side: int) -> Affine:
    """The affine (2, 3) from the photo's pixels to a square of `side`, by landmarks (5, 2)."""
    points = _read_complex(np.asarray(landmarks, np.float64))
    places = _read_complex(np.array(TEMPLATE)) * (side / TEMPLATE_SIDE)
    middle, centre = points.mean(), places.mean()
    arms = points - middle
    spread = max(float((arms.conj() @ arms).real), _SMALLEST_SPREAD)
    turn = (arms.conj() @ (places - centre)) / spread
    move = centre - turn * middle
    return np.array([[turn.real, -turn.imag, move.real], [turn.imag, turn.real, move.imag]])


def align_face(photo: BgrImage, landmarks: Floats, side: int) -> BgrImage:
    """The face turned upright, uint8 (side, side, 3); black where the photo ends."""
    import cv2  # heavy: only where faces are looked for

    crop = cv2.warpAffine(photo, estimate_alignment(landmarks, side), (side, side))
    return np.asarray(crop, np.uint8)


def _read_complex(points: npt.NDArray[np.float64]) -> npt.NDArray[np.complex128]:
    """Points (N, 2) as complex numbers x + iy."""
    return points[:, 0] + 1j * points[:, 1]
