"""Colours of previews: sRGB on white, within a mean difference that is hardly seen."""

import struct
import tracemalloc
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pillow_heif
import pytest
from PIL import Image, ImageCms, ImageFilter

from models.errors import PhotoUnavailableError
from tasks.images import colours, raw
from tasks.images.decode import decode_photo
from tasks.images.exif import PhotoNotes
from tasks.images.preview import PreviewRecipe, make_preview
from tests.support import camera_files
from tests.support.colours import (
    ADOBE,
    P3,
    PROPHOTO,
    SRGB,
    encode_colours,
    measure_distance,
    print_colours,
    write_grey_profile,
    write_press_profile,
    write_rgb_profile,
)
from tests.support.photos import read_sample

LARGEST_DISTANCE = 3.0
# Softened: of fine details a preview's JPEG alone would take most of the distance.
PHOTO = read_sample("astronaut.png").resize((320, 320)).filter(ImageFilter.GaussianBlur(1))
GREY = PHOTO.convert("L")
ADOBE_GAMMA = 563 / 256


def encode(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    if kind == "HEIF":
        pillow_heif.register_heif_opener()
    buffer = BytesIO()
    image.save(buffer, kind, **({"quality": 95} | options))
    return buffer.getvalue()


def open_preview(original: bytes) -> Image.Image:
    preview = Image.open(BytesIO(make_preview(original, PreviewRecipe(640))))
    assert preview.mode == "RGB"
    assert "icc_profile" not in preview.info
    return preview


def make_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def insert_chunks(content: bytes, *chunks: bytes) -> bytes:
    """A PNG with chunks before its pixels."""
    return content[:33] + b"".join(chunks) + content[33:]


# --- other spaces ---


def write_exif(space: int | None, index: str | None, order: str = "<") -> bytes:
    """EXIF of a camera: ColorSpace, and InteropIndex in a directory of its own."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    photo = [] if space is None else [struct.pack(f"{order}HHIHH", 0xA001, 3, 1, space, 0)]
    start = 8 + 2 + 12 + 4
    if index is not None:
        photo.append(
            struct.pack(f"{order}HHII", 0xA005, 4, 1, start + 2 + 12 * (len(photo) + 1) + 4)
        )
    first = struct.pack(f"{order}HHHIII", 1, 0x8769, 4, 1, start, 0)
    second = struct.pack(f"{order}H", len(photo)) + b"".join(photo) + bytes(4)
    text = (index or "").encode()[:3].ljust(4, b"\0")
    third = struct.pack(f"{order}HHHI4sI", 1, 1, 2, 4, text, 0)
    return b"Exif\0\0" + head + struct.pack(f"{order}I", 8) + first + second + third


@pytest.mark.parametrize(
    ("space", "index"), [(65535, "R03"), (2, None), (2, "R98"), (None, "R03"), (0, "R03")]
)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF"])
def test_adobe_rgb_that_only_exif_names_keeps_its_colours(
    kind: str, space: int | None, index: str | None, order: str
) -> None:
    stored = encode_colours(PHOTO, ADOBE, ADOBE_GAMMA)
    original = encode(stored, kind, exif=write_exif(space, index, order))
    assert measure_distance(open_preview(original), PHOTO) <= LARGEST_DISTANCE


def build_plain_tiff(image: Image.Image, **tags: camera_files.Value) -> camera_files.Directory:
    """The directory of an uncompressed picture; further tags by their names in camera_files."""
    pixels = np.asarray(image).tobytes()
    samples = len(image.getbands())
    return {
        camera_files.WIDTH: image.width, camera_files.HEIGHT: image.height,
        camera_files.BITS: [8] * samples, camera_files.COMPRESSION: 1,
        camera_files.PHOTOMETRIC: 2 if samples == 3 else 1, camera_files.STRIP_OFFSETS: pixels,
        camera_files.SAMPLES: samples, camera_files.ROWS_PER_STRIP: image.height,
        camera_files.STRIP_BYTES: len(pixels),
        **{getattr(camera_files, name): value for name, value in tags.items()},
    }  # fmt: skip


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_tiffs_exif_says_its_colours_and_does_not_turn_it_again(orientation: int) -> None:
    stored = encode_colours(PHOTO, ADOBE, ADOBE_GAMMA)
    directory = build_plain_tiff(stored, EXIF=[{0xA001: 2}], ORIENTATION=orientation)
    turned = PHOTO if orientation == 1 else PHOTO.transpose(Image.Transpose.ROTATE_270)
    shown = open_preview(camera_files.build_tiff([directory]))
    assert measure_distance(shown, turned) <= LARGEST_DISTANCE


def insert_segment(jpeg: bytes, note: bytes, place: int = 2) -> bytes:
    return jpeg[:place] + b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note + jpeg[place:]


RAW = ("nef", "arw", "dng", "cr2", "pef", "orf", "rw2")


@pytest.mark.parametrize("kind", RAW)
@pytest.mark.parametrize("own", [None, "in front", "behind JFIF"])
@pytest.mark.parametrize("space", [1, 2])
def test_a_raw_files_exif_says_its_colours_where_its_jpeg_does_not(
    monkeypatch: pytest.MonkeyPatch, kind: str, own: str | None, space: int
) -> None:
    """Beside a JPEG with EXIF of its own the file says the contrary, and is not asked."""
    name = camera_files._name
    said = space if own is None else 3 - space
    monkeypatch.setattr(
        camera_files, "_name", lambda *args: name(*args) | {camera_files.EXIF: [{0xA001: said}]}
    )
    wide = PHOTO.resize((640, 480))
    jpeg = encode(encode_colours(wide, ADOBE, ADOBE_GAMMA) if space == 2 else wide)
    if own is not None:
        after_jfif = 4 + int.from_bytes(jpeg[4:6], "big")
        note = write_exif(1 if space == 1 else 65535, "R03")
        jpeg = insert_segment(jpeg, note, 2 if own == "in front" else after_jfif)
    shown = open_preview(getattr(camera_files, f"build_{kind}")(jpeg))
    assert measure_distance(shown, wide) <= LARGEST_DISTANCE


def test_a_cr3s_box_of_exif_says_its_colours() -> None:
    exif = camera_files.build_tiff([{0xA001: 2}])
    content = struct.pack(">I", 24) + b"ftypcrx \0\0\0\1crx isom"
    content += struct.pack(">I", len(exif) + 8) + b"CMT2" + exif
    assert raw._is_adobe_rgb(content, encode(PHOTO), PhotoNotes())
    assert not raw._is_adobe_rgb(content.replace(b"CMT2", b"free"), encode(PHOTO), PhotoNotes())


@pytest.mark.parametrize(
    ("space", "index"), [(1, "R98"), (1, "R03"), (65535, "R98"), (65535, None), (None, None)]
)
def test_other_notes_of_exif_mean_srgb(space: int | None, index: str | None) -> None:
    original = encode(PHOTO, exif=write_exif(space, index))
    assert measure_distance(open_preview(original), PHOTO) <= LARGEST_DISTANCE


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("primaries", "gamma"), [(SRGB, 2.2), (ADOBE, ADOBE_GAMMA), (P3, 2.2), (PROPHOTO, 1.8)]
)
def test_a_profile_is_applied(
    kind: str, primaries: tuple[tuple[float, float], ...], gamma: float
) -> None:
    stored = encode_colours(PHOTO, primaries, gamma)
    original = encode(stored, kind, icc_profile=write_rgb_profile(primaries, gamma))
    assert measure_distance(open_preview(original), PHOTO) <= LARGEST_DISTANCE


def test_a_profile_is_surer_than_exif() -> None:
    stored = encode_colours(PHOTO, P3, 2.2)
    profile = write_rgb_profile(P3, 2.2)
    original = encode(stored, icc_profile=profile, exif=write_exif(65535, "R03"))
    assert measure_distance(open_preview(original), PHOTO) <= LARGEST_DISTANCE


def test_a_profile_is_applied_to_a_picture_with_a_palette_and_with_transparency() -> None:
    stored = encode_colours(PHOTO, PROPHOTO, 1.8)
    profile = write_rgb_profile(PROPHOTO, 1.8)
    palette = stored.quantize(256)
    expected = open_preview(encode(palette.convert("RGB"), "PNG", icc_profile=profile))
    shown = open_preview(encode(palette, "PNG", icc_profile=profile))
    assert measure_distance(shown, expected) <= 0.5
    stored.putalpha(255)
    shown = open_preview(encode(stored, "PNG", icc_profile=profile))
    assert measure_distance(shown, PHOTO) <= LARGEST_DISTANCE


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("model", ["grey", "RGB"])
def test_greys_follow_their_profile(kind: str, gamma: float, model: str) -> None:
    stored = encode_colours(GREY.convert("RGB"), SRGB, gamma).convert("L")
    profile = write_grey_profile(gamma) if model == "grey" else write_rgb_profile(SRGB, gamma)
    for image in (stored, Image.merge("LA", (stored, Image.new("L", stored.size, 255)))):
        if kind == "PNG" or image.mode == "L":
            shown = open_preview(encode(image, kind, icc_profile=profile))
            assert measure_distance(shown, GREY) <= LARGEST_DISTANCE


def test_what_a_pngs_chunks_say_of_its_colours_is_applied() -> None:
    points = [ADOBE[3], *ADOBE[:3]]
    corners = struct.pack(">8I", *(round(value * 100_000) for point in points for value in point))
    gamma, primaries = make_chunk(b"gAMA", struct.pack(">I", 45_470)), make_chunk(b"cHRM", corners)
    adobe = encode(encode_colours(PHOTO, ADOBE, 2.2), "PNG")
    shown = open_preview(insert_chunks(adobe, gamma, primaries))
    assert measure_distance(shown, PHOTO) <= LARGEST_DISTANCE
    linear = encode(encode_colours(PHOTO, SRGB, 1.0), "PNG")
    shown = open_preview(insert_chunks(linear, make_chunk(b"gAMA", struct.pack(">I", 100_000))))
    assert measure_distance(shown, PHOTO) <= LARGEST_DISTANCE
    coded = insert_chunks(
        encode(encode_colours(PHOTO, P3, 2.2), "PNG"), make_chunk(b"cICP", b"\x0c\4\0\1")
    )
    assert measure_distance(open_preview(coded), PHOTO) <= LARGEST_DISTANCE
    # sRGB's own chunk is surer than what older readers are told.
    plain = insert_chunks(encode(PHOTO, "PNG"), make_chunk(b"sRGB", b"\0"), gamma, primaries)
    assert measure_distance(open_preview(plain), PHOTO) <= LARGEST_DISTANCE


@pytest.mark.parametrize("chunk", [b"gAMA", b"cHRM", b"cICP", b"iCCP", b"sRGB", b"tRNS"])
@pytest.mark.parametrize("body", [b"", b"\0", b"\0" * 4, b"\0" * 32, b"\xff" * 4, b"\xff" * 32])
def test_a_damaged_chunk_of_colours_does_not_cost_the_png(chunk: bytes, body: bytes) -> None:
    gamma = make_chunk(b"gAMA", struct.pack(">I", 100_000))
    chunks = [make_chunk(chunk, body)] + ([gamma] if chunk == b"cHRM" else [])
    assert open_preview(insert_chunks(encode(PHOTO, "PNG"), *chunks)).size == PHOTO.size


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "TIFF"])
def test_what_phones_and_scanners_write_follows_its_profile(kind: str) -> None:
    pillow_heif.register_heif_opener()
    options = {} if kind == "TIFF" else {"quality": 95}
    for primaries, gamma in ((P3, 2.2), (PROPHOTO, 1.8)):
        stored = encode_colours(PHOTO, primaries, gamma)
        profile = write_rgb_profile(primaries, gamma)
        buffer = BytesIO()
        stored.save(buffer, kind, icc_profile=profile, **options)
        assert measure_distance(open_preview(buffer.getvalue()), PHOTO) <= LARGEST_DISTANCE


def test_a_heics_code_points_are_followed() -> None:
    stored = colours.simplify(encode_colours(PHOTO, P3, 2.2))
    stored.info["nclx_profile"] = {"color_primaries": 12, "transfer_characteristics": 4}
    shown = colours.convert_to_srgb(stored, [colours.read_coded_profile(stored, b"")])
    assert measure_distance(shown, PHOTO) <= LARGEST_DISTANCE
    stored.info["nclx_profile"] = {"color_primaries": 9, "transfer_characteristics": 16}  # HDR
    assert colours.read_coded_profile(stored, b"") == b""


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_code_points_in_the_file_are_followed(kind: str) -> None:
    content = encode(encode_colours(PHOTO, P3, 2.2), kind)
    place = content.index(b"nclx") + 4
    assert content[place : place + 4] == b"\0\1\0\x0d"  # sRGB, as encoders write it unasked
    content = content[:place] + b"\0\x0c\0\4" + content[place + 4 :]
    assert measure_distance(open_preview(content), PHOTO) <= LARGEST_DISTANCE
    profile = write_rgb_profile(PROPHOTO, 1.8)
    content = encode(encode_colours(PHOTO, PROPHOTO, 1.8), kind, icc_profile=profile)
    assert measure_distance(open_preview(content), PHOTO) <= LARGEST_DISTANCE


@pytest.mark.parametrize("box", [b"colr", b"nclx", b"ipco", b"iprp"])
def test_damaged_code_points_of_an_avif_do_not_cost_the_photo(box: bytes) -> None:
    content = encode(PHOTO, "AVIF")
    place = content.index(box)
    image = Image.open(BytesIO(content))
    for end in range(place - 4, place + 12):
        colours.read_coded_profile(image, content[:end])
        # A box of eight bytes that claims to have its size behind them.
        colours.read_coded_profile(image, content[:end] + b"\0\0\0\1free")
    colours.read_coded_profile(image, content.replace(box, b"free"))


@pytest.mark.parametrize("mode", ["RGBA", "CMYK", "LAB", "L"])
def test_a_tiff_of_any_kind_is_srgb_on_white(mode: str) -> None:
    expected, options = PHOTO, {}
    if mode == "RGBA":
        stored, expected = cut_out(PHOTO)
    elif mode == "CMYK":
        stored, options = print_colours(PHOTO), {"icc_profile": write_press_profile()}
    elif mode == "LAB":
        profiles = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
        lab = ImageCms.profileToProfile(PHOTO, *profiles, outputMode="LAB")
        assert lab is not None
        stored = lab
    else:
        stored = expected = GREY
    buffer = BytesIO()
    stored.save(buffer, "TIFF", **options)
    assert measure_distance(open_preview(buffer.getvalue()), expected) <= LARGEST_DISTANCE


# --- CMYK and Lab ---


def test_cmyk_follows_the_profile_of_its_press() -> None:
    stored, profile = print_colours(PHOTO), write_press_profile()
    assert len(profile) > 3 * 65_536  # several segments
    original = encode(stored, icc_profile=profile)
    assert measure_distance(open_preview(original), PHOTO) <= LARGEST_DISTANCE


def test_photoshops_ycck_follows_it_too() -> None:
    stored, profile = print_colours(PHOTO), write_press_profile()
    *inks, black = stored.split()
    light = Image.merge("RGB", inks).convert("YCbCr")
    inverted = [channel.point(lambda value: 255 - value) for channel in light.split()]
    content = bytearray(
        encode(Image.merge("CMYK", (*inverted, black)), icc_profile=profile, subsampling=0)
    )
    transform = content.index(b"Adobe") + 11
    assert content[transform] == 0
    content[transform] = 2  # YCCK
    with Image.open(BytesIO(bytes(content))) as image:
        assert np.abs(np.asarray(image).astype(int) - np.asarray(stored)).mean() < 3
    assert measure_distance(open_preview(bytes(content)), PHOTO) <= LARGEST_DISTANCE


def test_cmyk_without_a_profile_looks_as_in_a_browser() -> None:
    stored = PHOTO.convert("CMYK")
    assert measure_distance(open_preview(encode(stored)), PHOTO) <= LARGEST_DISTANCE


def test_lab_becomes_srgb() -> None:
    profiles = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
    lab = ImageCms.profileToProfile(PHOTO, *profiles, outputMode="LAB")
    assert lab is not None
    for profiles_of_file in ([], [b"damaged"], [write_rgb_profile(SRGB, 2.2)]):
        shown = colours.convert_to_srgb(colours.simplify(lab), profiles_of_file)
        assert measure_distance(shown, PHOTO) <= LARGEST_DISTANCE
    assert measure_distance(colours.put_on_white(lab), PHOTO) <= LARGEST_DISTANCE


# --- transparency ---


def cut_out(image: Image.Image) -> tuple[Image.Image, Image.Image]:
    """The picture's middle with magenta behind it that is transparent, and what is to be seen."""
    shape = Image.new("L", image.size, 0)
    shape.paste(255, (60, 40, 260, 280))
    shape.paste(128, (60, 40, 160, 280))
    garbage = Image.new("RGB", image.size, (255, 0, 255))
    garbage.paste(image, mask=shape.point(lambda value: 255 if value else 0))
    expected = Image.new("RGB", image.size, "white")
    expected.paste(image, mask=shape)
    garbage.putalpha(shape)
    return garbage, expected


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("WEBP", {"quality": 95})],
)
def test_what_is_transparent_is_white(kind: str, options: dict[str, object]) -> None:
    stored, expected = cut_out(PHOTO)
    original = encode(stored, kind, **options)
    assert measure_distance(open_preview(original), expected) <= LARGEST_DISTANCE
    photo = Image.fromarray(decode_photo(original, 1_000_000)[:, :, ::-1])
    assert measure_distance(photo, expected) <= LARGEST_DISTANCE


