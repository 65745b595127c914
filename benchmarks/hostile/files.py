"""Builders of pictures as files, and of the parts of such files."""

import random
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import skimage
from PIL import Image

SIDE = 320  # of the ordinary picture


@dataclass(frozen=True)
class HostileFile:
    """One file of the corpus. `name` is its key under the event's previews."""

    kind: str
    name: str
    content: bytes


@lru_cache(maxsize=1)
def read_portrait() -> Image.Image:
    """An ordinary picture with one face, from what scikit-image carries."""
    with Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png") as image:
        return image.convert("RGB").resize((SIDE, SIDE))


def encode(image: Image.Image, file_format: str, **options: object) -> bytes:
    """The picture as a file."""
    buffer = BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


@lru_cache(maxsize=1)
def encode_accepted() -> dict[str, bytes]:
    """The portrait in each form that a preview may have, by its extension and a word."""
    portrait = read_portrait()
    return {
        "baseline.jpg": encode(portrait, "JPEG", quality=85),
        "progressive.jpg": encode(portrait, "JPEG", quality=85, progressive=True),
        "plain.png": encode(portrait.resize((160, 160)), "PNG"),
        "lossy.webp": encode(portrait, "WEBP", quality=80),
    }


def make_noise(chance: random.Random, size: int) -> bytes:
    """Bytes without any pattern."""
    return chance.randbytes(size)


def make_chunk(kind: bytes, body: bytes = b"") -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def make_png(width: int, height: int, lines: bytes, *, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG as Pillow would not write it; `lines` each begin with their filter, a zero."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(make_chunk(*chunk) for chunk in chunks)


def insert_chunks(png: bytes, chunks: bytes) -> bytes:
    """The PNG with chunks between its header and its pixels."""
    return png[:33] + chunks + png[33:]


def make_segment(marker: int, body: bytes) -> bytes:
    """A segment of a JPEG."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def insert_segments(jpeg: bytes, segments: bytes) -> bytes:
    """The JPEG with segments in front of all others."""
    return jpeg[:2] + segments + jpeg[2:]


def claim_jpeg_size(jpeg: bytes, width: int, height: int) -> bytes:
    """The JPEG with another size in its frame header."""
    start = max(jpeg.find(marker) for marker in (b"\xff\xc0", b"\xff\xc2")) + 5
    return jpeg[:start] + struct.pack(">HH", height, width) + jpeg[start + 4 :]


def make_webp(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP of these chunks."""
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
        for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def claim_webp_canvas(width: int, height: int) -> tuple[bytes, bytes]:
    """A WebP's chunk that says how large its canvas is."""
    sides = b"".join((side - 1).to_bytes(3, "little") for side in (width, height))
    return b"VP8X", bytes(4) + sides
