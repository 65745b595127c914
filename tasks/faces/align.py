"""Alignment of faces: the recogniser's square, cut out so that five points lie as ArcFace's do.

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
_EYES, _NOSE = (38.2946 + 51.6963j, 73.5318 + 51.5014j), 56.0252 + 71.7366j  # x + iy
_MOUTH = (41.5493 + 92.3655j, 70.7299 + 92.2041j)
_TEMPLATE = np.array([*_EYES, _NOSE, *_MOUTH])
_CENTRE = _TEMPLATE.mean()
_ARMS = _TEMPLATE - _CENTRE
# Points that are all one have no size: anything is as good a scale.
_SMALLEST_SPREAD = 1e-12


def estimate_alignment(landmarks: Floats, side: int) -> Affine:
    """The affine (2, 3) from the photo's pixels to a square of `side`, by landmarks (5, 2)."""
    points = np.ascontiguousarray(landmarks, np.float64).view(np.complex128)[:, 0]  # x + iy
    middle = points.sum() / len(points)
    arms = points - middle
    spread = max(float(np.vdot(arms, arms).real), _SMALLEST_SPREAD)
    scale = side / TEMPLATE_SIDE
    turn = np.vdot(arms, _ARMS) * scale / spread
    move = _CENTRE * scale - turn * middle
    return np.array([[turn.real, -turn.imag, move.real], [turn.imag, turn.real, move.imag]])


def align_face(
    photo: BgrImage, landmarks: Floats, side: int, square: BgrImage | None = None
) -> BgrImage:
    """The face turned upright, uint8 (side, side, 3), black where the photo ends.

    square: where to draw it, if it is there.
    """
    import cv2  # heavy: only where faces are looked for

    affine = estimate_alignment(landmarks, side)
    return np.asarray(cv2.warpAffine(photo, affine, (side, side), dst=square), np.uint8)
