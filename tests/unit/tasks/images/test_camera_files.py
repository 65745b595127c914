"""HEIC, AVIF, TIFF and RAW: upright pixels or a reason, by the content and within the limits."""

import random
import struct
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from models.errors import PhotoUnavailableError
from models.vocabulary import PhotoReason
from tasks.images import tiff
from tasks.images.decode import decode_photo
from tasks.images.formats import recognise_format
from tasks.images.heif import check_items, count_frame_pixels
from tasks.images.preview import PreviewRecipe, make_preview
from tests.support import camera_files
from tests.support.photos import read_sample

MAX_PIXELS = 50_000_000
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
FAST = {"enc_params": {"preset": "ultrafast"}}  # of the tests' HEIC encoder
PHOTO = read_sample("astronaut.png").resize((480, 360))


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def encode_heic(image: Image.Image, orientation: int = 1) -> bytes:
    """A HEIC that is turned by its own box; its EXIF says the same, as a phone's does."""
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encode(image, "HEIF", exif=exif.tobytes(), quality=80, **FAST)


def encode_tiff(image: Image.Image, orientation: int = 1, **options: object) -> bytes:
    return encode(image, "TIFF", tiffinfo={ORIENTATION: orientation}, **options)


def encode_avif(image: Image.Image, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encode(image, "AVIF", exif=exif)


def hold(builder: Callable[[bytes, int], bytes]) -> Callable[[Image.Image, int], bytes]:
    return lambda image, orientation=1: builder(encode(image, "JPEG", quality=90), orientation)


RAW = {
    name: hold(getattr(camera_files, f"build_{name}"))
    for name in ("cr2", "nef", "arw", "dng", "raf", "orf", "rw2", "pef")
}
OTHERS = {"heic": encode_heic, "avif": encode_avif, "tiff": encode_tiff}


def check_alike(content: bytes, expected: Image.Image) -> None:
    """The picture decodes to the expected one, but for what its encoder lost."""
    found = decode_photo(content, MAX_PIXELS)[:, :, ::-1]
    assert found.shape[:2] == expected.size[::-1]
    assert np.abs(found.astype(int) - np.asarray(expected.convert("RGB"))).mean() < 6


def read_reason(content: bytes, max_pixels: int = MAX_PIXELS) -> str:
    with pytest.raises(PhotoUnavailableError) as refusal:
        decode_photo(content, max_pixels)
    return refusal.value.reason


@pytest.mark.parametrize("kind", [*RAW, *OTHERS])
def test_a_camera_file_is_a_photo_and_gets_a_preview(kind: str) -> None:
    content = {**RAW, **OTHERS}[kind](PHOTO)
    check_alike(content, PHOTO)
    with Image.open(BytesIO(make_preview(content, PreviewRecipe(320)))) as preview:
        assert (preview.format, preview.size) == ("JPEG", (320, 240))


@pytest.mark.parametrize("kind", [*RAW, *OTHERS])
@pytest.mark.parametrize("orientation", TURNS)
def test_it_is_turned_once(kind: str, orientation: int) -> None:
    content = {**RAW, **OTHERS}[kind](PHOTO, orientation)
    check_alike(content, PHOTO.transpose(TURNS[orientation]))


def test_exif_beside_a_heics_own_turn_changes_nothing() -> None:
    turned, plain = encode_heic(PHOTO, 6), encode_heic(PHOTO)
    check_alike(turned.replace(b"irot", b"free"), PHOTO)  # EXIF still says 6
    check_alike(plain, PHOTO)


def test_the_jpegs_own_exif_turns_it_where_there_is_some() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 8
    note, jpeg = exif.tobytes(), encode(PHOTO, "JPEG", quality=90)
    jpeg = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note + jpeg[2:]
    check_alike(camera_files.build_nef(jpeg), PHOTO.transpose(TURNS[8]))


@pytest.mark.parametrize("kind", [kind for kind in RAW if kind != "raf"])
@pytest.mark.parametrize("orientation", TURNS)
def test_the_file_turns_it_where_the_jpegs_own_exif_does_not_say(
    kind: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0131] = "a camera's software"
    note, jpeg = exif.tobytes(), encode(PHOTO, "JPEG", quality=90)
    jpeg = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note + jpeg[2:]
    content = getattr(camera_files, f"build_{kind}")(jpeg, orientation)
    check_alike(content, PHOTO.transpose(TURNS[orientation]))
    upright = PHOTO.transpose(TURNS[orientation])
    if upright.size != PHOTO.size:  # turned by a program
        jpeg = encode(upright, "JPEG", quality=90)
        jpeg = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note + jpeg[2:]
        check_alike(getattr(camera_files, f"build_{kind}")(jpeg, orientation), upright)


def test_a_jpeg_that_some_program_turned_is_not_turned_again() -> None:
    upright = PHOTO.transpose(Image.Transpose.ROTATE_270)
    check_alike(camera_files.build_dng(encode(upright, "JPEG", quality=90), 6), upright)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "jpeg", "packbits"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_tiffs_compressions_are_read(compression: str, mode: str) -> None:
    content = encode(PHOTO.convert(mode), "TIFF", compression=compression)
    check_alike(content, PHOTO.convert(mode))


def test_other_forms_of_a_tiff_are_read() -> None:
    other = PHOTO.rotate(180)
    check_alike(encode(PHOTO, "TIFF", save_all=True, append_images=[other]), PHOTO)
    check_alike(encode(PHOTO, "TIFF", big_tiff=True), PHOTO)
    check_alike(encode(PHOTO.convert("CMYK"), "TIFF"), PHOTO)
    deep = Image.fromarray(np.asarray(PHOTO.convert("L")).astype(np.uint16) * 257)
    check_alike(encode(deep, "TIFF"), PHOTO.convert("L"))


def hold_pixels(image: Image.Image, subfile: int) -> dict[int, camera_files.Value]:
    pixels = image.tobytes()
    return {
        camera_files.SUBFILE: subfile, camera_files.WIDTH: image.width,
        camera_files.HEIGHT: image.height, camera_files.BITS: [8, 8, 8],
        camera_files.COMPRESSION: 1, camera_files.PHOTOMETRIC: 2,
        camera_files.STRIP_OFFSETS: pixels, camera_files.SAMPLES: 3,
        camera_files.ROWS_PER_STRIP: image.height, camera_files.STRIP_BYTES: len(pixels),
    }  # fmt: skip


def test_a_tiffs_thumbnail_is_not_taken_for_the_photo() -> None:
    small, other = PHOTO.resize((160, 120)), PHOTO.rotate(180)
    thumbnail, mask, page = hold_pixels(small, 1), hold_pixels(other, 4), hold_pixels(other, 2)
    whole = hold_pixels(PHOTO, 0)
    for directories in (
        [thumbnail, whole],
        [thumbnail, mask, whole, page],
        [thumbnail | {camera_files.SUB_DIRECTORIES: [whole]}],
        [whole, thumbnail],
        [whole, page],
    ):
        check_alike(camera_files.build_tiff(directories), PHOTO)
    check_alike(camera_files.build_tiff([thumbnail]), small)
    check_alike(camera_files.build_tiff([thumbnail, thumbnail]), small)


def test_other_forms_of_a_heic_are_read() -> None:
    deep = (np.asarray(PHOTO).astype(np.uint16) * 257).tobytes()
    buffer = BytesIO()
    pillow_heif.from_bytes("RGB;16", PHOTO.size, deep).save(buffer, quality=80, **FAST)
    check_alike(buffer.getvalue(), PHOTO)
    check_alike(encode_heic(PHOTO.convert("L")), PHOTO.convert("L"))
    check_alike(encode_heic(PHOTO.convert("RGBA")), PHOTO)
    several = pillow_heif.from_pillow(PHOTO.rotate(180))
    several.add_from_pillow(PHOTO)
    buffer = BytesIO()
    several.save(buffer, primary_index=1, quality=80, **FAST)
    check_alike(buffer.getvalue(), PHOTO)


def test_the_limit_holds_before_anything_is_decoded() -> None:
    for encoder in OTHERS.values():
        content = encoder(PHOTO)
        assert read_reason(content, 480 * 360 - 1) == PhotoReason.TOO_MANY_PIXELS
    told: list[int] = []
    decode_photo(encode_heic(PHOTO), MAX_PIXELS, told.append)
    decode_photo(encode_tiff(PHOTO), MAX_PIXELS, told.append)
    assert told == [480 * 360 // 2, 480 * 360]


@pytest.mark.parametrize("kind", OTHERS)
def test_half_a_file_is_truncated(kind: str) -> None:
    content = OTHERS[kind](PHOTO)
    assert read_reason(content[: len(content) // 2]) == PhotoReason.TRUNCATED


@pytest.mark.parametrize("kind", ["cr2", "nef", "arw", "dng", "pef"])
def test_half_a_raw_file_is_truncated_although_its_jpeg_is_whole(kind: str) -> None:
    content = RAW[kind](PHOTO)
    assert read_reason(content[: len(content) * 3 // 4]) == PhotoReason.TRUNCATED


@pytest.mark.parametrize("size", [(160, 120), (479, 300)])
def test_a_raw_file_without_a_jpeg_of_use_is_unprocessable(size: tuple[int, int]) -> None:
    assert read_reason(RAW["dng"](PHOTO.resize(size))) == PhotoReason.UNPROCESSABLE
    assert read_reason(camera_files.build_nef(b"no JPEG" * 900)) == PhotoReason.UNPROCESSABLE


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf", "HEIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "RAW"),
        (b"\0\0\0\x18ftypisom\0\0\0\0mp41heic", None),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", None),
        (b"FUJIFILMCCD-RAW 0201", "RAW"),
        (b"IIU\0\x08\0\0\0", "RAW"),
        (b"IIRO\x08\0\0\0", "RAW"),
        (b"II*\0\x10\0\0\0CR\x02\0", "RAW"),
        (b"II*\0\xff\xff\xff\xff", "TIFF"),
        (b"MM\0*", "TIFF"),
    ],
)
def test_a_kind_is_told_by_the_first_bytes(head: bytes, kind: str | None) -> None:
    if kind is None:
        assert read_reason(head + bytes(100)) == PhotoReason.NOT_AN_IMAGE
    else:
        assert recognise_format(head) == kind


# --- hostile ones ---


def test_a_tiff_that_names_the_same_bytes_over_and_over_is_refused() -> None:
    content = encode_tiff(PHOTO)
    tags = dict.fromkeys((320, 347, 34675), content[8:])
    directory = {
        camera_files.WIDTH: 4, camera_files.HEIGHT: 4, camera_files.COMPRESSION: 1,
        camera_files.PHOTOMETRIC: 2, **tags,
    }  # fmt: skip
    bomb = bytearray(camera_files.build_tiff([directory]))
    for number in range(3):  # all three name the first one's bytes, and nearly the whole file
        place = bomb.index(struct.pack("<H", sorted(tags)[number]))
        struct.pack_into("<II", bomb, place + 4, len(bomb) - 20, 20)
    assert read_reason(bytes(bomb)) == PhotoReason.UNPROCESSABLE


def test_a_tiff_of_huge_tiles_or_strips_without_number_is_refused() -> None:
    base = {camera_files.WIDTH: 64, camera_files.HEIGHT: 64, camera_files.COMPRESSION: 5}
    tiles = camera_files.build_tiff([base | {322: 60_000, 323: 60_000}])
    assert read_reason(tiles) == PhotoReason.UNPROCESSABLE
    strips = camera_files.build_tiff([base | {324: [0] * (tiff.MAX_STRIPS + 1)}])
    assert read_reason(strips) == PhotoReason.UNPROCESSABLE


def test_directories_that_lead_to_each_other_come_to_an_end() -> None:
    content = bytearray(camera_files.build_tiff([{256: 1}]))
    struct.pack_into("<I", content, len(content) - 4, 8)
    assert not tiff.is_sensor_file(bytes(content))


def test_a_heic_whose_items_are_larger_than_itself_is_refused() -> None:
    content = encode_heic(PHOTO)
    place = content.index(b"iloc") - 4
    box = bytes((0, 0, 0, 0, 0x44, 0)) + struct.pack(">H", 200)
    box += b"".join(struct.pack(">HHHII", number, 0, 1, 0, 5_000) for number in range(200))
    bomb = content[:place] + struct.pack(">I4s", len(box) + 8, b"iloc") + box
    meta = bomb.index(b"meta") - 4
    bomb = bomb[:meta] + struct.pack(">I", len(bomb) - meta) + bomb[meta + 4 :]
    with pytest.raises(PhotoUnavailableError):
        check_items(bomb)
    assert read_reason(bomb) == PhotoReason.TRUNCATED


@pytest.mark.parametrize("kind", [b"\xff\xff\xff\xff", b"\xff\xfe\0\0"])
def test_notes_of_a_kind_that_is_no_text_end_no_process(kind: bytes) -> None:
    """pi_heif dies of them."""
    content = encode_heic(PHOTO, 6)
    place = content.index(b"Exif", content.index(b"infe"))
    check_alike(content[:place] + kind + content[place + 4 :], PHOTO.transpose(TURNS[6]))


def test_an_avif_counts_as_large_as_its_frames_are_whatever_its_boxes_claim() -> None:
    content = encode_avif(Image.new("RGB", (2_000, 1_500), "teal"))
    place = content.index(b"ispe") + 8
    assert content[place : place + 8] == struct.pack(">II", 2_000, 1_500)
    bomb = content[:place] + struct.pack(">II", 64, 48) + content[place + 8 :]
    assert read_reason(bomb, 1_000_000) == PhotoReason.TOO_MANY_PIXELS
    assert count_frame_pixels(bomb) == count_frame_pixels(content) == 3_000_000
    for size in ((64, 48), (641, 359)):
        picture = Image.effect_noise(size, 40).convert("RGB")
        assert count_frame_pixels(encode_avif(picture)) == size[0] * size[1]


def test_an_avif_with_damaged_exif_is_a_photo() -> None:
    content = encode_avif(PHOTO, 6)
    damaged = content.replace(b"Exif\0\0", b"Exif\1\1").replace(b"II*\0", b"\0\1\2\3")
    decode_photo(damaged.replace(b"MM\0*", b"\0\1\2\3"), MAX_PIXELS)


@pytest.mark.parametrize("kind", [*RAW, *OTHERS])
def test_a_damaged_camera_file_never_raises_anything_but_a_refusal(kind: str) -> None:
    chance = random.Random(kind)
    small = PHOTO.resize((128, 96))
    whole = {**RAW, **OTHERS}[kind](small)
    for number in range(40):
        content = bytearray(whole)
        reach = min(len(content), 2_000) if number % 2 else len(content)
        for _ in range(chance.choice((1, 3, 30))):
            content[chance.randrange(reach)] = chance.randrange(256)
        if number % 5 == 0:
            del content[chance.randrange(len(content)) :]
        try:
            decode_photo(bytes(content), 1_000_000)
        except PhotoUnavailableError as refusal:
            assert refusal.reason in set(PhotoReason)
