"""Guests are found whichever way up they are: previews that lie, selfies that are tilted."""

import httpx
import pytest
from PIL import Image

from tests.support.event_box import EventBox
from tests.support.guests import EVERYBODY, name_photos_of, search, take_selfie
from tests.support.photos import encode_jpeg, read_group

TURNS = {  # clockwise, to stand upright -> how the picture is stored
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}


@pytest.fixture(scope="module")
def lying(joined_stack: dict[str, str]) -> EventBox:
    """The group, as a recipe leaves it that forgets EXIF: stored lying, and nothing says so."""
    event = EventBox()
    for turn, transpose in TURNS.items():
        event.put(f"{turn}.jpg", encode_jpeg(read_group().resize((960, 664)).transpose(transpose)))
    return event


def test_previews_that_lie_are_told_and_their_people_found(
    api: httpx.Client, lying: EventBox
) -> None:
    result = lying.sync().result
    assert (result["new_photos"], result["faces_found"], result["lying_previews"]) == (3, 18, 3)
    assert {name: row.turned for name, row in lying.photos().items()} == {
        f"{turn}.jpg": turn for turn in TURNS
    }
    for person in EVERYBODY[:6]:
        answer = search(api, lying, take_selfie(person)).raise_for_status().json()
        assert len(answer["matches"]) == 3
        for match in answer["matches"]:  # the box is where the face is in the picture as it is
            x1, y1, x2, y2 = match["box"]
            x, y = (x1 + x2) / 2, (y1 + y2) / 2
            turn = int(match["s3_key"].removeprefix(lying.prefix).removesuffix(".jpg"))
            x, y = {90: (1 - y, x), 180: (1 - x, 1 - y), 270: (y, 1 - x)}[turn]
            width, height = read_group().size
            assert person.holds(x * width, y * height)


@pytest.mark.parametrize("turn", [-60, -30, 20, 45, 90, 180])
@pytest.mark.parametrize("person", [0, 3, 6])
def test_a_tilted_selfie_finds_the_same_photos(
    api: httpx.Client, wedding: EventBox, person: int, turn: int
) -> None:
    selfie = take_selfie(person, margin=0.8).rotate(turn, expand=True, fillcolor=(127,) * 3)
    answer = search(api, wedding, selfie, limit=100).raise_for_status().json()
    found = {match["s3_key"].removeprefix(wedding.prefix) for match in answer["matches"]}
    assert found == set(name_photos_of(person))
