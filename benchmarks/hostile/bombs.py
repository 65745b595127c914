"""Files that claim huge dimensions, or become huge when decoded."""

import struct
import zlib
from collections.abc import Iterator

from PIL import Image

from benchmarks.hostile.files import (
    HostileFile,
    claim_jpeg_size,
    claim_webp_canvas,
    encode,
    encode_accepted,
    insert_chunks,
    insert_segments,
    make_chunk,
    make_png,
    make_segment,
    make_webp,
)

LARGE = (7_000, 7_000)  # 49 megapixels: just within the usual limit
HUGE = (9_000, 6_000)  # 54 megapixels: just beyond
FRAMES = 3_000
MIB = 1024 * 1024


def list_claims() -> Iterator[HostileFile]:
    """Headers that claim a size no pixel follows."""
    photos = encode_accepted()
    frame = (b"VP8L", b"\x2f" + struct.pack("<I", 0x0FFFFFFF) + bytes(40))
    lossy = bytearray(photos["lossy.webp"])
    lossy[26:30] = struct.pack("<HH", 16_383, 16_383)
    contents = {
        "baseline.jpg": claim_jpeg_size(photos["baseline.jpg"], 65_500, 65_500),
        "progressive.jpg": claim_jpeg_size(photos["progressive.jpg"], 65_500, 65_500),
        "no_height.jpg": claim_jpeg_size(photos["baseline.jpg"], 320, 0),
        "wide.png": make_png(2**31 - 1, 1, b""),
        "square.png": make_png(100_000, 100_000, b""),
        "nothing.png": make_png(0, 0, b""),
        "canvas.webp": make_webp(claim_webp_canvas(16_384, 16_384), frame),
        "canvas_24_bit.webp": make_webp(claim_webp_canvas(2**24, 200), frame),
        "lossless.webp": make_webp(frame),
        "lossy.webp": bytes(lossy),
    }
    for name, content in contents.items():
        yield HostileFile("bomb: claimed pixels", f"claims/{name}", content)


def list_pixel_bombs() -> Iterator[HostileFile]:
    """Real pixels, eight times the limit, in 50 kB."""
    lines = b"\0" * (20_000 // 8 + 1) * 20_000
    yield HostileFile("bomb: real pixels", "pixels/400_megapixels.png", _make_bits(lines))


def list_large_pictures() -> Iterator[HostileFile]:
    """Real pixels a little beyond the limit, and just within it: these are decoded."""
    for size, word in ((HUGE, "beyond"), (LARGE, "within")):
        grey, colour = Image.new("L", size, 128), Image.new("RGB", size, (200, 150, 120))
        turned = Image.Exif()
        turned[0x0112] = 6
        contents = {
            "grey.jpg": encode(grey, "JPEG"),
            "turned.jpg": encode(colour, "JPEG", exif=turned),
            "progressive_cmyk.jpg": encode(colour.convert("CMYK"), "JPEG", progressive=True),
            "grey.png": encode(grey, "PNG", compress_level=1),
            "grey16.png": encode(Image.new("I;16", size, 30_000), "PNG", compress_level=1),
            "alpha.png": encode(colour.convert("RGBA"), "PNG", compress_level=1),
            "flat.webp": encode(colour, "WEBP", lossless=True, method=0, quality=0),
        }
        for name, content in contents.items():
            yield HostileFile("bomb: real pixels", f"pixels/{word}_{name}", content)


def _make_bits(lines: bytes) -> bytes:
    return make_png(20_000, 20_000, lines, depth=1, colour=0)


def list_scan_bombs() -> Iterator[HostileFile]:
    """Progressive JPEGs of one picture refined over and over, and segments without number."""
    large = encode(Image.new("L", LARGE, 128), "JPEG", progressive=True)
    start = large.rindex(b"\xff\xda")
    scan = large[start:-2]
    for count in (20, 500, 200_000):
        content = large[:start] + scan * count + b"\xff\xd9"
        yield HostileFile("bomb: scans", f"scans/{count}.jpg", content)
    plain = encode(Image.new("L", LARGE, 128), "JPEG")
    start = plain.rindex(b"\xff\xda")
    empty_scan = plain[start : start + 10]
    content = plain[:start] + empty_scan * 100_000 + b"\xff\xd9"
    yield HostileFile("bomb: scans", "scans/baseline.jpg", content)
    comments = make_segment(0xFE, b"") * 3_000_000
    content = insert_segments(encode_accepted()["baseline.jpg"], comments)
    yield HostileFile("bomb: scans", "scans/comments.jpg", content)


def list_chunk_bombs() -> Iterator[HostileFile]:
    """Compressed notes of a PNG that inflate a thousandfold, and chunks without number."""
    png = encode_accepted()["plain.png"]
    packed = zlib.compress(bytes(MIB), 9)
    large = zlib.compress(bytes(200 * MIB), 9)
    text = b"".join(make_chunk(b"zTXt", b"k%d\0\0" % i + packed) for i in range(100))
    contents = {
        "texts.png": text,
        "text.png": make_chunk(b"zTXt", b"k\0\0" + large),
        "exif_text.png": make_chunk(b"zTXt", b"Raw profile type exif\0\0" + large),
        "xmp.png": make_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + large),
        "profile.png": make_chunk(b"iCCP", b"p\0\0" + large),
        "empty_chunks.png": make_chunk(b"prVt") * 1_500_000,
        "empty_pixels.png": make_chunk(b"IDAT") * 1_000_000,
    }
    for name, chunks in contents.items():
        yield HostileFile("bomb: chunks", f"chunks/{name}", insert_chunks(png, chunks))


def list_frame_bombs() -> Iterator[HostileFile]:
    """Animations of thousands of frames."""
    frames = [Image.new("RGB", (64, 64), (i % 256, i // 256, 7)) for i in range(FRAMES)]
    options = {"save_all": True, "append_images": frames[1:]}
    for suffix, file_format in (("png", "PNG"), ("webp", "WEBP")):
        content = encode(frames[0], file_format, **options)
        yield HostileFile("bomb: frames", f"frames/{FRAMES}.{suffix}", content)
