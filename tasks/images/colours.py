"""Colours of previews: every picture becomes sRGB on white.

littlecms converts by the file's ICC profile, or by what EXIF or a PNG's chunks say of its colours.
A profile that is damaged, too large or of another colour model counts as none: it never costs the
photo. CMYK without a profile is converted by its complements, as browsers do.
"""

import logging
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from tasks.images.exif import PhotoNotes
from tasks.images.heif import _list_boxes

logger = logging.getLogger(__name__)

# Cameras' have 600 bytes to 4 kB, a printing press's up to 3 MB.
MAX_PROFILE_BYTES = 4_000_000
_WITH_ALPHA = frozenset({"LA", "RGBA"})
_SIMPLE = {"1": "L", "P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA"}
_STRIP_PIXELS = 1_000_000
# TIFF's tags and values of deep greys
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_WHITE_IS_ZERO, _SIGNED = 0, 2
# A profile's colour model -> the modes that it can be applied to, and what they become for it.
_MODELS = {
    "RGB": {"RGB": "RGB", "L": "RGB"},
    "GRAY": {"L": "L"},
    "CMYK": {"CMYK": "CMYK"},
    "Lab": {"LAB": "LAB"},
}

# Profiles that files name instead of carrying them

Points = tuple[tuple[float, float], ...]  # CIE x, y of white, red, green and blue
_D65 = (0.3127, 0.3290)
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_D50 = np.array([0.9642, 1.0, 0.8249])


@dataclass(frozen=True)
class Curve:
    """From a stored value x to light: (a x + b)^gamma from x = d on, c x below; ICC's `para` 3."""

    gamma: float
    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0


