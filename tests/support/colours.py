"""Pictures in other colours than sRGB, with hand-made profiles, and how far two pictures are apart.

Nothing here asks littlecms or the product for a colour, the press's table apart.
"""

import struct
from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

Floats = npt.NDArray[np.float64]
Primaries = tuple[tuple[float, float], ...]  # CIE x, y of red, green, blue and white

D50, D65 = (0.3457, 0.3585), (0.3127, 0.3290)
SRGB: Primaries = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), D65)
ADOBE: Primaries = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), D65)
P3: Primaries = ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), D65)
PROPHOTO: Primaries = ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), D50)
PRESS_GAMMA = 1.6
_GRID = 17


def measure_distance(one: Image.Image, other: Image.Image) -> float:
    """The mean CIE76 difference of two sRGB pictures; 2.3 is just seen."""
    from skimage.color import rgb2lab

    labs = [rgb2lab(np.asarray(image.convert("RGB")) / 255) for image in (one, other)]
    return float(np.linalg.norm(labs[0] - labs[1], axis=-1).mean())


def find_matrix(primaries: Primaries) -> Floats:
    """From linear RGB to XYZ under D50, by Bradford's adaptation."""
    bradford = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in (*primaries, D50)]).T
    white, d50 = columns[:, 3], columns[:, 4]
    adapt = np.linalg.inv(bradford) @ np.diag(bradford @ d50 / (bradford @ white)) @ bradford
    return np.array(adapt @ (columns[:, :3] * np.linalg.solve(columns[:, :3], white)))


def encode_colours(image: Image.Image, primaries: Primaries, gamma: float) -> Image.Image:
    """An sRGB picture's same colours, as numbers of another space."""
    stored = np.asarray(image) / 255
    light = np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)
    matrix = np.linalg.inv(find_matrix(primaries)) @ find_matrix(SRGB)
    other = (light @ matrix.T).clip(0, 1) ** (1 / gamma)
    return Image.fromarray((other * 255).round().astype(np.uint8))


def write_profile(model: bytes, tags: dict[bytes, bytes], *, kind: bytes = b"mntr") -> bytes:
    """A version 2 profile; its space of connection is Lab for a table, XYZ for curves."""
    connection = b"Lab " if b"A2B0" in tags else b"XYZ "
    start = 132 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for name, body in tags.items():
        table += name + struct.pack(">II", start + len(data), len(body))
        data += body + b"\0" * (-len(body) % 4)
    head = struct.pack(">I4xI", start + len(data), 0x0240_0000) + kind + model + connection
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _write_xyz(D50)[8:]
    return head.ljust(128, b"\0") + table + data


def write_rgb_profile(primaries: Primaries, gamma: float) -> bytes:
    """A matrix profile, as cameras and converters embed them."""
    columns = find_matrix(primaries).T
    tags = {b"wtpt": _write_xyz(D50)}
    for name, column in zip((b"r", b"g", b"b"), columns, strict=True):
        tags[name + b"XYZ"] = b"XYZ \0\0\0\0" + struct.pack(
            ">3i", *(column * 65536).round().astype(int)
        )
        tags[name + b"TRC"] = _write_gamma(gamma)
    return write_profile(b"RGB ", tags)


def write_grey_profile(gamma: float) -> bytes:
    """A profile of greys."""
    return write_profile(b"GRAY", {b"wtpt": _write_xyz(D50), b"kTRC": _write_gamma(gamma)})


def print_colours(image: Image.Image) -> Image.Image:
    """An sRGB picture as CMYK of a press that prints heavier than its numbers, without black."""
    inks = 1 - (np.asarray(image) / 255) ** (1 / PRESS_GAMMA)
    channels = np.dstack([inks * 255, np.zeros(inks.shape[:2])]).round().astype(np.uint8)
    return Image.frombuffer("CMYK", image.size, channels.tobytes())


@lru_cache(maxsize=1)
def write_press_profile() -> bytes:
    """That press's profile: a table of 250 kB, which a JPEG carries in several segments."""
    steps = np.array(list(product(np.linspace(0, 1, _GRID), repeat=4)))
    shown = ((1 - steps[:, :3]) ** PRESS_GAMMA) * (1 - steps[:, 3:])
    picture = Image.fromarray((shown * 255).round().astype(np.uint8)[None])
    profiles = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
    lab = ImageCms.profileToProfile(picture, *profiles, outputMode="LAB")
    assert lab is not None
    straight = bytes(range(256))
    identity = struct.pack(">9i", *(np.eye(3).ravel() * 65536).astype(int))
    body = b"mft1\0\0\0\0" + bytes((4, 3, _GRID, 0)) + identity + straight * 4
    # Pillow hands a and b over with a sign; a profile's have 128 added.
    body += (np.asarray(lab) ^ np.array([0, 128, 128], np.uint8)).tobytes() + straight * 3
    return write_profile(b"CMYK", {b"A2B0": body, b"wtpt": _write_xyz(D50)}, kind=b"prtr")


def _write_xyz(white: tuple[float, float]) -> bytes:
    x, y = white
    values = (x / y, 1, (1 - x - y) / y)
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def _write_gamma(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH2x", 1, round(gamma * 256))
