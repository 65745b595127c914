"""Tests of the scale benchmark's parts: its pack, its photos, its watch on memory."""

import mmap
from pathlib import Path

import numpy as np
import pytest

from benchmarks.engine.small_photos import SmallPhotos
from benchmarks.engine.trivial_pack import STRIDES, VECTOR_LENGTH, write_trivial_pack
from benchmarks.memory import MEGABYTE, watch_memory
from models.settings import Settings
from tasks.images.decode import decode_photo
from tasks.s3.bucket import open_bucket
from tests.support.http_server import QuietHandler, serve_http
from tests.support.waiting import wait_until


def test_the_packs_detector_keeps_scrfds_contract_and_never_fires(tmp_path: Path) -> None:
    import onnxruntime

    write_trivial_pack(tmp_path)
    session = onnxruntime.InferenceSession(
        tmp_path / "detector.onnx", providers=["CPUExecutionProvider"]
    )
    noise = np.random.default_rng(1).standard_normal((1, 3, 640, 640), np.float32)
    outputs = session.run(None, {session.get_inputs()[0].name: noise})
    rows = [(640 // stride) ** 2 * 2 for stride in STRIDES]
    expected = [(count, width) for width in (1, 4, 10) for count in rows]
    assert [output.shape for output in outputs] == expected
    assert max(scores.max() for scores in outputs[:3]) < 1e-6


def test_the_packs_recogniser_takes_aligned_faces(tmp_path: Path) -> None:
    import onnxruntime

    write_trivial_pack(tmp_path)
    session = onnxruntime.InferenceSession(
        tmp_path / "recogniser.onnx", providers=["CPUExecutionProvider"]
    )
    faces = np.ones((5, 3, 112, 112), np.float32)
    (vectors,) = session.run(None, {session.get_inputs()[0].name: faces})
    assert vectors.shape == (5, VECTOR_LENGTH)


def test_small_photos_are_photos_each_with_its_own_bytes() -> None:
    photos = SmallPhotos(event_id=7, count=300)
    contents = {photos.draw(index) for index in range(photos.count)}
    assert len(contents) == photos.count
    assert {decode_photo(content, 1_000_000).shape for content in contents} == {(16, 16, 3)}
    assert photos.name(3) == "events/7/previews/000003.jpg"


def test_memory_counts_also_when_it_is_freed_within_the_block() -> None:
    size = 64 * MEGABYTE
    with watch_memory() as memory:
        # Straight from the system: a heap might have had that much lying about.
        with mmap.mmap(-1, size) as block:
            block.write(bytes([1]) * size)
            wait_until(lambda: memory.growth_mb > 60)
        assert memory.growth_mb > 60


class FlakyServer(QuietHandler):
    """Takes objects, but hangs up on the first request for each."""

    taken: dict[str, bytes]
    seen: set[str]

    def do_PUT(self) -> None:  # noqa: N802 - http.server's name
        """Keep the object from its second try on."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path not in self.seen:
            self.seen.add(self.path)
            self.close_connection = True
            return
        self.taken[self.path] = content
        self.answer(200)


def test_an_upload_that_the_server_hung_up_on_is_done_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    taken: dict[str, bytes] = {}
    with serve_http(FlakyServer, taken=taken, seen=set()) as url:
        bucket = open_bucket(Settings(s3_endpoint_url=url, s3_bucket="b"))
        SmallPhotos(event_id=7, count=5).upload(bucket, lambda _: None)
    folders = ("previews", "originals")
    expected = {f"/b/events/7/{folder}/{i:06}.jpg" for folder in folders for i in range(5)}
    assert taken.keys() == expected
