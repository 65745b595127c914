"""Malformed EXIF (circular, oversized, noise) and broken colour profiles."""

import random
import struct
from collections.abc import Iterator

from benchmarks.hostile.files import (
    HostileFile,
    encode,
    encode_accepted,
    insert_chunks,
    insert_segments,
    make_chunk,
    make_noise,
    make_segment,
    read_portrait,
)

ORIENTATION = 0x0112
EXIF_POINTER = 0x8769
SHORT, LONG, ASCII, BYTE = 3, 4, 2, 1
MOST = 65_000  # a JPEG's segment holds a little more


def make_tiff(*entries: tuple[int, int, int, int], next_directory: int = 0) -> bytes:
    """EXIF with one directory; an entry is tag, type, count, and value or place."""
    rows = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    count = struct.pack("<H", len(entries))
    return b"II*\0\x08\0\0\0" + count + rows + struct.pack("<I", next_directory)


def make_exifs(chance: random.Random) -> dict[str, bytes]:
    """Mad EXIF by a word for each."""
    turned = (ORIENTATION, SHORT, 1, 6)
    whole = make_tiff(turned, (0x010F, ASCII, 20, 26)) + b"A camera's own name"
    amplified = make_tiff(*((1000 + i, BYTE, MOST, 0) for i in range(5_000)))
    return {
        "orientation_0": make_tiff((ORIENTATION, SHORT, 1, 0)),
        "orientation_9": make_tiff((ORIENTATION, SHORT, 1, 9)),
        "orientation_65535": make_tiff((ORIENTATION, SHORT, 1, 65_535)),
        "orientation_text": make_tiff((ORIENTATION, ASCII, 4, 0x00003636)),
        "orientation_long": make_tiff((ORIENTATION, LONG, 1, 6)),
        "orientation_many": make_tiff((ORIENTATION, SHORT, 2**32 - 1, 6)),
        "circle": make_tiff(turned, (EXIF_POINTER, LONG, 1, 8), next_directory=8),
        "huge_counts": make_tiff(turned, *((i, LONG, 2**32 - 1, 8) for i in range(300, 340))),
        "beyond_the_end": make_tiff(turned, (0x010F, ASCII, 1000, 2**31)),
        "truncated": whole[:20],
        "no_directory": whole[:8],
        "amplified": amplified + bytes(MOST - len(amplified)),
        "garbage": make_noise(chance, MOST),
        "tiff_garbage": b"MM\0*\0\0\0\x08" + make_noise(chance, MOST - 8),
        "empty": b"",
    }


def list_exif(chance: random.Random) -> Iterator[HostileFile]:
    """The portrait in each format with each of them."""
    photos = encode_accepted()
    for word, exif in make_exifs(chance).items():
        segment = make_segment(0xE1, b"Exif\0\0" + exif)
        contents = {
            "jpg": insert_segments(photos["baseline.jpg"], segment),
            "png": insert_chunks(photos["plain.png"], make_chunk(b"eXIf", exif)),
            "webp": encode(read_portrait(), "WEBP", exif=exif),
        }
        for suffix, content in contents.items():
            yield HostileFile("mad EXIF", f"exif/{word}.{suffix}", content)
    jpeg = photos["baseline.jpg"]
    many = make_segment(0xE1, b"Exif\0\0" + make_noise(chance, MOST)) * 100
    yield HostileFile("mad EXIF", "exif/hundred_segments.jpg", insert_segments(jpeg, many))
    index = make_tiff(*((0xB000 + i, BYTE, MOST, 0) for i in range(5_000)))
    pictures = make_segment(0xE2, b"MPF\0" + index + bytes(MOST - len(index)))
    yield HostileFile("mad EXIF", "exif/several_pictures.jpg", insert_segments(jpeg, pictures))


def list_profiles(chance: random.Random) -> Iterator[HostileFile]:
    """Colour profiles that are none."""
    profiles = {
        "noise": make_noise(chance, 3_000),
        "short": b"\0\0\0\x80",
        "claims_4_gb": b"\xff\xff\xff\xff" + make_noise(chance, 200),
        "large": make_noise(chance, 300_000),
    }
    for word, profile in profiles.items():
        for suffix, file_format in (("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")):
            content = encode(read_portrait(), file_format, icc_profile=profile)
            yield HostileFile("broken profile", f"profiles/{word}.{suffix}", content)
