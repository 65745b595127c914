"""A guest finds themselves: sync, selfie, photos, over the real API, S3, PostgreSQL and models."""

import logging
import tempfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pillow_heif
import pytest
from fastapi.testclient import TestClient
from PIL import Image, ImageFilter, ImageOps
from sqlalchemy.exc import DBAPIError
from starlette.formparsers import MultiPartParser

from api.app import create_app
from models.session import get_database_engine
from tests.support.event_box import EventBox
from tests.support.guests import (
    EVERYBODY,
    find,
    name_photos_of,
    read_token,
    search,
    take_selfie,
)
from tests.support.photos import encode_jpeg, read_group, read_sample

SEARCH = "/api/v1/faces/search"


def refuse(api: httpx.Client, event: EventBox, *selfies: Any, **fields: Any) -> dict[str, Any]:
    answer = search(api, event, *selfies, **fields)
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"].endswith((".", "again."))
    return dict(answer.json())


def list_names(event: EventBox, answer: dict[str, Any]) -> list[str]:
    return [match["s3_key"].removeprefix(event.prefix) for match in answer["matches"]]


# --- who is found ---


@pytest.mark.parametrize("person", EVERYBODY)
def test_a_selfie_finds_all_photos_of_its_person_and_no_other(
    api: httpx.Client, wedding: EventBox, person: int
) -> None:
    for selfie in (take_selfie(person), ImageOps.mirror(take_selfie(person, margin=0.8))):
        answer = find(api, wedding, selfie, limit=100)

        names = list_names(wedding, answer)
        assert sorted(names) == sorted(name_photos_of(person))
        similarities = [match["similarity"] for match in answer["matches"]]
        assert similarities == sorted(similarities, reverse=True)
        assert min(similarities) >= answer["thresholds"]["min_similarity"]
        surely = answer["thresholds"]["surely"]
        assert [m["band"] for m in answer["matches"]] == [
            "surely" if similarity >= surely else "maybe" for similarity in similarities
        ]
        assert answer["next_cursor"] is None


@pytest.mark.parametrize("person", EVERYBODY)
@pytest.mark.parametrize("width", [160, 1200])
def test_a_close_up_that_fills_the_frame_is_found(
    api: httpx.Client, wedding: EventBox, person: int, width: int
) -> None:
    selfie = take_selfie(person, margin=0.1)
    selfie = selfie.resize((width, round(selfie.height * width / selfie.width)))

    answer = find(api, wedding, selfie)

    assert sorted(list_names(wedding, answer)) == sorted(name_photos_of(person))
    box = answer["selfie"]["box"]
    assert all(0 <= corner <= 1 for corner in box)
    assert (box[2] - box[0]) * (box[3] - box[1]) > 0.4


def test_a_selfie_is_read_as_exif_wants_it_seen(api: httpx.Client, wedding: EventBox) -> None:
    upright = find(api, wedding, encode_jpeg(take_selfie(6)))
    turned = find(api, wedding, encode_jpeg(take_selfie(6), orientation=6))

    assert set(list_names(wedding, turned)) == set(list_names(wedding, upright))
    assert turned["selfie"]["box"] == pytest.approx(upright["selfie"]["box"], abs=0.02)


def test_a_photos_box_is_the_persons_face(api: httpx.Client, wedding: EventBox) -> None:
    for person in (0, 1):
        (match,) = [
            match
            for match in find(api, wedding, take_selfie(person))["matches"]
            if match["s3_key"].endswith("group plain.jpg")
        ]
        x1, y1, x2, y2 = EVERYBODY[person].box
        width, height = read_group().size
        assert match["box"] == pytest.approx(
            [x1 / width, y1 / height, x2 / width, y2 / height], abs=0.015
        )


def test_a_guest_searches_by_the_links_token(api: httpx.Client, wedding: EventBox) -> None:
    by_token = find(api, wedding, take_selfie(6), gallery_token=read_token(wedding))
    by_uuid = find(api, wedding, take_selfie(6))

    assert list_names(wedding, by_token) == list_names(wedding, by_uuid)


