"""RAW files as cameras write them, built by hand: the containers with a JPEG inside.

They hold what LibRaw needs to accept them, and no sensor data worth developing.
"""

import struct
from collections.abc import Mapping, Sequence

Value = int | bytes | Sequence[int] | Sequence["Directory"]
Directory = Mapping[int, Value]

# TIFF's tags
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 0x100, 0x101, 0x102, 0x103, 0x106
MAKE, MODEL, STRIP_OFFSETS, ORIENTATION = 0x10F, 0x110, 0x111, 0x112
SAMPLES, ROWS_PER_STRIP, STRIP_BYTES = 0x115, 0x116, 0x117
SUB_DIRECTORIES, JPEG_OFFSET, JPEG_BYTES = 0x14A, 0x201, 0x202
SUBFILE, CFA_DIMENSIONS, CFA_PATTERN, EXIF, MAKER_NOTE = 0xFE, 0x828D, 0x828E, 0x8769, 0x927C
DNG_VERSION, UNIQUE_MODEL = 0xC612, 0xC614
CFA = 32803
PANASONIC_OFFSET = 0x118
SENSOR = (960, 640)


def build_tiff(
    directories: Sequence[Directory], *, magic: bytes = b"II*\0", head: bytes = b""
) -> bytes:
    """A TIFF of these directories. A value of bytes under an offset's tag lies outside of them."""
    out = bytearray(magic + struct.pack("<I", 8 + len(head)) + head)
    _add_chain(out, directories)
    return bytes(out)


def _add_chain(out: bytearray, directories: Sequence[Directory]) -> list[int]:
    places = []
    for number, directory in enumerate(directories):
        places.append(len(out))
        after = _add_directory(out, directory)
        if number + 1 < len(directories):
            struct.pack_into("<I", out, after, len(out))
    return places


def _add_directory(out: bytearray, directory: Directory) -> int:
    """Append one; the place of its link to the next."""
    start = len(out)
    out += struct.pack("<H", len(directory)) + bytes(12 * len(directory) + 4)
    for number, (tag, value) in enumerate(sorted(directory.items())):
        entry = start + 2 + 12 * number
        struct.pack_into("<HHI4s", out, entry, tag, *_add_value(out, tag, value))
    return start + 2 + 12 * len(directory)


def _add_value(out: bytearray, tag: int, value: Value) -> tuple[int, int, bytes]:
    if tag in {STRIP_OFFSETS, JPEG_OFFSET, PANASONIC_OFFSET}:
        value, place = b"", _append(out, value)
        return 4, 1, struct.pack("<I", place)
    if tag in {SUB_DIRECTORIES, EXIF}:
        places = _add_chain(out, value)
        if len(places) == 1:
            return 4, 1, struct.pack("<I", places[0])
        place = _append(out, struct.pack(f"<{len(places)}I", *places))
        return 4, len(places), struct.pack("<I", place)
    if isinstance(value, bytes):
        kind = (
            2
            if tag in {MAKE, MODEL, UNIQUE_MODEL}
            else 1
            if tag in {DNG_VERSION, CFA_PATTERN}
            else 7
        )
        packed = value if len(value) <= 4 else struct.pack("<I", _append(out, value))
        return kind, len(value), packed
    if isinstance(value, int):
        return (
            (4, 1, struct.pack("<I", value)) if value > 65_535 else (3, 1, struct.pack("<H", value))
        )
    packed = struct.pack(f"<{len(value)}H", *value)
    return 3, len(value), packed if len(packed) <= 4 else struct.pack("<I", _append(out, packed))


def _append(out: bytearray, content: bytes) -> int:
    place = len(out)
    out += content
    return place


def _hold_jpeg(jpeg: bytes) -> Directory:
    return {COMPRESSION: 6, JPEG_OFFSET: jpeg, JPEG_BYTES: len(jpeg)}


def _hold_sensor(**others: Value) -> dict[int, Value]:
    width, height = SENSOR
    data = bytes(width * height * 2)
    return {
        SUBFILE: 0,
        WIDTH: width,
        HEIGHT: height,
        BITS: 16,
        COMPRESSION: 1,
        PHOTOMETRIC: CFA,
        STRIP_OFFSETS: data,
        SAMPLES: 1,
        ROWS_PER_STRIP: height,
        STRIP_BYTES: len(data),
        CFA_DIMENSIONS: [2, 2],
        CFA_PATTERN: b"\0\1\1\2",
    }


def _name(make: str, model: str, orientation: int) -> dict[int, Value]:
    return {MAKE: make.encode() + b"\0", MODEL: model.encode() + b"\0", ORIENTATION: orientation}


