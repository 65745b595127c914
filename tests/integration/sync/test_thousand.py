"""A thousand previews in one run: nothing fails, nothing is done twice."""

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

from PIL import Image

from tests.support.event_box import EventBox
from tests.support.photos import read_sample

COUNT = 1000
FACES = {f"{i:04}.jpg": int(i % 4 == 0) for i in range(COUNT)}


def make_preview(index: int) -> bytes:
    """A picture in different bytes each time: cropped by `index`, and marked with it.

    Every fourth is a portrait; in the others nobody is to be seen, which is found out sooner.
    """
    name = "astronaut.png" if index % 4 == 0 else "coffee.png"
    picture = read_sample(name).crop((0, 0, 512 - index % 20, 400 - index % 30))
    buffer = BytesIO()
    picture.resize((320, 320), Image.Resampling.BILINEAR).save(buffer, "JPEG", quality=85)
    return buffer.getvalue() + index.to_bytes(4, "big")


def test_a_thousand_previews_twice_and_then_all_known(event: EventBox) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: event.put(f"{i:04}.jpg", make_preview(i)), range(COUNT)))

    first = event.sync().result
    assert (first["new_photos"], first["failed"]) == (COUNT, 0)
    assert event.face_counts() == FACES

    # Other bytes under every key: the second run does all of it again.
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: event.put(f"{i:04}.jpg", make_preview(i + COUNT)), range(COUNT)))
    second = event.sync().result
    assert (second["updated"], second["failed"], second["skipped"]) == (COUNT, 0, 0)

    third = event.sync().result
    assert (third["skipped"], third["new_photos"], third["updated"]) == (COUNT, 0, 0)
    assert event.face_counts() == FACES
    assert len(event.photos()) == COUNT