def test_another_events_faces_are_never_shown(
    api: httpx.Client, wedding: EventBox, event: EventBox
) -> None:
    event.put("mine.jpg", encode_jpeg(read_sample("astronaut.png")))
    event.sync()

    mine = find(api, event, take_selfie(6))
    theirs = find(api, wedding, take_selfie(6), limit=500)

    assert list_names(event, mine) == ["mine.jpg"]
    assert {match["photo_id"] for match in mine["matches"]}.isdisjoint(
        match["photo_id"] for match in theirs["matches"]
    )
    assert find(api, event, take_selfie(0))["matches"] == []


@pytest.mark.parametrize("status", ["gone", "failed", "pending", "erased"])
def test_only_indexed_photos_are_shown(api: httpx.Client, event: EventBox, status: str) -> None:
    from sqlalchemy import text

    from models.session import open_session

    for name in ("kept.jpg", "hidden.jpg"):
        event.put(name, encode_jpeg(read_sample("astronaut.png"), quality=80 + len(name)))
    event.sync()
    statement = "UPDATE photo SET status = :status WHERE s3_key LIKE '%hidden%' AND event_id = :id"
    with open_session() as session:
        session.execute(text(statement), {"status": status, "id": event.id})

    assert list_names(event, find(api, event, take_selfie(6))) == ["kept.jpg"]


def test_an_answer_tells_how_the_search_was_expanded(api: httpx.Client, wedding: EventBox) -> None:
    answer = find(api, wedding, take_selfie(1), limit=100)

    assert answer["thresholds"]["expanded_by"] == len(name_photos_of(1))
    for match in answer["matches"]:
        assert 0.45 < match["selfie_similarity"] <= 1
        assert match["similarity"] >= answer["thresholds"]["surely"]
    # Each of them is nearer to all of them than the least like the selfie is to the selfie.
    least = min(match["selfie_similarity"] for match in answer["matches"])
    assert min(match["similarity"] for match in answer["matches"]) > least


# --- several selfies ---


@pytest.mark.parametrize("person", [1, 6])
def test_up_to_three_selfies_of_a_person_are_searched_with_together(
    api: httpx.Client, wedding: EventBox, person: int
) -> None:
    selfies = [
        take_selfie(person),
        ImageOps.mirror(take_selfie(person, margin=0.8)),
        take_selfie(person, margin=0.2),
    ]
    alone = [find(api, wedding, selfie) for selfie in selfies]

    answer = find(api, wedding, *selfies)

    assert sorted(list_names(wedding, answer)) == sorted(name_photos_of(person))
    assert answer["selfies"] == [one["selfie"] for one in alone]
    assert answer["selfie"] == answer["selfies"][0]
    means = {m["photo_id"]: m["selfie_similarity"] for m in answer["matches"]}
    singles = [{m["photo_id"]: m["selfie_similarity"] for m in one["matches"]} for one in alone]
    for photo_id, similarity in means.items():
        assert similarity > min(single[photo_id] for single in singles)


@pytest.mark.parametrize("code", ["not_an_image", "no_face", "several_faces", "face_too_blurred"])
@pytest.mark.parametrize("place", [1, 2, 3])
def test_of_several_selfies_the_one_that_is_refused_is_named(
    api: httpx.Client, wedding: EventBox, code: str, place: int
) -> None:
    selfies: list[Any] = [take_selfie(1), ImageOps.mirror(take_selfie(1))]
    selfies.insert(place - 1, REFUSED[code]())

    refusal = refuse(api, wedding, *selfies)

    assert (refusal["code"], refusal["file"]) == (code, place)
    assert refusal["detail"].startswith(f"Selfie {place}: ")
    assert len(refusal["faces"]) == {"several_faces": 6, "face_too_blurred": 1}.get(code, 0)


def test_selfies_of_two_people_are_refused(api: httpx.Client, wedding: EventBox) -> None:
    refusal = refuse(api, wedding, take_selfie(1), take_selfie(6))
    assert (refusal["code"], refusal["file"]) == ("different_people", 2)
    assert "send selfies of one person" in refusal["detail"]
    refusal = refuse(api, wedding, take_selfie(6), take_selfie(1), ImageOps.mirror(take_selfie(1)))
    assert (refusal["code"], refusal["file"]) == ("different_people", 1)


