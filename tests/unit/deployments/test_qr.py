"""Links on their way to a phone: the QR code in a terminal, the address in the local network."""

import cv2
import numpy as np
import pytest

from deployments.qr import choose_address, draw_qr, find_lan_address, is_local

TOKEN = "Ab3dE5gH" * 5
HALVES = {" ": (0, 0), "▀": (255, 0), "▄": (0, 255), "█": (255, 255)}


def read_drawing(drawing: str) -> str:
    """Read a drawn code as a camera before a dark terminal does."""
    rows = [
        np.array([HALVES[sign][half] for sign in line], dtype=np.uint8)
        for line in drawing.split("\n")
        for half in (0, 1)
    ]
    modules = np.pad(np.stack(rows), 4, constant_values=255)
    picture = np.kron(modules, np.ones((8, 8), dtype=np.uint8))
    text, *_ = cv2.QRCodeDetector().detectAndDecode(picture)
    return str(text)


@pytest.mark.parametrize(
    "url",
    [
        f"http://192.168.1.20:8000/gallery/{TOKEN}",
        f"https://photos.example.com/facepass/gallery/{TOKEN}",
        f"https://свадьба.рф/gallery/{TOKEN}",
    ],
)
def test_a_drawn_code_is_read_back(url: str) -> None:
    drawing = draw_qr(url)
    lines = drawing.split("\n")
    assert len({len(line) for line in lines}) == 1
    assert max(len(line) for line in lines) <= 60  # fits a terminal of 80 columns
    assert read_drawing(drawing) == url


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8000/gallery/x", True),
        ("http://127.9.9.9/gallery/x", True),
        ("http://localhost:8000/gallery/x", True),
        ("http://facepass.localhost/gallery/x", True),
        ("http://LOCALHOST/gallery/x", True),
        ("http://[::1]:8000/gallery/x", True),
        ("http://[::ffff:127.0.0.1]/gallery/x", True),
        ("http://0.0.0.0:8000/gallery/x", True),
        ("http://192.168.1.20:8000/gallery/x", False),
        ("http://[fd00::2]:8000/gallery/x", False),
        ("https://photos.example.com/gallery/x", False),
        ("https://localhost.example.com/gallery/x", False),
    ],
)
def test_a_link_of_this_computer_alone_is_told(url: str, local: bool) -> None:
    assert is_local(url) is local


@pytest.mark.parametrize(
    ("found", "outgoing", "chosen"),
    [
        (["127.0.0.1", "192.168.1.20"], "192.168.1.20", "192.168.1.20"),
        (["127.0.0.1", "192.168.1.20"], None, "192.168.1.20"),  # a router without Internet
        (["10.0.0.5", "192.168.1.20"], None, "192.168.1.20"),
        (["169.254.3.4", "10.0.0.5"], None, "10.0.0.5"),
        (["169.254.3.4"], None, "169.254.3.4"),  # a cable between two machines
        (["192.168.1.20"], "100.64.0.9", "192.168.1.20"),  # the route leads into a tunnel
        (["127.0.0.1"], None, None),
        ([], None, None),
    ],
)
def test_the_address_is_the_one_that_phones_reach(
    found: list[str], outgoing: str | None, chosen: str | None
) -> None:
    assert choose_address(found, outgoing) == chosen


def test_this_machine_s_own_address_is_no_loopback() -> None:
    address = find_lan_address()
    assert address is None or not is_local(f"http://{address}")
