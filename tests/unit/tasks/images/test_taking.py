"""When and by which camera a photo was taken: as cameras write it, and as it should not be."""

import struct
from datetime import datetime
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from tasks.images.taking import read_taking
from tasks.s3.objects import describe_taking
from tests.support.photos import encode_with_exif, write_exif

PICTURE = Image.new("RGB", (16, 12), "teal")
NOON = "2026:06:20 12:00:00"
SERIAL = "042021001234"


at = datetime.fromisoformat


def take(exif: Image.Exif, kind: str = "JPEG") -> bytes:
    return encode_with_exif(PICTURE, exif, kind)


def read_moment(**values: object) -> datetime | None:
    """The time that is read of a photo with this EXIF."""
    exif = Image.Exif()
    own = exif.get_ifd(0x8769)
    tags = {"original": 0x9003, "digitized": 0x9004, "fraction": 0x9291}
    own.update({tags[name]: value for name, value in values.items() if name in tags})
    if "changed" in values:
        exif[0x0132] = values["changed"]
    taking = read_taking(take(exif))
    return taking and taking.taken_at


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF"])
def test_it_is_read_in_every_format(kind: str) -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    exif = write_exif(NOON, offset="+03:00", fraction="12", serial=SERIAL)
    taking = read_taking(take(exif, kind))
    assert taking is not None
    assert taking.taken_at == at("2026-06-20 12:00:00.120000")
    assert (taking.utc_offset, taking.camera_name) == (180, "Canon EOS R6")


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_and_a_raw_file_are_directories_themselves(order: str) -> None:
    exif = write_exif(NOON)
    exif.endian = order
    tiff = exif.tobytes().removeprefix(b"Exif\0\0")
    for head in (tiff[:4], b"IIRO" if order == "<" else b"MM\0*"):
        taking = read_taking(head + tiff[4:] + bytes(50))
        assert taking is not None and taking.taken_at == at("2026-06-20 12:00:00")


def test_cr3_keeps_the_camera_and_the_time_in_two_directories() -> None:
    camera, time = Image.Exif(), Image.Exif()
    camera[0x010F], camera[0x0110], time[0x9003] = "Canon", "Canon EOS R5", NOON
    boxes = [name + exif.tobytes()[6:] for name, exif in ((b"CMT1", camera), (b"CMT2", time))]
    taking = read_taking(b"\0\0\0\x18ftypcrx " + bytes(40) + b"".join(boxes))
    assert taking is not None
    assert (taking.taken_at, taking.camera_name) == (at("2026-06-20 12:00:00"), "Canon EOS R5")


def test_xmp_is_asked_where_a_program_kept_no_exif() -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_itxt(
        "XML:com.adobe.xmp",
        '<x:xmpmeta><rdf exif:DateTimeOriginal="2026-06-20T12:00:00.5+03:00" '
        'tiff:Make="SONY" tiff:Model="ILCE-7M4"/>',
    )
    buffer = BytesIO()
    PICTURE.save(buffer, "PNG", pnginfo=notes)
    taking = read_taking(buffer.getvalue())
    assert taking is not None
    assert (taking.taken_at, taking.utc_offset) == (at("2026-06-20 12:00:00.500000"), 180)
    assert taking.camera_name == "SONY ILCE-7M4"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (NOON, at("2026-06-20 12:00:00")),
        ("2026-06-20T12:00:00", at("2026-06-20 12:00:00")),
        ("2026:06:20 12:00", at("2026-06-20 12:00:00")),
        ("2026:06:20 24:10:00", at("2026-06-20 00:10:00")),  # some phones' midnight
        ("2026:06:20 12:00:60", at("2026-06-20 12:00:59")),
        ("0000:00:00 00:00:00", None),
        ("    :  :     :  :  ", None),
        ("1980:01:01 00:00:00", None),
        ("1970:01:01 00:00:00", None),
        ("2099:01:01 00:00:00", None),
        ("2026:02:30 12:00:00", None),
        ("2026:13:01 12:00:00", None),
        ("2026:06:20 25:00:00", None),
        ("2026:06:20", None),
        ("вчера", None),
        ("", None),
    ],
)
def test_a_time_that_cannot_be_is_none(text: str, moment: datetime | None) -> None:
    assert read_moment(original=text.encode()) == moment


def test_what_makes_no_sense_gives_way_to_the_next_best() -> None:
    other = "2026:06:20 13:00:00"
    assert read_moment(original="0000:00:00 00:00:00", digitized=NOON, changed=other) == at(
        "2026-06-20 12:00:00"
    )
    assert read_moment(original="1980:01:01 00:00:00", changed=other) == at("2026-06-20 13:00:00")
    assert read_moment(original=NOON, fraction="0450") == at("2026-06-20 12:00:00.045000")
    assert read_moment(original=NOON, fraction="x") == at("2026-06-20 12:00:00")