def test_the_face_of_each_selfie_is_chosen_apart(api: httpx.Client, wedding: EventBox) -> None:
    refusal = refuse(api, wedding, take_selfie(1), read_group())
    width, height = read_group().size
    (index,) = [
        index
        for index, face in enumerate(refusal["faces"])
        if EVERYBODY[1].holds(
            *(
                (face["box"][i] + face["box"][i + 2]) / 2 * side
                for i, side in enumerate((width, height))
            )
        )
    ]

    answer = find(api, wedding, take_selfie(1), read_group(), face=["", str(index)])

    assert answer["selfies"][1] == refusal["faces"][index]
    assert sorted(list_names(wedding, answer)) == sorted(name_photos_of(1))
    other = find(api, wedding, read_group(), face=[str(index)])
    assert sorted(list_names(wedding, other)) == sorted(name_photos_of(1))


def test_selfies_are_no_larger_together_than_one_may_be(
    api: httpx.Client, wedding: EventBox
) -> None:
    half = bytes(10_000_000)
    assert refuse(api, wedding, half)["code"] == "not_an_image"
    refusal = refuse(api, wedding, half, half)
    assert (refusal["code"], refusal["file"]) == ("too_many_bytes", None)
    answer = search(api, wedding, *[take_selfie(1)] * 4)
    assert (answer.status_code, "Maximum number of files is 3" in answer.text) == (400, True)


# --- pages ---


@pytest.mark.parametrize(("limit", "lowest"), [(1, 0.4), (3, 0.0), (7, 0.2), (500, 0.0)])
def test_pages_together_are_the_whole_in_order(
    api: httpx.Client, wedding: EventBox, limit: int, lowest: float
) -> None:
    whole = find(api, wedding, take_selfie(0), limit=500, min_similarity=lowest)
    pages: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        fields = {"cursor": cursor} if cursor else {}
        page = find(api, wedding, take_selfie(0), limit=limit, min_similarity=lowest, **fields)
        assert len(page["matches"]) <= limit
        pages += page["matches"]
        cursor = page["next_cursor"]

    ids = [match["photo_id"] for match in pages]
    assert ids == [match["photo_id"] for match in whole["matches"]]
    assert len(ids) == len(set(ids))
    order = [(-match["similarity"], match["photo_id"]) for match in pages]
    assert order == sorted(order)
    assert min(match["similarity"] for match in pages) >= lowest


@pytest.mark.parametrize(
    "cursor",
    ["x", "AAAA", "////////////////////", "я", "AAAAAAAA8H8AAAAAAAAAAAAA", "=" * 24, "%00"],
)
def test_a_cursor_that_was_changed_is_refused(
    api: httpx.Client, wedding: EventBox, cursor: str
) -> None:
    answer = search(api, wedding, take_selfie(6), cursor=cursor)

    assert answer.status_code == 400
    assert "cursor" in answer.json()["detail"]


# --- links ---


def test_links_bring_the_preview_and_the_original_under_its_name(
    api: httpx.Client, event: EventBox
) -> None:
    name = 'Жених & "невеста" №1.jpg'
    preview = encode_jpeg(read_sample("astronaut.png"))
    key = event.put(name, preview, original=False)
    original = encode_jpeg(read_sample("astronaut.png"), quality=95)
    event.bucket.client.put_object(
        Bucket=event.bucket.name, Key=key.replace("/previews/", "/originals/"), Body=original
    )
    event.put("no original.jpg", preview[:-1] + b"\xd9 ", original=False)
    event.sync()

    matches = {m["s3_key"]: m for m in find(api, event, take_selfie(6))["matches"]}

    assert matches[f"{event.prefix}no original.jpg"]["original_url"] is None
    with httpx.Client(trust_env=False) as guest:
        shown = guest.get(matches[key]["preview_url"]).raise_for_status()
        saved = guest.get(matches[key]["original_url"]).raise_for_status()
        assert guest.get(matches[key]["image_url"]).status_code == 403
    assert (shown.content, saved.content) == (preview, original)
    assert shown.headers["content-disposition"] == "inline"
    disposition = saved.headers["content-disposition"]
    assert disposition.startswith('attachment; filename="')
    assert disposition.endswith(
        "filename*=UTF-8''%D0%96%D0%B5%D0%BD%D0%B8%D1%85%20%26%20%22%D0%BD%D0%B5%D0%B2%D0%B5%D1%81"
        "%D1%82%D0%B0%22%20%E2%84%961.jpg"
    )
    assert "X-Amz-Expires=900" in matches[key]["preview_url"]