@pytest.mark.parametrize("mode", ["LA", "P", "RGB", "L", "16"])
def test_every_way_in_which_a_png_is_transparent_is_white(mode: str) -> None:
    stored, expected = cut_out(PHOTO if mode in {"P", "RGB"} else GREY.convert("RGB"))
    alpha = stored.getchannel("A").point(lambda value: 255 if value else 0)
    expected = Image.new("RGB", PHOTO.size, "white")
    expected.paste(stored.convert("RGB"), mask=alpha)
    options: dict[str, object] = {}
    if mode == "LA":
        image = Image.merge("LA", (GREY, alpha))
    elif mode == "P":
        image = stored.convert("RGB").quantize(255)
        expected.paste(image.convert("RGB"), mask=alpha)
        options["transparency"] = image.getpixel((0, 0))
    else:  # one colour is transparent: magenta, or a grey that the picture has not
        grey = GREY.point(lambda value: max(value, 8))
        image = stored.convert("RGB") if mode == "RGB" else grey
        options["transparency"] = (255, 0, 255) if mode == "RGB" else 7
        if mode != "RGB":
            image.paste(7, mask=alpha.point(lambda value: 255 - value))
        if mode == "16":
            image = Image.fromarray(np.asarray(image).astype(np.uint16) << 8)
            options["transparency"] = 7 << 8
    shown = open_preview(encode(image, "PNG", **options))
    assert measure_distance(shown, expected) <= LARGEST_DISTANCE


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_transparent_grey_of_few_bits_is_white(depth: int) -> None:
    head = make_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, depth, 0, 0, 0, 0))
    key = make_chunk(b"tRNS", struct.pack(">H", 1 if depth > 1 else 0))
    line = b"\0" + {1: b"\0", 2: b"\x55" * 2, 4: b"\x11" * 4}[depth]
    pixels = make_chunk(b"IDAT", zlib.compress(line * 8)) + make_chunk(b"IEND", b"")
    signature = b"\x89PNG\r\n\x1a\n"
    assert open_preview(signature + head + key + pixels).getextrema() == ((255, 255),) * 3
    assert open_preview(signature + head + pixels).getextrema()[0][1] < 128


