"""HEIC, AVIF, TIFF and RAW files: whole, damaged, cut off, and built to be too large."""

import random
import struct
from collections.abc import Iterator
from functools import lru_cache

import pillow_heif
from PIL import Image

from benchmarks.hostile.files import HostileFile, encode, read_portrait
from tests.support import camera_files

DAMAGED, CUTS = 8, 6
RAW = ("cr2", "nef", "arw", "dng", "raf", "orf", "rw2", "pef")
FAST = {"preset": "ultrafast"}  # of the HEIC encoder


@lru_cache(maxsize=1)
def encode_cameras() -> dict[str, bytes]:
    """The portrait in each form. A RAW file's JPEG must be large enough to be used."""
    portrait = read_portrait()
    jpeg = encode(portrait.resize((640, 640)), "JPEG", quality=85)
    raw = {f"whole.{name}": getattr(camera_files, f"build_{name}")(jpeg, 6) for name in RAW}
    pillow_heif.register_heif_opener()
    return {
        "whole.heic": encode(portrait, "HEIF", quality=70, enc_params=FAST),
        "alpha.heic": encode(portrait.convert("RGBA"), "HEIF", quality=70, enc_params=FAST),
        "whole.avif": encode(portrait, "AVIF", quality=70),
        "lzw.tif": encode(portrait, "TIFF", compression="tiff_lzw"),
        "jpeg.tif": encode(portrait, "TIFF", compression="jpeg"),
        "raw.tif": encode(portrait, "TIFF"),
        "big.tif": encode(portrait, "TIFF", big_tiff=True),
        **raw,
    }


def list_cameras() -> Iterator[HostileFile]:
    """Each form as it is, under a photo's name: only AVIF is one that a browser shows."""
    for name, content in encode_cameras().items():
        yield HostileFile("camera files", f"cameras/{name}.jpg", content)
        yield HostileFile("camera files", f"cameras/{name}", content)


def list_damaged_cameras(chance: random.Random) -> Iterator[HostileFile]:
    """Bytes changed in the head and elsewhere, and ends missing."""
    for name, content in encode_cameras().items():
        for number in range(DAMAGED):
            damaged = bytearray(content)
            reach = min(len(content), 2_000) if number % 2 else len(content)
            for _ in range(chance.choice((1, 3, 10, 100))):
                damaged[chance.randrange(reach)] = chance.randrange(256)
            yield HostileFile(
                "damaged camera files", f"cameras/{number}_{name}.jpg", bytes(damaged)
            )
        for number in range(CUTS):
            cut = chance.randrange(20, 3_000) if number % 2 else chance.randrange(len(content))
            yield HostileFile(
                "damaged camera files", f"cameras/cut_{number}_{name}.jpg", content[:cut]
            )


def list_camera_bombs() -> Iterator[HostileFile]:
    """Claims, the same bytes named over and over, directories in circles, pictures in pictures."""
    cameras = encode_cameras()
    tags = {camera_files.WIDTH: 64, camera_files.HEIGHT: 64, camera_files.COMPRESSION: 5}
    circle = bytearray(camera_files.build_tiff([tags]))
    struct.pack_into("<I", circle, len(circle) - 4, 8)
    nested = cameras["whole.nef"]
    for _ in range(3):
        nested = camera_files.build_nef(nested)
    contents = {
        "pixels.tif": encode(Image.new("1", (30_000, 30_000)), "TIFF", compression="group4"),
        "claim.tif": camera_files.build_tiff(
            [tags | {camera_files.WIDTH: [60_000], camera_files.HEIGHT: [60_000]}]
        ),
        "tiles.tif": camera_files.build_tiff([tags | {322: 60_000, 323: 60_000, 324: 8, 325: 9}]),
        "strips.tif": camera_files.build_tiff([tags | {324: [0] * 5_000_000}]),
        "aliases.tif": _name_again_and_again(5_000_000),
        "circle.tif": bytes(circle),
        "items.heic": _list_items_again(cameras["whole.heic"] + bytes(5_000_000)),
        "claim.heic": _claim_size(cameras["whole.heic"], 60_000, 60_000),
        "small_claim.heic": _claim_size(cameras["whole.heic"], 8, 8),
        "claim.avif": _claim_size(cameras["whole.avif"], 16_000, 16_000),
        "small_claim.avif": _claim_size(cameras["whole.avif"], 8, 8),
        "nested.nef": nested,
        "large.nef": camera_files.build_nef(
            encode(Image.new("L", (9_000, 6_000)), "JPEG", progressive=True)
        ),
    }
    for name, content in contents.items():
        yield HostileFile("bomb: camera files", f"cameras/bombs/{name}.jpg", content)


def _claim_size(content: bytes, width: int, height: int) -> bytes:
    """A HEIC or AVIF with another size in its properties."""
    start = content.index(b"ispe") + 8
    return content[:start] + struct.pack(">II", width, height) + content[start + 8 :]


def _name_again_and_again(size: int) -> bytes:
    """A TIFF of which sixty tags each name all of its bytes."""
    entries = [(256, 4, 1, 64), (257, 4, 1, 64), *((tag, 7, size, 8) for tag in range(700, 760))]
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + size) + bytes(size) + directory


def _list_items_again(content: bytes) -> bytes:
    """A HEIC whose table names the same five megabytes as a thousand items."""
    place = content.index(b"iloc") - 4
    box = bytes((0, 0, 0, 0, 0x44, 0)) + struct.pack(">H", 1_000)
    box += b"".join(struct.pack(">HHHII", number, 0, 1, 0, 5_000_000) for number in range(1_000))
    head = content[:place] + struct.pack(">I4s", len(box) + 8, b"iloc") + box
    meta = head.index(b"meta") - 4
    head = head[:meta] + struct.pack(">I", len(head) - meta) + head[meta + 4 :]
    return head + content[-5_000_000:]
