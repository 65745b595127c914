"""Tests of the bench for a GPU, on a machine without one: its engine on the CPU, tiny numbers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.engine.scrfd import build_scrfd
from benchmarks.engine.trivial_pack import write_trivial_pack
from benchmarks.gpu import __main__ as bench
from benchmarks.gpu.cores import list_cores, measure_cores
from benchmarks.gpu.measure import Bare, Deck, Parity, compare
from models.errors import ModelPackError
from tasks.faces.detected import DetectedFaces

# What a bare machine with the wheels lacks; and batches as small as a CPU's patience.
ABSENT = (
    "prefect",
    "sqlalchemy",
    "sqlmodel",
    "boto3",
    "botocore",
    "psycopg2",
    "fastapi",
    "alembic",
)
RUN = """
import sys
for name in {absent}:
    sys.modules[name] = None
from tasks.faces import batched
batched.PHOTOS, batched.FACES = 2, 2
from benchmarks.gpu.__main__ import main
sys.exit(main({arguments}))
"""


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in's detector, which finds the drawn faces, and a tiny recogniser."""
    folder = tmp_path_factory.mktemp("packs") / "small"
    write_trivial_pack(folder)
    (folder / "detector.onnx").write_bytes(build_scrfd(1).SerializeToString())
    return folder


def run_bench(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """The program, in a process that cannot import what a bare machine lacks."""
    code = RUN.format(absent=ABSENT, arguments=list(arguments))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_whole_bench_runs_on_the_cpu_without_database_s3_and_prefect(
    pack: Path, tmp_path: Path
) -> None:
    out = tmp_path / "figures.json"
    small = ["--provider", "cpu", "--photos", "3", "--rounds", "1", "--pack", str(pack)]
    done = run_bench(*small, "--out", str(out))
    assert done.returncode == 0, done.stderr
    line: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert line == json.loads(out.read_text())
    engine = line["batching"]
    assert line["deck"] == {"photos": 3, "faces_a_photo": 1.0}
    assert engine["same_faces_as_cpu"]
    assert (engine["cosine_to_cpu"], engine["cosine_to_guide"]) == pytest.approx((1, 1), abs=1e-5)
    for way in ("guide", "tuned", "batching"):
        assert line[way]["photos_s"] > 0
    assert engine["vs_guide"] == pytest.approx(
        engine["photos_s"] / line["guide"]["photos_s"], abs=0.01
    )
    assert engine["bare"]["photos_s"] > 0
    assert engine["bare_share"] > 0
    assert line["decoding"]["decode_photo_one_thread"] > 0
    assert "failures" not in line


def test_a_machine_without_a_card_is_told_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def find_none() -> None:
        raise ModelPackError("No NVIDIA driver is found here.")

    monkeypatch.setattr(bench, "find_card", find_none)
    out = tmp_path / "figures.json"
    assert bench.main(["--out", str(out)]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == {"gpu": None}
    assert "no GPU" in told.err
    assert "No NVIDIA driver" in told.err


def test_a_part_that_fails_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    record = bench.Record(out)
    record.note("guide", {"photos_s": 10.0})

    def fail() -> None:
        raise RuntimeError("CUDA out of memory")

    assert record.attempt("cuda", fail) is None
    record.note("cuda-fp16", {"photos_s": 250.0, "bare": {"photos_s": 400.0}})
    bench.note_ratios(record)
    line = json.loads(out.read_text())
    assert line["failures"] == {"cuda": "RuntimeError: CUDA out of memory"}
    assert (line["cuda-fp16"]["vs_guide"], line["cuda-fp16"]["bare_share"]) == (25.0, 0.625)


def test_a_pack_that_cannot_be_read_ends_in_a_sentence(tmp_path: Path) -> None:
    none = tmp_path / "none"
    assert bench.main(["--provider", "cpu", "--photos", "1", "--pack", str(none)]) == 1


def make_faces(*vectors: list[float]) -> DetectedFaces:
    boxes = np.linspace(0, 1, 4 * len(vectors)).reshape(-1, 4).astype(np.float32)
    scores = np.ones(len(vectors), np.float32)
    return DetectedFaces(boxes, scores, np.array(vectors, np.float32).reshape(len(vectors), 2))


def test_parity_tells_other_faces_from_other_vectors() -> None:
    one, none = make_faces([1.0, 0.0], [0.0, 1.0]), make_faces()
    other = make_faces([1.0, 0.0], [0.6, 0.8])
    assert compare([one, none], [one, none]) == Parity(same_faces=True, cosine=1.0)
    assert compare([none], [none]) == Parity(same_faces=True, cosine=1.0)
    assert compare([other], [one]).cosine == pytest.approx(0.8)
    assert compare([one], [none]) == Parity(same_faces=False, cosine=None)
    with pytest.raises(AssertionError, match=r"cuda is not exact: 0\.8"):
        bench.require_parity("cuda", compare([other], [one]))
    with pytest.raises(AssertionError, match="cuda finds other faces"):
        bench.require_parity("cuda", compare([one], [none]))


def test_bare_inference_counts_the_faces_of_a_photo() -> None:
    bare = Bare(photos_a_call=32, faces_a_call=64, ms_a_photo=0.8, ms_a_face=0.1)
    assert bare.compute_rate(2.0) == pytest.approx(1000)


def test_the_deck_is_repeated() -> None:
    deck = Deck.draw(2)
    assert deck.faces_a_photo == 1.5
    first, second = (photo.jpeg for photo in deck.photos)
    assert deck.repeat(5) == [first, second, first, second, first]


def test_the_cores_curve_leaves_out_what_the_machine_has_not(tmp_path: Path) -> None:
    write_trivial_pack(tmp_path / "trivial")
    noted: dict[str, Any] = {}
    counts = (1, len(list_cores()) + 1)
    measure_cores(
        counts, str(tmp_path / "trivial"), Deck.draw(2), lambda _, figures: noted.update(figures)
    )
    assert [name for name in noted if name.isdigit()] == ["1"]
    assert set(noted["1"]) == {"photos_s", "bare_photos_s", "decoding_photos_s"}
    assert min(noted["1"].values()) > 0