def test_sixteen_bits_with_transparency_are_white_behind() -> None:
    stored, expected = cut_out(PHOTO)
    lines = np.asarray(stored).astype(">u2") * 257
    rows = b"".join(b"\0" + line.tobytes() for line in lines)
    head = make_chunk(b"IHDR", struct.pack(">IIBBBBB", *PHOTO.size, 16, 6, 0, 0, 0))
    pixels = make_chunk(b"IDAT", zlib.compress(rows)) + make_chunk(b"IEND", b"")
    shown = open_preview(b"\x89PNG\r\n\x1a\n" + head + pixels)
    assert measure_distance(shown, expected) <= LARGEST_DISTANCE


@pytest.mark.parametrize("mode", ["1", "L", "La", "LA", "P", "PA", "RGBa", "RGBX", "YCbCr", "HSV"])
def test_pillows_other_modes_become_simple_ones(mode: str) -> None:
    start = {"La": "LA", "PA": "P", "HSV": "RGB", "YCbCr": "RGB"}.get(mode, "RGBA")
    image = PHOTO.convert(start).convert(mode)
    simple = colours.simplify(image)
    assert simple.mode in {"L", "LA", "RGB", "RGBA"}
    assert colours.put_on_white(simple).mode == "RGB"


@pytest.mark.parametrize("scale", [1, 255])
def test_floats_and_deep_integers_become_eight_bits(scale: int) -> None:
    light = np.asarray(GREY).astype(np.float32) / 255 * scale
    shown = colours.simplify(Image.fromarray(light))
    assert np.abs(np.asarray(shown).astype(int) - np.asarray(GREY)).max() <= 1


