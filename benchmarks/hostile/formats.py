"""Every format that Pillow writes, under right and wrong extensions; every shape and colour."""

from collections.abc import Iterator
from time import gmtime

import numpy as np
from PIL import Image

from benchmarks.hostile.files import HostileFile, encode, make_png, read_portrait

# Format -> its extension, and the mode it takes.
FORMATS = {
    "JPEG": ("jpg", "RGB"),
    "PNG": ("png", "RGB"),
    "WEBP": ("webp", "RGB"),
    "GIF": ("gif", "P"),
    "BMP": ("bmp", "RGB"),
    "TIFF": ("tiff", "RGB"),
    "ICO": ("ico", "RGB"),
    "PPM": ("ppm", "RGB"),
    "JPEG2000": ("jp2", "RGB"),
    "TGA": ("tga", "RGB"),
    "PDF": ("pdf", "RGB"),
    "AVIF": ("avif", "RGB"),
    "DDS": ("dds", "RGB"),
    "DIB": ("dib", "RGB"),
    "EPS": ("eps", "RGB"),
    "ICNS": ("icns", "RGB"),
    "MPO": ("mpo", "RGB"),
    "MSP": ("msp", "1"),
    "PCX": ("pcx", "RGB"),
    "QOI": ("qoi", "RGB"),
    "SGI": ("sgi", "RGB"),
    "SPIDER": ("spider", "F"),
    "XBM": ("xbm", "1"),
}
# A PDF would hold the time of its making, and the corpus must be the same every time.
OPTIONS = {"PDF": {"creationDate": gmtime(0), "modDate": gmtime(0)}}
ACCEPTED = ("jpg", "png", "webp")


def list_formats() -> Iterator[HostileFile]:
    """The content decides: what browsers show is a photo under any name, the others under none."""
    for file_format, (extension, mode) in FORMATS.items():
        content = encode(read_portrait().convert(mode), file_format, **OPTIONS.get(file_format, {}))
        for suffix in dict.fromkeys((extension, *ACCEPTED)):
            right = "right extension" if suffix == extension else "wrong extension"
            yield HostileFile(right, f"formats/{file_format.lower()}.{suffix}", content)


def list_colours() -> Iterator[HostileFile]:
    """Ways to store a colour that a careless decoder gets wrong."""
    portrait = read_portrait()
    grey = np.asarray(portrait.convert("L"))
    deep = (np.asarray(portrait).astype(">u2") * 257).reshape(len(grey), -1)
    alpha = portrait.copy()
    alpha.putalpha(portrait.convert("L"))
    palette = portrait.quantize(64)
    lines = b"".join(b"\0" + row.tobytes() for row in deep)
    wide, high = portrait.size
    contents = {
        "grey16.png": encode(Image.fromarray(grey.astype(np.uint16) * 257), "PNG"),
        "rgb16.png": make_png(wide, high, lines, depth=16),
        "cmyk.jpg": encode(portrait.convert("CMYK"), "JPEG"),
        "ycck.jpg": _mark_as_ycck(encode(portrait.convert("CMYK"), "JPEG")),
        "grey.jpg": encode(portrait.convert("L"), "JPEG"),
        "grey.png": encode(portrait.convert("L"), "PNG"),
        "grey_alpha.png": encode(alpha.convert("LA"), "PNG"),
        "alpha.png": encode(alpha, "PNG"),
        "alpha.webp": encode(alpha, "WEBP"),
        "palette.png": encode(palette, "PNG"),
        "palette_transparent.png": encode(palette, "PNG", transparency=0),
        "palette_alphas.png": encode(palette, "PNG", transparency=bytes(range(64))),
        "one_bit.png": encode(portrait.convert("1"), "PNG"),
        "lossless.webp": encode(portrait, "WEBP", lossless=True),
    }
    return (HostileFile("colours", f"colours/{name}", body) for name, body in contents.items())


def _mark_as_ycck(jpeg: bytes) -> bytes:
    """Adobe's note of a CMYK JPEG changed to say YCCK."""
    place = jpeg.index(b"Adobe") + 11
    return jpeg[:place] + b"\x02" + jpeg[place + 1 :]


SHAPES = ((1, 1), (2, 1), (1, 20_000), (20_000, 1), (65_500, 1), (65_500, 3), (3, 65_500))


def list_shapes() -> Iterator[HostileFile]:
    """Pictures of one pixel, and strips."""
    for width, height in SHAPES:
        picture = Image.new("RGB", (width, height), (200, 150, 120))
        for suffix, file_format in (("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")):
            if suffix == "webp" and max(width, height) > 16_383:
                continue  # the format knows no larger side
            name = f"shapes/{width}x{height}.{suffix}"
            yield HostileFile("shapes", name, encode(picture, file_format))


def list_animations() -> Iterator[HostileFile]:
    """A few frames; of each the first is what is looked at. A GIF is no photo."""
    frames = [read_portrait().rotate(90 * turn) for turn in range(4)]
    options = {"save_all": True, "append_images": frames[1:]}
    for suffix, file_format in (("png", "PNG"), ("webp", "WEBP"), ("jpg", "GIF"), ("gif", "GIF")):
        name = f"animations/{file_format.lower()}.{suffix}"
        yield HostileFile("animations", name, encode(frames[0], file_format, **options))