SRGB_CURVE = Curve(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_VIDEO_CURVE = Curve(1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
SRGB_POINTS: Points = (_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
_P3_POINTS: Points = (_D65, (0.68, 0.32), (0.265, 0.69), (0.15, 0.06))
_REC2020_POINTS: Points = (_D65, (0.708, 0.292), (0.17, 0.797), (0.131, 0.046))
_ADOBE_POINTS: Points = (_D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
_ADOBE_CURVE = Curve(563 / 256)
# Code points of ITU-T H.273. Those of HDR are left out: their pictures need more than a profile.
_CODED_POINTS = {1: SRGB_POINTS, 9: _REC2020_POINTS, 12: _P3_POINTS}
_CODED_CURVES = {
    **dict.fromkeys((1, 6, 14, 15), _VIDEO_CURVE),
    4: Curve(2.2), 5: Curve(2.8), 8: Curve(1.0), 13: SRGB_CURVE,
}  # fmt: skip

_CODED_SRGB = (1, 13)  # what encoders write that were told nothing: EXIF may know better


def simplify(image: Image.Image) -> Image.Image:
    """The picture with eight bits a channel as L, LA, RGB, RGBA, CMYK or LAB.

    Every step is a copy, so none is made that changes nothing.
    """
    key = image.info.get("transparency")
    if image.mode.startswith("I") or image.mode == "F":
        return _simplify_deep_grey(image, key)
    if key is not None and image.mode in {"1", "L", "RGB", "P"}:
        if isinstance(key, tuple):  # of a picture with 16 bits a channel
            image.info["transparency"] = tuple(k >> 8 if max(key) > 255 else k for k in key)
        return image.convert("LA" if image.mode in {"1", "L"} else "RGBA")
    if image.mode in {"P", "PA"} and image.palette is not None and "A" in image.palette.mode:
        return image.convert("RGBA")
    if image.mode in {"L", "CMYK", "LAB", "RGB", *_WITH_ALPHA}:
        return image
    return image.convert(_SIMPLE.get(image.mode, "RGB"))


def put_on_white(image: Image.Image) -> Image.Image:
    """A simple picture as RGB, white behind what is transparent; no profile is asked."""
    if image.mode == "RGB":
        return image
    if image.mode == "LAB":  # Pillow knows no way from it
        image = _apply_profile(image, _write_lab_profile()) or image
    opaque = image.convert("RGB")
    if image.mode in _WITH_ALPHA:
        alpha = image.getchannel("A")
        if alpha.getextrema() != (255, 255):
            white = Image.new("RGB", image.size, "white")
            white.paste(opaque, mask=alpha)
            return white
    return opaque


def convert_to_srgb(image: Image.Image, profiles: Sequence[bytes]) -> Image.Image:
    """A simple picture as sRGB on white, by the first of its profiles that can be used."""
    base = image.convert(image.mode[:-1]) if image.mode in _WITH_ALPHA else image
    for profile in profiles:
        converted = _apply_profile(base, profile)
        if converted is not None:
            base = converted
            break
    if image.mode in _WITH_ALPHA:
        base = base.convert("RGB")
        base.putalpha(image.getchannel("A"))
    return put_on_white(base)


def list_profiles(mode: str, notes: PhotoNotes) -> list[bytes]:
    """The profiles of a simple picture, the surest first: its own, then what EXIF names."""
    profiles = [notes.profile] if notes.profile else []
    if mode in {"RGB", "RGBA"} and notes.is_adobe_rgb:
        profiles.append(build_adobe_profile())
    return profiles


def build_profile(points: Points, curve: Curve) -> bytes | None:
    """An ICC profile of an RGB space by its primaries and curve; None for what can be no space."""
    try:
        white, *primaries = (np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in points)
        columns = np.array(primaries).T
        cones = _BRADFORD @ white
        adapt = np.linalg.inv(_BRADFORD) @ np.diag(_BRADFORD @ _D50 / cones) @ _BRADFORD
        matrix = adapt @ columns @ np.diag(np.linalg.solve(columns, white))
        bodies = [b"XYZ \0\0\0\0" + _pack_fixed(*column) for column in matrix.T]
        numbers = (curve.gamma, curve.a, curve.b, curve.c, curve.d)
        bodies += [b"para\0\0\0\0\0\3\0\0" + _pack_fixed(*numbers)]
    except (ArithmeticError, np.linalg.LinAlgError, struct.error, ValueError):
        return None
    return _write_profile(bodies)


def build_coded_profile(primaries: int, transfer: int) -> bytes | None:
    """The profile that H.273's code points stand for, as PNG's cICP has them."""
    points, curve = _CODED_POINTS.get(primaries), _CODED_CURVES.get(transfer)
    return build_profile(points, curve) if points and curve else None


def read_coded_profile(image: Image.Image, content: bytes) -> bytes:
    """The profile that a HEIC or an AVIF names by code points, as some phones do; or empty."""
    coded = image.info.get("nclx_profile") or {}
    primaries, transfer = coded.get("color_primaries"), coded.get("transfer_characteristics")
    if image.format == "AVIF":
        primaries, transfer = _find_code_points(content)
    if not isinstance(primaries, int) or not isinstance(transfer, int):
        return b""
    if (primaries, transfer) == _CODED_SRGB:
        return b""
    return build_coded_profile(primaries, transfer) or b""


def _find_code_points(content: bytes) -> tuple[int, int] | tuple[None, None]:
    """Primaries and transfer of an AVIF's first box of code points, which Pillow does not tell."""
    place, end = 0, len(content)
    try:
        for name, head in ((b"meta", 4), (b"iprp", 0), (b"ipco", 0)):
            boxes = _list_boxes(content, place, end)
            place, end = next((first + head, last) for kind, first, last in boxes if kind == name)
        for kind, first, _ in _list_boxes(content, place, end):
            if kind == b"colr" and content[first : first + 4] == b"nclx":
                return struct.unpack_from(">HH", content, first + 4)
    except (StopIteration, struct.error):
        pass  # there is none, or the file ends before it
    return None, None


@lru_cache(maxsize=1)
def build_adobe_profile() -> bytes:
    """Adobe RGB (1998), which cameras name in EXIF and do not write as a profile."""
    return build_profile(_ADOBE_POINTS, _ADOBE_CURVE) or b""


def _write_profile(bodies: list[bytes]) -> bytes:
    """A version 4 profile of these: red, green and blue, and the curve that they share."""
    names = (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC", b"wtpt")
    white = b"XYZ \0\0\0\0" + _pack_fixed(*_D50)
    data, places = b"", []
    start = 128 + 4 + 12 * len(names)
    for body in (*bodies, white):
        places.append((start + len(data), len(body)))
        data += body
    order = (0, 1, 2, 3, 3, 3, 4)
    table = struct.pack(">I", len(names))
    table += b"".join(n + struct.pack(">II", *places[i]) for n, i in zip(names, order, strict=True))
    head = struct.pack(">I4xI", start + len(data), 0x0430_0000) + b"mntrRGB XYZ "
    head += struct.pack(">6H4s28x", 2026, 1, 1, 0, 0, 0, b"acsp")
    return (head + _pack_fixed(*_D50)).ljust(128, b"\0") + table + data


def _pack_fixed(*numbers: float) -> bytes:
    """ICC's s15Fixed16 numbers."""
    return struct.pack(f">{len(numbers)}i", *(round(float(number) * 65536) for number in numbers))


@lru_cache(maxsize=1)
def _write_lab_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The picture as sRGB; None where the profile cannot be used."""
    found = _build_transform(profile, image.mode) if len(profile) <= MAX_PROFILE_BYTES else None
    if found is None:
        return None
    mode, transform = found
    try:
        return transform.apply(image if image.mode == mode else image.convert(mode))
    except (OSError, ValueError, ImageCms.PyCMSError) as error:
        logger.debug("A colour profile was not applied: %s", type(error).__name__)
        return None


# A wedding's photos have the same few profiles, and a press's takes 0.1 s to prepare.
@lru_cache(maxsize=8)
def _build_transform(profile: bytes, mode: str) -> tuple[str, ImageCms.ImageCmsTransform] | None:
    """What turns a mode's pictures into sRGB, and the mode it takes; None for a useless profile."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        taken = _MODELS.get(source.profile.xcolor_space.strip(), {}).get(mode)
        if taken is None:
            return None
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        return taken, ImageCms.ImageCmsTransform(source, srgb, taken, "RGB")
    except (OSError, TypeError, ValueError, ImageCms.PyCMSError) as error:
        logger.debug("A colour profile was left out: %s", type(error).__name__)
        return None


def _simplify_deep_grey(image: Image.Image, key: object) -> Image.Image:
    """Eight bits of 12, 16, 32 or a float; Pillow's own conversion would clip them to white."""
    tags = getattr(image, "tag_v2", {})  # a TIFF's
    grey = np.empty(image.size[::-1], np.uint8)
    alpha = np.empty_like(grey) if isinstance(key, int) else None
    brightest = 0.0
    if image.mode == "F":
        brightest = max(float(np.nan_to_num(deep).max()) for _, deep in _list_strips(image))
    for rows, deep in _list_strips(image):
        if image.mode == "F":
            light = np.nan_to_num(deep) * (1 if brightest > 1 else 255)
            grey[rows] = light.clip(0, 255)
        else:
            grey[rows] = _take_high_byte(deep, tags)
        if alpha is not None:
            alpha[rows] = np.where(deep == key, 0, 255)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # Pillow inverts eight bits only
        np.subtract(255, grey, out=grey)
    simple = Image.fromarray(grey)
    if alpha is not None:
        simple.putalpha(Image.fromarray(alpha))
    return simple


def _list_strips(image: Image.Image) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
    """Rows and their values: the whole picture's would take 20 bytes a pixel on the way."""
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        end = min(top + rows, height)
        yield slice(top, end), np.asarray(image.crop((0, top, width, end)))


def _take_high_byte(deep: npt.NDArray[Any], tags: Mapping[int, Any]) -> npt.NDArray[np.uint8]:
    """The upper eight bits of integers, of as many bits as a TIFF says; 16 in other formats."""
    bits = tags.get(_BITS, (16,))[0]
    if bits == 32 and tags.get(_SAMPLE_FORMAT, (1,))[0] != _SIGNED:
        deep = deep.view(np.uint32)  # Pillow takes them for signed
    high: npt.NDArray[np.uint8] = (deep >> (bits - 8)).clip(0, 255).astype(np.uint8)
    return high
