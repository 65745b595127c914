"""Other files under a photo's name, and photos under names that nobody should give."""

import json
import random
import zipfile
from collections.abc import Iterator
from io import BytesIO

from benchmarks.hostile.files import HostileFile, encode_accepted, make_noise

NOISE_BYTES = 30_000_000
S3_ERROR = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code>'
    b"<Message>Access Denied</Message></Error>"
)
LONGEST_NAME = 255  # bytes, with the extension: what file systems and most stores take
NAMES = (
    "Свадьба Анны и Ёжи.jpg",
    "two  spaces .jpg",
    " leading.jpg",
    "💍🥂👰🏽‍♀️.jpg",
    'it\'s "quoted".jpg',
    "100%25 %41 %zz %00.jpg",
    "a+b&c=d;e?f#g.jpg",
    "<script>alert(1)</script>.jpg",
    "'; DROP TABLE photo; --.jpg",
    "{name} $HOME `id` %s.jpg",
    "..jpg.jpg",
    "e\u0301 and \u00e9.jpg",  # the same letter twice: composed, and not
    "\u202egpj.rtl.jpg",
    "tab\tand\nline.jpg",
    "CAPITALS.JPEG",
    "n" * (LONGEST_NAME - 4) + ".jpg",
    "ж" * ((LONGEST_NAME - 4) // 2) + ".jpg",
)


def list_foreign(chance: random.Random) -> Iterator[HostileFile]:
    """Pages, archives, films, errors and noise."""
    contents = {
        "page": b"<!DOCTYPE html><html><body>Sign in to see this photo</body></html>",
        "archive": _make_zip(),
        "data": json.dumps({"photo": None}).encode(),
        "document": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj<<>>endobj\n%%EOF",
        "film": b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41" + make_noise(chance, 5_000),
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + make_noise(chance, 5_000),
        "s3_error": S3_ERROR,
        "sound": b"RIFF\x24\0\0\0WAVEfmt " + make_noise(chance, 500),
        "vector": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/hosts'/></svg>",
        "script": b"#!/bin/sh\nrm -rf /\n",
        "text": "Фотографии будут завтра".encode(),
        "noise": make_noise(chance, 10_000),
    }
    for word, content in contents.items():
        for suffix in ("jpg", "png"):
            yield HostileFile("no photo", f"foreign/{word}.{suffix}", content)
    yield HostileFile("30 MB of noise", "noise/thirty.jpg", make_noise(chance, NOISE_BYTES))
    signatures = {"jpg": b"\xff\xd8\xff\xe0", "png": b"\x89PNG\r\n\x1a\n", "webp": b"RIFF0000WEBP"}
    for suffix, signature in signatures.items():
        for number in range(3):
            content = signature + make_noise(chance, 20_000)
            yield HostileFile("signature, then noise", f"signed/{number}.{suffix}", content)


def list_polyglots() -> Iterator[HostileFile]:
    """Files that are two things: a photo is a photo whatever follows it."""
    for name, content in encode_accepted().items():
        for word, other in {"zip": _make_zip(), "page": b"<html></html>"}.items():
            yield HostileFile("polyglot", f"polyglots/{word}_behind_{name}", content + other)
            yield HostileFile("polyglot", f"polyglots/{word}_before_{name}", other + content)


def list_names() -> Iterator[HostileFile]:
    """A good photo under each name; the key is what must survive."""
    photo = encode_accepted()["baseline.jpg"]
    return (HostileFile("names", f"names/{name}", photo) for name in NAMES)


def _make_zip() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        # A fixed date: the archive must be the same every time.
        archive.writestr(zipfile.ZipInfo("photo.jpg", (2024, 6, 1, 12, 0, 0)), b"not a photo")
    return buffer.getvalue()