SAMPLE_FORMAT = 339
DEEP = {"uint12": (12, 1), "uint16": (16, 1), "uint32": (32, 1), "float": (32, 3)}


def pack_deep(light: npt.NDArray[np.float64], kind: str) -> bytes:
    """Rows of light from 0 to 1 as a TIFF's strip."""
    if kind == "float":
        return light.astype("<f4").tobytes()
    deep = (light * (2 ** DEEP[kind][0] - 1)).round().astype("<u4")
    if kind == "uint12":  # two values in three bytes
        first, second = deep[:, ::2], deep[:, 1::2]
        packed = (first >> 4, (first & 15) << 4 | second >> 8, second & 255)
        return np.stack(packed, axis=-1).astype(np.uint8).tobytes()
    return deep.astype("<u2").tobytes() if kind == "uint16" else deep.tobytes()


@pytest.mark.parametrize("kind", DEEP)
@pytest.mark.parametrize("photometric", [0, 1])
def test_deep_greys_of_a_tiff_are_neither_white_nor_negative(kind: str, photometric: int) -> None:
    light = np.asarray(GREY) / 255
    pixels = pack_deep(light if photometric else 1 - light, kind)
    bits, sample_format = DEEP[kind]
    directory = build_plain_tiff(GREY, BITS=bits, PHOTOMETRIC=photometric, STRIP_OFFSETS=pixels)
    directory = {**directory, camera_files.STRIP_BYTES: len(pixels), SAMPLE_FORMAT: sample_format}
    content = camera_files.build_tiff([directory])
    if photometric == 0 and kind in {"uint12", "uint32"}:  # unknown to Pillow
        with pytest.raises(PhotoUnavailableError):
            open_preview(content)
    else:
        assert measure_distance(open_preview(content), GREY) <= LARGEST_DISTANCE


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_deep_greys_take_little_memory(mode: str) -> None:
    """Numpy's arrays alone are counted, not Pillow's pictures."""
    image = Image.new(mode, (3_000, 3_000), 1)
    tracemalloc.start()
    colours.simplify(image)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak / 9_000_000 < 4


