"""Photos turned, cut to a close-up and shrunk: where a known mark lies afterwards."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.accuracy.views import cut_close_up, place_close_up, shrink_face, turn_photo
from tasks.images.decode import BgrImage

BOX = np.array([80, 40, 120, 100], np.float32)


def draw_mark(height: int, width: int, x: int, y: int) -> BgrImage:
    """A black photo with a white square of 20 pixels about (x, y)."""
    photo = np.zeros((height, width, 3), np.uint8)
    photo[y - 10 : y + 10, x - 10 : x + 10] = 255
    return photo


def find_mark(photo: BgrImage) -> tuple[float, float]:
    rows, columns = np.nonzero(photo[:, :, 0] > 200)
    return float(columns.mean()), float(rows.mean())


@pytest.mark.parametrize("degrees", [0, 10, 45, 90, 180, 270])
def test_a_photo_is_turned_clockwise_about_its_middle_at_its_own_size(degrees: int) -> None:
    photo = draw_mark(200, 300, 250, 100)  # 100 pixels to the right of the middle
    turned = turn_photo(photo, degrees, 1000)
    assert turned.shape == (361, 361, 3)  # the diagonal of 200 by 300
    x, y = find_mark(turned)
    angle = np.radians(degrees)
    assert x - 180 == pytest.approx(100 * np.cos(angle), abs=2)
    assert y - 180 == pytest.approx(100 * np.sin(angle), abs=2)


def test_a_turned_photo_is_no_larger_than_a_preview() -> None:
    assert turn_photo(draw_mark(600, 640, 300, 300), 30, 640).shape == (640, 640, 3)


@settings(deadline=None)
@given(
    st.floats(0, 150), st.floats(0, 150), st.floats(10, 60), st.floats(10, 60), st.floats(0.3, 1)
)
def test_a_close_up_lies_in_the_photo_and_the_face_fills_it(
    x: float, y: float, width: float, height: float, share: float
) -> None:
    box = np.array([x, y, x + width, y + height], np.float32)
    place = place_close_up((220, 240), box, share)
    if place is None:
        assert max(width, height) / share > 219
        return
    left, top, side = place
    assert 0 <= left <= 240 - side
    assert 0 <= top <= 220 - side
    assert max(width, height) / side == pytest.approx(share, rel=0.1)


def test_a_close_up_is_as_large_as_a_preview_and_about_the_face() -> None:
    photo = draw_mark(200, 300, 100, 70)  # in the middle of the box
    close = cut_close_up(photo, BOX, 0.75, 640)
    assert close is not None
    assert close.shape == (640, 640, 3)
    assert find_mark(close) == pytest.approx((320, 320), abs=10)
    assert cut_close_up(photo, BOX * 4, 0.75, 640) is None


def test_a_smaller_face_has_the_height_that_is_asked_for() -> None:
    photo = np.zeros((200, 300, 3), np.uint8)
    photo[40:100, 80:120] = 255
    small = shrink_face(photo, BOX, 30, 640)
    assert small is not None
    assert small.shape == (640, 640, 3)
    rows = np.nonzero((small[:, :, 0] > 200).any(axis=1))[0]
    assert rows[-1] - rows[0] + 1 == pytest.approx(30, abs=2)
    assert shrink_face(photo, BOX, 61, 640) is None  # it is not that large
    assert shrink_face(photo, BOX, 60, 250) is None  # the photo would not fit
