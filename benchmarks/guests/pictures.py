"""The command of `make bench-pictures`: fifty guests who look and search while a sync runs.

Each guest looks at screens of 16 thumbs, six at a time as a browser does, and pauses between them;
every tenth searches meanwhile, again and again. It prints the times of thumbs and searches, and
fails where one was refused or the sync did not go on.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2

from benchmarks.guests.__main__ import OUTSIDE, Album
from benchmarks.latency.triggers import compute_p95
from deployments.command_line.signals import interrupt_on_signals
from deployments.sample_photos import make_sample_photos
from deployments.stack.stack import EmbeddedStack
from models.keys import derive_view_key
from models.settings import Settings
from models.vocabulary import ViewKind
from tests.support.guests import take_selfie
from tests.support.photos import encode_jpeg

DICE = random.Random(1)  # noqa: S311 - no secret
SCREEN_THUMBS, CONNECTIONS = 16, 6
THUMB = DICE.randbytes(12_000)
SYNCED_COPIES = 4
SELFIE_SIZE = (1200, 1600)


class Crowd:
    """Guests of one event, and what they met."""

    def __init__(self, url: str, token: str, event_uuid: str, photo_ids: list[int]) -> None:
        address = urlsplit(url)
        self._host, self._port = str(address.hostname), address.port or 80
        self._token = token
        self._event_uuid = event_uuid
        self._photo_ids = photo_ids
        self.thumbs: list[float] = []
        self.searches: list[float] = []
        self.statuses: Counter[str] = Counter()

    async def look(self, seconds: float, pause_s: float) -> None:
        """One guest, who comes at some moment and scrolls."""
        end = time.monotonic() + seconds
        await asyncio.sleep(DICE.uniform(0, pause_s))
        while time.monotonic() < end:
            wanted = asyncio.Queue[int]()
            for photo_id in DICE.sample(self._photo_ids, SCREEN_THUMBS):
                wanted.put_nowait(photo_id)
            await asyncio.gather(*(self._load(wanted) for _ in range(CONNECTIONS)))
            await asyncio.sleep(DICE.uniform(0.5, 1.5) * pause_s)

    async def _load(self, wanted: "asyncio.Queue[int]") -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        while not wanted.empty():
            path = f"/gallery/{self._token}/photos/{wanted.get_nowait()}/thumb?v=0"
            self.thumbs.append(await self._call(reader, writer, "GET", path))
        writer.close()

    async def search(self, seconds: float, selfie: bytes) -> None:
        """One guest, who searches again and again."""
        end, line = time.monotonic() + seconds, "x" * 20
        parts = f'--{line}\r\nContent-Disposition: form-data; name="event_uuid"\r\n\r\n'
        parts += f"{self._event_uuid}\r\n--{line}\r\nContent-Disposition: form-data; "
        parts += 'name="file"; filename="s.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
        body = parts.encode() + selfie + f"\r\n--{line}--\r\n".encode()
        kind = f"multipart/form-data; boundary={line}"
        while time.monotonic() < end:
            reader, writer = await asyncio.open_connection(self._host, self._port)
            path = "/api/v1/faces/search"
            self.searches.append(await self._call(reader, writer, "POST", path, kind, body))
            writer.close()
            await asyncio.sleep(DICE.uniform(1, 5))

    async def _call(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        method: str,
        path: str,
        kind: str = "text/plain",
        body: bytes = b"",
    ) -> float:
        """Seconds until the answer's last byte."""
        begin = time.monotonic()
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        await reader.readexactly(length)
        self.statuses[f"{path.rpartition('/')[2].partition('?')[0]} {head[9:12]}"] += 1
        return time.monotonic() - begin


def main() -> int:
    """Measure: 0 when nobody was refused and the sync went on."""
    parser = argparse.ArgumentParser(prog="make bench-pictures", description=__doc__)
    parser.add_argument("--guests", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--pause", type=float, default=3, help="between two screens, seconds")
    options = parser.parse_args()
    for name in [name for name in os.environ if name.startswith(OUTSIDE)]:
        del os.environ[name]
    with interrupt_on_signals(), tempfile.TemporaryDirectory(prefix="fp-") as folder:
        settings = Settings(
            home=Path(folder) / "home",
            model_root=Path(folder),
            model_pack="opencv_zoo",
            api_port=0,
            prefect_port=0,
            s3_port=0,
            make_views=False,
            guest_rate_limit="100000/minute",
        )
        with EmbeddedStack(settings) as stack:
            line = measure(stack, options)
    sys.stdout.write(json.dumps(line) + "\n")
    refused = [status for status in line["answers"] if not status.endswith(" 200")]
    return int(bool(refused) or line["photos_synced_meanwhile"] <= 0)


def measure(stack: EmbeddedStack, options: argparse.Namespace) -> dict[str, Any]:
    """All that happens, and what came of it."""
    album = Album(stack)
    album.put(range(SYNCED_COPIES))
    album.wait_for_sync(album.start_sync())
    token, event_uuid, photo_ids = add_thumbs(stack.environment)
    selfie = encode_jpeg(take_selfie(0).resize(SELFIE_SIZE))
    album.search(selfie)  # the engine is loaded
    album.put(range(SYNCED_COPIES, 100))
    task_id = album.start_sync()
    first = album.wait_for_sync(task_id, photos=len(list(make_sample_photos())) * 4 + 1)
    crowd = Crowd(stack.environment["FACEPASS_API_URL"], token, event_uuid, photo_ids)

    async def play() -> None:
        await asyncio.gather(
            *(crowd.look(options.seconds, options.pause) for _ in range(options.guests)),
            *(crowd.search(options.seconds, selfie) for _ in range(options.guests // 10)),
        )

    load = os.getloadavg()[0]
    asyncio.run(play())
    last = album.wait_for_sync(task_id, photos=0)
    return {
        "guests": options.guests,
        "thumbs": len(crowd.thumbs),
        "thumb_p95_ms": round(compute_p95([took * 1000 for took in crowd.thumbs])),
        "searches": len(crowd.searches),
        "search_p95_s": round(compute_p95(crowd.searches), 2),
        "answers": dict(crowd.statuses),
        "photos_synced_meanwhile": last["progress"]["processed"] - first["progress"]["processed"],
        "load_before": round(load, 1),
    }


def add_thumbs(environment: dict[str, str]) -> tuple[str, str, list[int]]:
    """As the flow does, without its work; the gallery's token, the event's UUID, photos' ids."""
    from benchmarks.s3_client import open_client

    s3, bucket = open_client(environment), environment["FACEPASS_S3_BUCKET"]
    with psycopg2.connect(environment["FACEPASS_DATABASE_URL"]) as line, line.cursor() as cursor:
        cursor.execute(
            "SELECT id, event_id, s3_key FROM photo WHERE status IN ('indexed', 'no_face')"
        )
        rows = cursor.fetchall()
        for _, event_id, key in rows:
            thumb_key = derive_view_key(key, f"events/{event_id}/", ViewKind.THUMB)
            s3.put_object(Bucket=bucket, Key=thumb_key, Body=THUMB)
        cursor.execute("UPDATE photo SET views_etag = etag, views_source = 'bench'")
        cursor.execute("SELECT gallery_token, uuid::text FROM event")
        token, event_uuid = cursor.fetchone()
        return token, event_uuid, [row[0] for row in rows]


if __name__ == "__main__":
    sys.exit(main())