@pytest.mark.parametrize(
    ("offset", "minutes"),
    [
        ("+03:00", 180), ("-03:30", -210), ("+0545", 345), ("Z", 0), ("+14:00", 840),
        ("+99:00", None), ("", None), ("   :  ", None), ("Москва", None), (None, None),
    ],
)  # fmt: skip
def test_an_offset_is_minutes(offset: str | None, minutes: int | None) -> None:
    exif = write_exif(NOON)
    if offset is not None:
        exif.get_ifd(0x8769)[0x9011] = offset.encode()
    taking = read_taking(take(exif))
    assert taking is not None and taking.utc_offset == minutes


def test_cameras_are_told_apart_by_model_and_serial_and_the_serial_is_not_told() -> None:
    cameras = [
        (("Canon", "Canon EOS R6"), SERIAL),
        (("Canon", "Canon EOS R6"), "042021009999"),
        (("NIKON CORPORATION", "NIKON Z 8"), None),
        (("Apple", "iPhone 15"), None),
        (("", ""), None),
    ]
    takings = [read_taking(take(write_exif(NOON, camera=c, serial=s))) for c, s in cameras]
    again = read_taking(take(write_exif("2026:06:21 09:00:00", serial=SERIAL)))
    assert [taking and taking.camera_name for taking in takings] == [
        "Canon EOS R6",
        "Canon EOS R6",
        "NIKON Z 8",
        "Apple iPhone 15",
        None,
    ]
    assert len({taking and taking.camera for taking in takings}) == len(cameras)
    assert again is not None and takings[0] is not None and again.camera == takings[0].camera
    assert all(SERIAL not in str(describe_taking(taking)) for taking in takings)


def test_neither_a_place_nor_a_name_is_read() -> None:
    exif = write_exif(NOON)
    exif[0x013B] = exif[0x8298] = "Anna Owner"
    exif.get_ifd(0x8769)[0xA430] = "Anna Owner"
    exif.get_ifd(0x8825)[2] = (55.0, 45.0, 21.0)
    notes = str(describe_taking(read_taking(take(exif))))
    assert "Anna" not in notes and "55" not in notes


def test_a_directory_that_points_to_itself_ends_early_or_lies_ends_the_reading() -> None:
    good = take(write_exif(NOON))
    place = good.index(b"Exif\0\0") + 6
    tiff = good[place:]
    start = struct.unpack_from(">I", tiff, 4)[0]
    pointer = place + tiff.index(b"\x87\x69\0\4") + 8
    for target in (start, 0, 2**32 - 1, len(tiff) - 1):
        circle = bytearray(good)
        struct.pack_into(">I", circle, pointer, target)
        assert read_taking(bytes(circle)) is None
    endless = bytearray(good)
    struct.pack_into(">H", endless, place + start, 65_535)
    assert read_taking(bytes(endless)) is not None
    for end in range(0, len(tiff), 3):
        read_taking(good[: place + end])


HEADS = (
    b"",
    b"\xff\xd8\xff\xe1\xff\xffExif\0\0II*\0\x08\0\0\0",
    b"MM\0*\0\0\0\x08",
    b"RIFF0000WEBPEXIF",
    b"\0\0\0\x18ftypheic\0\0\0\0II*\0",
    b"\x89PNG\r\n\x1a\n\0\0\0\xffeXIf",
    b"<x:xmpmeta",
)


def test_a_time_of_taking_in_xmp_goes_before_one_of_a_change_in_exif() -> None:
    """As programs export photos: EXIF has the export's own time."""
    exif = Image.Exif()
    exif[0x0132] = "2024:07:20 10:00:00"
    packet = (
        b"<x:xmpmeta><rdf:Description xmp:CreateDate='2024-05-01T09:00:00' "
        b"exif:DateTimeOriginal='2024-06-01T12:00:00'/></x:xmpmeta>"
    )
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", exif=exif, xmp=packet)
    taking = read_taking(buffer.getvalue())
    assert taking is not None
    assert taking.taken_at == at("2024-06-01T12:00:00")


def test_the_time_of_another_picture_behind_a_jpeg_is_not_its_own() -> None:
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    exif = Image.Exif()
    exif[0x0132] = "2024:07:20 10:00:00"
    assert read_taking(buffer.getvalue() + take(exif)) is None


def test_a_png_that_ends_in_its_first_bytes_has_no_time() -> None:
    assert read_taking(b"\x89PNG\r\n\x1a\n\0\0\0\x64tRNS") is None


@given(st.sampled_from(HEADS), st.binary(max_size=300))
def test_no_bytes_raise_anything(head: bytes, rest: bytes) -> None:
    read_taking(head + rest)