# --- damaged and hostile profiles ---

PROFILE = write_rgb_profile(PROPHOTO, 1.8)
RED = PROFILE.index(b"rXYZ")


def overwrite(profile: bytes, place: int, number: int) -> bytes:
    return profile[:place] + struct.pack(">I", number) + profile[place + 4 :]


DAMAGED: dict[str, Callable[[], bytes]] = {
    "no profile": lambda: b"no profile at all" * 20,
    "cut off": lambda: PROFILE[:200],
    "of a press": write_press_profile,
    "of greys": lambda: write_grey_profile(1.8),
    "too large": lambda: PROFILE.ljust(colours.MAX_PROFILE_BYTES + 1, b"\0"),
    "of 4 billion tags": lambda: overwrite(PROFILE, 128, 0xFFFF_FFFF),
    "with tags outside": lambda: overwrite(PROFILE, RED + 4, 0xFFFF_FFF0),
    "with tags that are the profile": lambda: overwrite(PROFILE, RED + 4, 0),
    "with tags without end": lambda: overwrite(PROFILE, RED + 8, 0xFFFF_FFFF),
    "zeros": lambda: bytes(5_000),
}


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_profile_that_cannot_be_used_does_not_cost_the_photo(kind: str, name: str) -> None:
    original = encode(PHOTO, kind, icc_profile=DAMAGED[name]())
    assert measure_distance(open_preview(original), PHOTO) <= LARGEST_DISTANCE