# --- refusals ---


def make_small_face() -> Image.Image:
    selfie = take_selfie(6, margin=1.0)
    small = selfie.resize((selfie.width // 5, selfie.height // 5))
    canvas = Image.new("RGB", (200, 200), (90, 120, 150))
    canvas.paste(small, (60, 60))
    return canvas


def make_blurred_face() -> Image.Image:
    x1, _, x2, _ = EVERYBODY[1].box
    return take_selfie(1, margin=1.0).filter(ImageFilter.GaussianBlur(0.06 * (x2 - x1)))


REFUSED: dict[str, Callable[[], bytes | Image.Image]] = {
    "not_an_image": lambda: b"<html>",
    "no_face": lambda: read_sample("coffee.png"),
    "several_faces": lambda: read_group(),
    "face_too_small": make_small_face,
    "face_too_blurred": make_blurred_face,
}


@pytest.mark.parametrize("code", REFUSED)
def test_a_selfie_that_cannot_be_used_gets_a_code_and_a_sentence(
    api: httpx.Client, wedding: EventBox, code: str
) -> None:
    assert refuse(api, wedding, REFUSED[code]())["code"] == code


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "TIFF"])
def test_a_selfie_may_be_any_file_that_a_phone_writes(
    api: httpx.Client, wedding: EventBox, kind: str
) -> None:
    pillow_heif.register_heif_opener()
    buffer = BytesIO()
    take_selfie(6).save(buffer, kind)

    answer = find(api, wedding, buffer.getvalue())

    assert sorted(list_names(wedding, answer)) == sorted(name_photos_of(6))


def test_a_selfie_may_have_200_megapixels_and_lack_its_end(
    api: httpx.Client, wedding: EventBox
) -> None:
    selfie = take_selfie(6, margin=1.0)
    scale = (200_000_000 / (selfie.width * selfie.height)) ** 0.5
    large = selfie.resize((round(selfie.width * scale), round(selfie.height * scale)))
    content = encode_jpeg(large, quality=60)
    assert len(content) < 20_000_000

    answer = find(api, wedding, content[:-2])

    assert sorted(list_names(wedding, answer)) == sorted(name_photos_of(6))


