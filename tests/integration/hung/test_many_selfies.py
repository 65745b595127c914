"""Many selfies at once: bounded memory, and nothing is computed for guests who have gone."""

import re
import socket
from urllib.parse import urlsplit

import httpx

from tests.integration.hung.conftest import Album, Crowd, call, expect_sentences
from tests.support.guests import search
from tests.support.public_api import PublicApi
from tests.support.waiting import wait_until

GONE = 40
CROWD = 120
LARGEST = 4_000_000
LINE = re.compile(r"POST /api/v1/faces/search (\d+) ")


def test_a_search_whose_guest_has_gone_is_dropped(
    api: PublicApi, album: Album, selfie: bytes
) -> None:
    with httpx.Client(base_url=api.url, timeout=60, trust_env=False) as client:
        assert search(client, album.event, selfie).status_code == 200  # the engine is loaded
        request = client.build_request(
            "POST",
            "/api/v1/faces/search",
            data={"event_uuid": str(album.event.uuid)},
            files={"file": ("a.jpg", selfie, "image/jpeg")},
        )
        request.read()
    before = LINE.findall(api.log())
    address = urlsplit(api.url)
    lines = [
        socket.create_connection((str(address.hostname), address.port or 80)) for _ in range(GONE)
    ]
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    for line in lines:
        line.sendall(f"POST {request.url.path} HTTP/1.1\r\n{head}\r\n".encode() + request.content)
    for line in lines:
        line.close()
    wait_until(lambda: len(LINE.findall(api.log())) >= len(before) + GONE)
    computed = LINE.findall(api.log())[len(before) :].count("200")
    assert computed <= GONE // 2


def test_large_pictures_of_a_crowd_are_not_all_kept(api: PublicApi, album: Album) -> None:
    # No picture at all: what is counted is the bytes that wait.
    content = b"\xff\xd8\xff" + bytes(LARGEST)
    fields = {"event_uuid": str(album.event.uuid)}
    files = {"file": ("a.jpg", content, "image/jpeg")}
    url = f"{api.url}/api/v1/faces/search"
    answers = Crowd(lambda _: call(url, "POST", data=fields, files=files), CROWD).wait()
    assert {answer.status for answer in answers} <= {0, 422, 503}
    expect_sentences([answer for answer in answers if answer.status == 503], 60)
