"""Tests of the machine's peak: its source is told beside it; no figure is asserted."""

import shutil
from pathlib import Path

import pytest

from benchmarks.engine import peak
from benchmarks.engine.peak import Peak, PeakMeasurementError, measure_peak, take_median


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way is tested, not the figure."""
    monkeypatch.setattr(peak, "ROUND_S", 0.02)


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_with_a_compiler_it_is_the_registers_peak() -> None:
    found = measure_peak(2)
    assert found.cores == 2
    assert found.gflops > 0
    assert "registers" in found.method
    assert "2 threads" in found.method
    assert found.bf16_gflops is None or found.bf16_gflops > 0


def test_without_a_compiler_it_is_a_matrix_product_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peak, "COMPILER", "no-such-compiler")
    found = measure_peak(1)
    assert found.gflops > 0
    assert "matrix product" in found.method
    assert found.bf16_gflops is None


def test_a_compiler_that_does_not_compile_is_no_compiler(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "broken-cc"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(peak, "COMPILER", str(broken))
    assert "matrix product" in measure_peak(1).method


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_a_program_that_fails_is_told() -> None:
    with pytest.raises(PeakMeasurementError, match="ended with 2"):
        measure_peak(0)


def test_a_round_on_a_quick_or_a_slow_clock_does_not_decide() -> None:
    peaks = [Peak(2, gflops, "of a test", None) for gflops in (585.0, 430.0, 510.0)]
    assert take_median(peaks).gflops == 510
    assert take_median(peaks[:2]).gflops == 430
