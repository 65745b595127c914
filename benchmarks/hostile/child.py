"""The worker under test: the real engine in a process of its own, a batch a line.

Reads `[3, 7]` from standard input and writes those files' verdicts: "" for a photo with faces,
else the reason. Files lie in the folder given, under their numbers.
"""

import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any, cast

from botocore.response import StreamingBody

from models.queries.outcomes import PhotoRef
from models.settings import get_settings
from tasks.faces.detected import unpack_faces
from tasks.faces.engine import FaceEngine
from tasks.packs.registry import resolve_pack
from tasks.s3.bucket import Bucket
from tasks.sync.embed import CircuitBreaker, embed_photos

READY = "ready"


class FolderClient:
    """Answers S3's GET from a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get_object(self, **call: str) -> dict[str, Any]:
        """The file, as boto3 would give it."""
        content = (self._folder / call["Key"]).read_bytes()
        body = StreamingBody(cast(Any, BytesIO(content)), len(content))
        return {"Body": body, "ContentLength": len(content)}


def main(folder: Path) -> None:
    """Answer until standard input ends."""
    settings = get_settings()
    engine = FaceEngine(resolve_pack(settings), settings.inference, settings.engine_threads)
    bucket = Bucket(cast(Any, FolderClient(folder)), "hostile", "http://127.0.0.1")
    _answer(READY)
    for line in sys.stdin:
        photos = [PhotoRef(str(number), "e", 0) for number in json.loads(line)]
        product = embed_photos(photos, bucket, engine, CircuitBreaker())
        _answer([faces.verdict for faces in unpack_faces(product, len(photos))])


def _answer(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