def test_empty_and_cut_off_files_are_no_images(api: httpx.Client, wedding: EventBox) -> None:
    whole = encode_jpeg(take_selfie(6))
    for content in (b"", whole[: len(whole) // 2]):
        assert refuse(api, wedding, content)["code"] == "not_an_image"


def test_files_larger_than_the_limits_are_refused(api: httpx.Client, wedding: EventBox) -> None:
    assert refuse(api, wedding, bytes(20_000_001))["code"] == "too_many_bytes"
    buffer = BytesIO()
    Image.new("L", (8000, 7000)).save(buffer, "PNG")
    assert refuse(api, wedding, buffer.getvalue())["code"] == "too_many_pixels"


def test_of_several_faces_the_guest_chooses_one(api: httpx.Client, wedding: EventBox) -> None:
    faces = refuse(api, wedding, read_group())["faces"]
    assert len(faces) == 6
    width, height = read_group().size
    for index, face in enumerate(faces):
        x, y = ((face["box"][i] + face["box"][i + 2]) / 2 for i in (0, 1))
        (person,) = [p for p in EVERYBODY[:6] if p.holds(x * width, y * height)]

        answer = find(api, wedding, read_group(), face=index)

        assert answer["selfie"] == face
        assert sorted(list_names(wedding, answer)) == sorted(name_photos_of(person.number))
    assert refuse(api, wedding, read_group(), face=6)["code"] == "no_such_face"


def test_a_face_behind_does_not_count(api: httpx.Client, wedding: EventBox) -> None:
    selfie = take_selfie(6, margin=1.0).resize((800, 800))
    selfie.paste(take_selfie(1).resize((130, 150)), (0, 0))

    answer = find(api, wedding, selfie)

    assert sorted(list_names(wedding, answer)) == sorted(name_photos_of(6))


def test_faces_of_another_pack_are_never_compared(api: httpx.Client, event: EventBox) -> None:
    from sqlalchemy import text

    from models.queries.packs import register_pack
    from models.session import open_session

    for name in ("a.jpg", "b.jpg"):
        event.put(name, encode_jpeg(read_sample("astronaut.png"), quality=ord(name[0])))
    event.sync()
    statement = (
        "WITH named AS (UPDATE photo SET pack_id = :pack"
        " WHERE event_id = :event AND s3_key LIKE :names RETURNING id)"
        " UPDATE face SET pack_id = :pack FROM named WHERE face.photo_id = named.id"
    )
    for names in ("%a.jpg", "%"):
        with open_session() as session:
            pack = register_pack(session, "another@0000000000000000", "none")
            session.execute(text(statement), {"pack": pack, "event": event.id, "names": names})

        answer = refuse(api, event, take_selfie(6))

        assert answer["code"] == "needs_sync"
        assert "sync the event again" in answer["detail"]


# --- the form ---


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"event_uuid": "x"}, 400),
        ({"event_uuid": str(uuid4())}, 404),
        ({"gallery_token": "x"}, 404),
        ({"gallery_token": "я"}, 404),
        ({"event_uuid": ""}, 400),
        ({"event_uuid": str(uuid4()), "gallery_token": "x"}, 400),
        *[({"limit": limit}, 400) for limit in ("0", "501", "x", "1.5", "-1")],
        *[({"min_similarity": value}, 400) for value in ("nan", "inf", "1.1", "-0.1", "x")],
        *[({"face": face}, 400) for face in ("-1", "x", "99999999999999999999")],
    ],
)
def test_a_form_that_cannot_be_is_refused(
    api: httpx.Client, wedding: EventBox, fields: dict[str, str], status: int
) -> None:
    answer = search(api, wedding, take_selfie(6), **fields)

    assert answer.status_code == status, answer.text
    assert isinstance(answer.json()["detail"], str)


def test_what_is_no_form_with_a_file_is_refused(api: httpx.Client, wedding: EventBox) -> None:
    event = {"event_uuid": str(wedding.uuid)}
    for call in (
        {"json": event},
        {"data": event},
        {"content": b"x", "headers": {"content-type": "multipart/form-data"}},
        {"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=b"}},
        {"data": event, "files": {"picture": b"x"}},
        {"data": event, "files": [("file", b"x")] * 4},
        {"data": event | {"face": ["0", "1"]}, "files": {"file": b"x"}},
        {"data": event | {"face": "1"}, "files": [("file", b"x")] * 2},
    ):
        answer = api.post(SEARCH, **call)  # type: ignore[arg-type]
        assert answer.status_code == 400, answer.text
        assert isinstance(answer.json()["detail"], str)


# --- what stays private ---

KEY = "ключ Анны"


@pytest.fixture
def guarded(joined_stack: dict[str, str], configure: Callable[..., None]) -> Iterator[TestClient]:
    """The API with a photographer's key, in this process."""
    configure(api_keys=f"anna:{sha256(KEY.encode()).hexdigest()}")
    with TestClient(create_app()) as client:
        yield client


def test_a_photographer_needs_a_key_and_a_guest_the_token(
    guarded: TestClient, wedding: EventBox
) -> None:
    token = read_token(wedding)

    assert search(guarded, wedding, take_selfie(6)).status_code == 401
    assert search(guarded, wedding, take_selfie(6), event_uuid=str(uuid4())).status_code == 401
    assert search(guarded, wedding, take_selfie(6), gallery_token=token).status_code == 200
    guarded.headers = httpx.Headers([(b"X-API-Key", KEY.encode())])
    assert search(guarded, wedding, take_selfie(6)).status_code == 200


