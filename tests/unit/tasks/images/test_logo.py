"""Logos: small, transparent where they were, of any picture; what is none is refused."""

from io import BytesIO

import pytest
from PIL import Image

from models.errors import PhotoUnavailableError
from tasks.images.views import LOGO_SIDE, MAX_LOGO_PIXELS, make_logo


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def draw(mode: str, size: tuple[int, int] = (800, 200)) -> Image.Image:
    """A red bar; where the mode knows transparency, in the middle of nothing."""
    image = Image.new("RGBA", size, (0, 0, 0, 0))
    image.paste((200, 20, 20, 255), (size[0] // 4, 0, size[0] // 2, size[1]))
    return image.convert(mode)


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("RGBA", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("RGBA", "WEBP")],
)
def test_a_logo_stays_transparent(mode: str, kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    with Image.open(BytesIO(make_logo(encode(draw(mode), kind, **options)))) as logo:
        assert (logo.format, logo.size) == ("WEBP", (LOGO_SIDE, LOGO_SIDE // 4))
        alpha = logo.convert("RGBA").getchannel("A")
        assert alpha.getpixel((10, 50)) == 0
        assert alpha.getpixel((150, 50)) == 255


@pytest.mark.parametrize(("mode", "kind"), [("RGB", "JPEG"), ("CMYK", "JPEG"), ("L", "PNG")])
def test_a_logo_of_a_plain_picture_is_one_too(mode: str, kind: str) -> None:
    with Image.open(BytesIO(make_logo(encode(draw(mode), kind)))) as logo:
        assert logo.convert("RGBA").getextrema()[3] == (255, 255)


def test_a_small_logo_is_not_enlarged_and_keeps_no_notes() -> None:
    exif = Image.Exif()
    exif[0x010E] = "where it was taken"
    content = make_logo(encode(draw("RGB", (40, 20)), "JPEG", exif=exif))
    with Image.open(BytesIO(content)) as logo:
        assert logo.size == (40, 20)
    assert b"where it was" not in content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no picture",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        encode(draw("RGB"), "JPEG")[:2000],
        encode(Image.new("1", (8000, MAX_LOGO_PIXELS // 8000 + 1)), "PNG"),
    ],
)
def test_what_is_no_logo_is_refused(content: bytes) -> None:
    with pytest.raises(PhotoUnavailableError):
        make_logo(content)