def test_exif_counts_where_a_profile_cannot_be_used() -> None:
    stored = encode_colours(PHOTO, ADOBE, ADOBE_GAMMA)
    original = encode(stored, icc_profile=b"damaged" * 99, exif=write_exif(65535, "R03"))
    assert measure_distance(open_preview(original), PHOTO) <= LARGEST_DISTANCE


@pytest.mark.parametrize("number", [0, 1, 9])
def test_a_jpegs_profile_that_lacks_a_segment_counts_as_none(number: int) -> None:
    content = encode(PHOTO, icc_profile=PROFILE)
    place = content.index(b"ICC_PROFILE\0") + 12
    for damaged in (
        content[: place + 1] + bytes([number + 2]) + content[place + 2 :],
        content[:place] + bytes([number + 2]) + content[place + 1 :],
    ):
        assert measure_distance(open_preview(damaged), PHOTO) <= LARGEST_DISTANCE


def test_flipped_bits_of_profiles_never_cost_the_photo() -> None:
    chance = np.random.default_rng(7)
    for profile, image in ((PROFILE, PHOTO), (write_press_profile(), print_colours(PHOTO))):
        small = image.resize((16, 16))
        for _ in range(25):
            damaged = bytearray(profile)
            for place in chance.integers(0, min(len(damaged), 600), 6):
                damaged[place] ^= 1 << int(chance.integers(0, 8))
            assert open_preview(encode(small, icc_profile=bytes(damaged))).size == (16, 16)
