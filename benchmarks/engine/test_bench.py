"""Tests of the bench's arithmetic: medians, shares, parity, the last line."""

import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.engine.__main__ import build_line
from benchmarks.engine.decoding import compare_threads
from benchmarks.engine.peak import Peak
from benchmarks.engine.pictures import make_bench_photos
from benchmarks.engine.report import LABELS, build_variant_table, compute_peak_share, show_tables
from benchmarks.engine.rounds import Variant, _compare, write_photos
from benchmarks.stored import LATENCY_S, list_stored

PEAK = Peak(cores=2, gflops=100.0, method="of a test", bf16_gflops=None)
VARIANTS = {
    "guide": Variant("guide", [8.0, 40.0, 8.2], 10),
    "tuned": Variant("tuned", [4.1], 10),
    "cpu": Variant("cpu", [2.05], 10),
    "openvino-bf16": Variant("openvino-bf16", [1.025], 10, similarity=0.9998),
}


def test_a_disturbed_round_does_not_count() -> None:
    assert VARIANTS["guide"].ms_a_photo == pytest.approx(820)


def test_the_last_line_is_the_default_modes() -> None:
    line = build_line(VARIANTS, gflop=10.25, peak=PEAK, whole=0.97531)
    assert (line["vs_guide"], line["vs_tuned"]) == (4.0, 2.0)
    assert line["peak_share"] == 0.5
    assert line["whole_job_vs_bare"] == 0.975
    assert line["modes"]["openvino-bf16"]["vs_guide"] == 8.0
    assert [mode["identical"] for mode in line["modes"].values()] == [True, False]


def test_no_share_is_claimed_where_the_work_is_not_known() -> None:
    assert compute_peak_share(VARIANTS["cpu"], None, PEAK) is None


def test_the_picture_holds_every_variant(tmp_path: Path) -> None:
    picture = tmp_path / "bench.svg"
    table = build_variant_table("Свадьба", VARIANTS, 10.25, PEAK)
    show_tables("a headline", [table], picture)
    text = unescape(picture.read_text()).replace("\xa0", " ")
    assert "url(" not in re.sub(r"url\(#[^)]*\)", "", text)  # nothing from elsewhere
    assert all(LABELS[name].split(" (")[0] in text for name in VARIANTS)


def test_decoding_is_measured_on_one_thread_and_on_all() -> None:
    line = compare_threads([photo.jpeg for photo in make_bench_photos(2)], 2, seconds=0.1)
    assert line.pop("cores") == 2
    assert len(line) == 6
    assert all(figure > 0 for figure in line.values())


BOXES = np.array([[0.1, 0.1, 0.3, 0.3], [0.6, 0.6, 0.9, 0.9]])


def write_product(
    file: Path, counts: list[int], vectors: npt.NDArray[Any], boxes: npt.NDArray[Any] = BOXES
) -> Path:
    boxes, vectors = boxes[: sum(counts)].astype(np.float32), vectors.astype(np.float32)
    np.savez(file, counts=np.array(counts), boxes=boxes, vectors=vectors)
    return file


def test_parity_is_face_by_face(tmp_path: Path) -> None:
    one = write_product(tmp_path / "guide.npz", [2, 0], np.eye(2))
    turned = write_product(tmp_path / "cpu.npz", [2, 0], np.array([[1.0, 0.0], [0.6, 0.8]]))
    fewer = write_product(tmp_path / "openvino.npz", [1, 0], np.eye(2)[:1])
    none = write_product(tmp_path / "none.npz", [0], np.zeros((0, 0)))
    assert _compare(one, one) == (2, pytest.approx(1))
    assert _compare(turned, one) == (2, pytest.approx(0.8))
    assert _compare(none, none) == (1, 1.0)
    with pytest.raises(AssertionError, match="openvino found other faces than guide"):
        _compare(fewer, one)


def test_faces_of_nearly_equal_scores_may_change_places(tmp_path: Path) -> None:
    guide = write_product(tmp_path / "guide.npz", [2], np.eye(2))
    swapped = write_product(tmp_path / "bf16.npz", [2], np.eye(2)[::-1], BOXES[::-1] + 0.001)
    assert _compare(swapped, guide) == (1, pytest.approx(1))


def test_latencies_are_the_same_in_every_run(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", [b"a", b"b", b"c"])
    first, second = list_stored(tmp_path / "photos"), list_stored(tmp_path / "photos")
    assert first == second
    assert [photo.file.read_bytes() for photo in first] == [b"a", b"b", b"c"]
    assert all(LATENCY_S[0] <= photo.latency_s <= LATENCY_S[1] for photo in first)
