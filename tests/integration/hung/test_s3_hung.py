"""S3 stands still: downloads are told so in time, and nobody else waits."""

import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest

from tests.integration.hung.conftest import SOON_S, Album, Crowd, call, expect_sentences
from tests.support.guests import search
from tests.support.public_api import PublicApi
from tests.support.standing_still import count_connections, find_listener, stand_still
from tests.support.waiting import wait_until

GUESTS = 60
LIMIT_S = 55
LARGE = 12 * 1024 * 1024  # more than all buffers on the way to a client that does not read
LEFT = 15


def test_guests_who_press_download_leave_everybody_else_their_threads(
    api: PublicApi, album: Album, joined_stack: dict[str, str], selfie: bytes
) -> None:
    gallery = f"{api.url}/gallery/{album.token}"
    assert call(f"{gallery}/zip", "POST", data={"photo_ids": album.photo_id}).status == 200
    with httpx.Client(base_url=api.url, timeout=60, trust_env=False) as client:
        assert search(client, album.event, selfie).status_code == 200  # the engine is loaded
        with stand_still(find_listener(joined_stack["FACEPASS_S3_ENDPOINT_URL"])):
            crowd = Crowd(
                lambda _: call(f"{gallery}/zip", "POST", data={"photo_ids": album.photo_id}),
                GUESTS,
            )
            time.sleep(2)
            for path in ("/health", f"/gallery/{album.token}", "/api/v1/events"):
                answer = call(f"{api.url}{path}")
                assert (answer.status, answer.seconds < SOON_S) == (200, True), (path, answer)
            assert search(client, album.event, selfie).status_code == 200
            ready = call(f"{api.url}/ready")
            assert (ready.status, "S3" in ready.text, ready.seconds < SOON_S) == (503, True, True)
            expect_sentences(crowd.wait(), LIMIT_S)
    assert call(f"{gallery}/zip", "POST", data={"photo_ids": album.photo_id}).status == 200


def test_pictures_are_given_up_soon_and_what_needs_no_s3_goes_on(
    api: PublicApi, album: Album, joined_stack: dict[str, str], selfie: bytes
) -> None:
    photo = f"{api.url}/gallery/{album.token}/photos/{album.photo_id}"
    known = httpx.get(f"{photo}/preview", trust_env=False).raise_for_status().headers["etag"]
    with httpx.Client(base_url=api.url, timeout=60, trust_env=False) as client:
        assert search(client, album.event, selfie).status_code == 200  # the engine is loaded
        with stand_still(find_listener(joined_stack["FACEPASS_S3_ENDPOINT_URL"])):
            kinds = ("preview", "original")
            crowd = Crowd(lambda number: call(f"{photo}/{kinds[number % 2]}"), GUESTS)
            time.sleep(2)
            for path in ("/health", f"/gallery/{album.token}", "/api/v1/events"):
                answer = call(f"{api.url}{path}")
                assert (answer.status, answer.seconds < SOON_S) == (200, True), (path, answer)
            same = call(f"{photo}/thumb", headers={"If-None-Match": known})
            assert (same.status, same.seconds < SOON_S) == (304, True), same
            assert search(client, album.event, selfie).status_code == 200
            expect_sentences(crowd.wait(), LIMIT_S)
    assert call(f"{photo}/preview").status == 200


def test_a_guest_who_waits_in_vain_reads_it_in_their_language(
    api: PublicApi, album: Album, joined_stack: dict[str, str]
) -> None:
    with stand_still(find_listener(joined_stack["FACEPASS_S3_ENDPOINT_URL"])):
        answer = call(
            f"{api.url}/gallery/{album.token}/zip?lang=ru",
            "POST",
            data={"photo_ids": album.photo_id},
            headers={"Accept": "text/html"},
        )
    assert (answer.status, answer.retry_after) == (503, "15")
    assert "Сейчас недоступно" in answer.text or "недоступн" in answer.text.lower()


@pytest.mark.parametrize("what", ["zip", "original"])
def test_downloads_that_nobody_reads_are_let_go_when_their_clients_leave(
    api: PublicApi, album: Album, joined_stack: dict[str, str], what: str
) -> None:
    event, s3 = album.event, joined_stack["FACEPASS_S3_ENDPOINT_URL"]
    key = f"events/{event.id}/originals/group.jpg"
    event.bucket.client.put_object(Bucket=event.bucket.name, Key=key, Body=bytes(LARGE))
    lines = [open_download(api.url, album, what) for _ in range(LEFT)]
    wait_until(lambda: count_connections(api.process.pid, s3) >= LEFT)
    for line in lines:
        line.close()
    wait_until(lambda: count_connections(api.process.pid, s3) == 0)


def open_download(url: str, album: Album, what: str) -> socket.socket:
    """A download of which the first bytes are read, and no more."""
    address = urlsplit(url)
    line = socket.create_connection((str(address.hostname), address.port or 80))
    body = f"photo_ids={album.photo_id}" if what == "zip" else ""
    path = "zip" if what == "zip" else f"photos/{album.photo_id}/original"
    line.sendall(
        f"{'POST' if body else 'GET'} /gallery/{album.token}/{path} HTTP/1.1\r\n"
        f"Host: {address.netloc}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
        f"{body}".encode()
    )
    assert b" 200 " in line.recv(64)
    return line
