"""An album in which it is known who is in which photo, and selfies of its people."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from api.gallery.texts import hash_consent
from tests.support.event_box import EventBox
from tests.support.photos import encode_jpeg, read_group, read_sample


@dataclass(frozen=True)
class Person:
    """Where a person's face is in the sample photo: x1 y1 x2 y2 in pixels."""

    number: int
    box: tuple[int, int, int, int]

    def holds(self, x: float, y: float) -> bool:
        """Whether a point lies in the face."""
        return self.box[0] < x < self.box[2] and self.box[1] < y < self.box[3]

    def read_photo(self) -> Image.Image:
        """The sample photo, whole."""
        return read_sample("astronaut.png") if self.number == ASTRONAUT else read_group()


ASTRONAUT = 6
# InsightFace's t1, then scikit-image's astronaut.
_BOXES = [
    (751, 346, 845, 472), (462, 266, 576, 417), (1132, 274, 1227, 399), (899, 57, 1005, 197),
    (271, 147, 370, 276), (52, 266, 171, 400), (179, 63, 269, 174),
]  # fmt: skip
EVERYBODY = [Person(number, box) for number, box in enumerate(_BOXES)]
VARIANTS = ("plain", "mirrored", "darker", "smaller", "cropped")


def make_album() -> Iterator[tuple[str, bytes]]:
    """Previews by name: everybody alone and all six together, each in five variants."""
    for person in EVERYBODY:
        for variant in VARIANTS:
            yield f"{person.number} {variant}.jpg", _make(_show_alone(person), variant)
    for variant in VARIANTS:
        yield f"group {variant}.jpg", _make(read_group(), variant)


def name_photos_of(person: "Person | int") -> list[str]:
    """The names of the album's photos that show a person."""
    number = person if isinstance(person, int) else person.number
    titles = [str(number)] if number == ASTRONAUT else [str(number), "group"]
    return [f"{title} {variant}.jpg" for title in titles for variant in VARIANTS]


def take_selfie(person: "Person | int", margin: float = 0.5) -> Image.Image:
    """A crop around a face, `margin` of its width and height wider on each side."""
    person = EVERYBODY[person] if isinstance(person, int) else person
    photo = person.read_photo()
    x1, y1, x2, y2 = person.box
    dx, dy = margin * (x2 - x1), margin * (y2 - y1)
    left, top = max(0, x1 - dx), max(0, y1 - dy)
    right, bottom = min(photo.width, x2 + dx), min(photo.height, y2 + dy)
    return photo.crop((round(left), round(top), round(right), round(bottom)))


def search(
    api: httpx.Client, event: EventBox, *selfies: "bytes | Image.Image", **fields: Any
) -> httpx.Response:
    """Ask for the photos of a selfie's person; in the whole event unless `fields` name another."""
    contents = [one if isinstance(one, bytes) else encode_jpeg(one) for one in selfies]
    if not {"event_uuid", "gallery_token"} & fields.keys():
        fields["event_uuid"] = str(event.uuid)
    if "gallery_token" in fields and "consent" not in fields:
        fields["consent"] = give_consent(api, fields["gallery_token"])
    files = [("file", ("я.jpg", content, "image/jpeg")) for content in contents]
    return api.post("/api/v1/faces/search", data=fields, files=files)


def find(
    api: httpx.Client, event: EventBox, *selfies: "bytes | Image.Image", **fields: Any
) -> dict[str, Any]:
    """The answer of a search that is answered."""
    answer = search(api, event, *selfies, **fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def read_token(event: EventBox) -> str:
    """What an event's guests have in their link."""
    return str(event.query("SELECT gallery_token FROM event WHERE id = :event")[0][0])


def give_consent(api: httpx.Client, gallery_token: str) -> str:
    """A guest's consent, as the gallery's page asks for it; empty where the gallery refuses it."""
    form = {"version": hash_consent(), "language": "ru"}
    answer = api.post(f"/gallery/{gallery_token}/consents", json=form)
    return str(answer.json()["consent"]) if answer.is_success else ""


def _show_alone(person: Person) -> Image.Image:
    """The sample photo with everybody else's face painted over."""
    photo = person.read_photo().copy()
    if person.number != ASTRONAUT:
        brush = ImageDraw.Draw(photo)
        for other in EVERYBODY[:ASTRONAUT]:
            if other != person:
                x1, y1, x2, y2 = other.box
                brush.ellipse((x1 - 20, y1 - 20, x2 + 20, y2 + 20), fill=(120, 130, 125))
    return photo


def _make(photo: Image.Image, variant: str) -> bytes:
    """A preview of the photo, 640 pixels at most."""
    match variant:
        case "mirrored":
            photo = ImageOps.mirror(photo)
        case "darker":
            photo = ImageEnhance.Brightness(photo).enhance(0.6)
        case "cropped":
            photo = photo.crop((0, photo.height // 30, photo.width, photo.height * 29 // 30))
    photo = ImageOps.contain(photo, (480, 480) if variant == "smaller" else (640, 640))
    return encode_jpeg(photo, quality=85)