def build_nef(jpeg: bytes, orientation: int = 1) -> bytes:
    """Nikon: a small picture first, the JPEG and the sensor's data in sub-directories."""
    thumb = bytes(160 * 120 * 3)
    first = _name("NIKON CORPORATION", "NIKON D750", orientation) | {
        SUBFILE: 1,
        WIDTH: 160,
        HEIGHT: 120,
        BITS: [8, 8, 8],
        COMPRESSION: 1,
        PHOTOMETRIC: 2,
        STRIP_OFFSETS: thumb,
        SAMPLES: 3,
        ROWS_PER_STRIP: 120,
        STRIP_BYTES: len(thumb),
        SUB_DIRECTORIES: [_hold_jpeg(jpeg), _hold_sensor()],
    }
    return build_tiff([first])


def build_arw(jpeg: bytes, orientation: int = 1) -> bytes:
    """Sony: the JPEG in the first directory."""
    first = _name("SONY", "ILCE-7M3", orientation) | _hold_jpeg(jpeg)
    return build_tiff([first | {SUBFILE: 1, SUB_DIRECTORIES: [_hold_sensor()]}])


def build_dng(jpeg: bytes, orientation: int = 1) -> bytes:
    """Adobe and phones: the JPEG as a strip of a sub-directory."""
    preview: Directory = {
        SUBFILE: 1,
        WIDTH: 960,
        HEIGHT: 640,
        BITS: [8, 8, 8],
        COMPRESSION: 7,
        PHOTOMETRIC: 6,
        STRIP_OFFSETS: jpeg,
        SAMPLES: 3,
        ROWS_PER_STRIP: 640,
        STRIP_BYTES: len(jpeg),
    }
    first = (
        _name("Apple", "iPhone 15 Pro", orientation)
        | _hold_sensor()
        | {
            DNG_VERSION: b"\1\4\0\0",
            UNIQUE_MODEL: b"iPhone 15 Pro\0",
            SUB_DIRECTORIES: [preview],
        }
    )
    return build_tiff([first])


def build_cr2(jpeg: bytes, orientation: int = 1) -> bytes:
    """Canon: the JPEG as the first directory's strip."""
    first = _name("Canon", "Canon EOS 5D Mark III", orientation) | {
        WIDTH: 960,
        HEIGHT: 640,
        BITS: [8, 8, 8],
        COMPRESSION: 6,
        STRIP_OFFSETS: jpeg,
        STRIP_BYTES: len(jpeg),
    }
    return build_tiff([first, {}, {}, _hold_sensor()], head=b"CR\2\0\0\0\0\0")


def build_pef(jpeg: bytes, orientation: int = 1) -> bytes:
    """Pentax: the sensor's data first, the JPEG in the next directory."""
    return build_tiff(
        [_name("PENTAX", "PENTAX K-3", orientation) | _hold_sensor(), _hold_jpeg(jpeg)]
    )


def build_orf(jpeg: bytes, orientation: int = 1) -> bytes:
    """Olympus: a magic of its own, the JPEG in the maker's note."""
    first = _name("OLYMPUS CORPORATION", "E-M1MarkII", orientation) | _hold_sensor()
    return build_tiff([first, _hold_jpeg(jpeg)], magic=b"IIRO")


def build_rw2(jpeg: bytes, orientation: int = 1) -> bytes:
    """Panasonic: a magic of its own, the JPEG as a tag's value."""
    width, height = SENSOR
    data = bytes(width * height * 2)
    first = _name("Panasonic", "DMC-GX8", orientation) | {
        1: b"0310",
        2: width,
        3: height,
        4: 0,
        5: 0,
        6: height,
        7: width,
        9: 1,
        10: 12,
        46: jpeg,
        PANASONIC_OFFSET: data,
    }
    return build_tiff([first], magic=b"IIU\0")


def build_raf(jpeg: bytes, orientation: int = 1) -> bytes:
    """Fujifilm: a head that says where the JPEG lies; its EXIF names the camera."""
    exif = build_tiff([_name("FUJIFILM", "X-T3", orientation)])
    note = b"Exif\0\0" + exif
    jpeg = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note + jpeg[2:]
    width, height = SENSOR
    start = 148
    sensor = struct.pack(">IHHHH", 1, 0x100, 4, height, width)
    data = bytes(width * height * 2)
    head = b"FUJIFILMCCD-RAW 0201FF129506" + b"X-T3".ljust(32, b"\0") + b"0100" + bytes(20)
    places = (start, len(jpeg), start + len(jpeg), len(sensor), start + len(jpeg) + len(sensor))
    head += struct.pack(">6I", *places, len(data))
    return head.ljust(start, b"\0") + jpeg + sensor + data