def test_a_selfie_never_touches_a_disk_and_is_logged_nowhere(
    guarded: TestClient,
    wedding: EventBox,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Logged at the finest level, SQL and all; more than what Starlette keeps in memory is sent."""
    from tasks import search as searching

    vectors: list[Any] = []
    find = searching.find_photos
    monkeypatch.setattr(
        searching, "find_photos", lambda *a, **k: vectors.append(a[1].embedding) or find(*a, **k)
    )
    spooled: list[object] = []
    monkeypatch.setattr(
        tempfile.SpooledTemporaryFile, "rollover", lambda file: spooled.append(file)
    )
    selfie = encode_jpeg(take_selfie(6).resize((2400, 2900)), quality=100)
    assert len(selfie) > MultiPartParser.spool_max_size

    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "sqlalchemy.engine"):
        get_database_engine.cache_clear()  # it decides when it is made whether it logs
        answer = search(guarded, wedding, selfie, gallery_token=read_token(wedding))

    assert answer.status_code == 200
    assert spooled == []
    (vector,) = vectors
    assert "FROM face" in caplog.text
    numbers = {str(np.float16(value)).lstrip("-0") for value in vector[:20]}
    for text in (caplog.text, answer.text):
        assert [secret for secret in {*numbers, "JFIF", "\\xff\\xd8"} if secret in text] == []


def test_an_error_of_the_database_does_not_tell_the_face(wedding: EventBox) -> None:
    from models.queries.search import FaceQuery, find_photos
    from models.session import open_session

    (row,) = wedding.query("SELECT pack_id FROM face WHERE event_id = :event LIMIT 1")
    face = np.full(3, 0.57735, np.float32)  # of another length than the event's
    with pytest.raises(DBAPIError) as caught, open_session() as session:
        find_photos(session, FaceQuery(wedding.id, [row.pack_id], face, 0.4), after=None, limit=1)
    assert "different halfvec dimensions" in str(caught.value)
    assert "0.577" not in str(caught.value)


def read_if_there(file: Path) -> bytes:
    """A file's bytes; none of one that a server has taken away since it was listed."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return b""


# Of this event, to the last byte: the stack's other tables move by themselves.
ALL_ROWS = """
SELECT (SELECT md5(string_agg(photo::text, '' ORDER BY id)) FROM photo WHERE event_id = :event),
       (SELECT md5(string_agg(face::text, '' ORDER BY id)) FROM face WHERE event_id = :event),
       (SELECT md5(string_agg(sync_run::text, '' ORDER BY flow_run_id)) FROM sync_run
        WHERE event_id = :event)
"""


def test_the_stack_keeps_nothing_of_a_selfie(
    api: httpx.Client, wedding: EventBox, joined_stack: dict[str, str]
) -> None:
    """After searches over the real server: no log, no file of the database or of results has it."""
    from tasks.faces.cache import get_face_engine
    from tasks.faces.selfie import read_selfie

    before = wedding.query(ALL_ROWS)
    selfie = encode_jpeg(take_selfie(6).resize((1500, 1800)), quality=100)
    vector = read_selfie(selfie, get_face_engine(), 10**9, None).embedding
    find(api, wedding, selfie)
    refuse(api, wedding, encode_jpeg(read_group()))

    needles = [
        selfie[2000:2032],
        vector[:4].tobytes(),
        *(np.array2string(vector[i : i + 1], precision=6)[1:-1].encode() for i in (0, 9)),
        ("[" + str(float(vector[0]))[:9]).encode(),
    ]
    home = Path(joined_stack["FACEPASS_HOME"])
    places = [home, Path(joined_stack["PREFECT_LOCAL_STORAGE_PATH"])]
    files = {
        file
        for place in places
        for file in place.rglob("*")
        if file.is_file() and not {"models", "s3"} & set(file.relative_to(place).parts)
    }
    assert any(file.suffix == ".log" for file in files)
    found = [file for file in files if any(needle in read_if_there(file) for needle in needles)]
    assert found == []
    after = wedding.query(ALL_ROWS)
    assert before == after
