"""The sentences where FACEPASS_INFERENCE=cuda cannot be used, with a driver that a test plays."""

import ctypes
import sys
from pathlib import Path
from typing import Any

import pytest

from models.errors import ModelPackError
from models.settings import Settings
from tasks.faces.engine import FaceEngine
from tasks.packs.cuda import Card, describe_card, open_session, require_cuda
from tasks.packs.graphs import build_recogniser
from tasks.packs.registry import resolve_pack
from tests.support.standin_pack import write_standin_pack

MIB = 1024 * 1024
BOTH = ["CUDAExecutionProvider", "CPUExecutionProvider"]


class Driver:
    """libcuda's functions, of a card that the test describes."""

    def __init__(
        self, cards: int = 1, code: int = 0, version: int = 13000, free: int = 70_000
    ) -> None:
        self.cards, self.code, self.version, self.free = cards, code, version, free
        self.context_code, self.capability = 0, (9, 0)

    def cuInit(self, _: int) -> int:  # noqa: N802 (libcuda's)
        return self.code

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802 (libcuda's)
        version._obj.value = self.version
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802 (libcuda's)
        count._obj.value = self.cards
        return 0

    def cuDeviceGet(self, device: Any, _: int) -> int:  # noqa: N802 (libcuda's)
        device._obj.value = 0
        return 0

    def cuDeviceGetName(self, name: Any, _: int, __: Any) -> int:  # noqa: N802 (libcuda's)
        name.value = b"NVIDIA Test Card"
        return 0

    def cuDeviceGetAttribute(self, number: Any, attribute: int, _: Any) -> int:  # noqa: N802 (libcuda's)
        number._obj.value = self.capability[attribute - 75]
        return 0

    def cuDevicePrimaryCtxRetain(self, *_: Any) -> int:  # noqa: N802 (libcuda's)
        return self.context_code

    def cuCtxSetCurrent(self, _: Any) -> int:  # noqa: N802 (libcuda's)
        return 0

    def cuMemGetInfo_v2(self, free: Any, total: Any) -> int:  # noqa: N802 (libcuda's)
        free._obj.value, total._obj.value = self.free * MIB, 80_000 * MIB
        return 0


def install(
    monkeypatch: pytest.MonkeyPatch, driver: Driver | None, built_for: str = "13.0"
) -> None:
    """Have this process find onnxruntime-gpu, and this driver, or none."""

    def load(name: str, *_: Any, **__: Any) -> Driver:
        if driver is None:
            raise OSError(f"{name}: cannot open shared object file")
        return driver

    def say(**_: str) -> None:
        sys.stdout.write("Failed to load libcudart")

    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: BOTH)
    monkeypatch.setattr("onnxruntime.cuda_version", "13.0", raising=False)
    monkeypatch.setattr("onnxruntime.preload_dlls", say)
    monkeypatch.setattr(ctypes, "CDLL", load)


@pytest.mark.parametrize(
    ("driver", "sentence"),
    [
        (None, r"No NVIDIA driver is found here: .*--gpus all"),
        (Driver(code=999), r"finds no card \(its error 999\): look at nvidia-smi"),
        (Driver(cards=0), r"finds no card"),
        (
            Driver(version=12080),
            r"serves CUDA 12, and .* needs 13\.0: .*newer driver",
        ),
        (Driver(free=900), r"Test Card has 900 MB of memory free, of 80000: stop what else"),
    ],
)
def test_what_is_missing_is_said_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, driver: Driver | None, sentence: str
) -> None:
    install(monkeypatch, driver)
    with pytest.raises(ModelPackError, match=sentence + r".*or set FACEPASS_INFERENCE=cpu\.$"):
        require_cuda("cuda")


def test_a_card_that_is_too_old_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver()
    driver.capability = (6, 1)
    install(monkeypatch, driver)
    with pytest.raises(ModelPackError, match=r"Test Card is too old for CUDA 13: .*Turing"):
        require_cuda("cuda")


def test_a_card_that_gives_no_context_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver()
    driver.context_code = 2
    install(monkeypatch, driver)
    with pytest.raises(ModelPackError, match=r"gives this process no memory: .*nvidia-smi"):
        require_cuda("cuda-fp16")


def test_a_card_is_described_and_nothing_is_printed_on_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, Driver())
    card = require_cuda("cuda")
    assert card == Card("NVIDIA Test Card", 80_000, 70_000, 13000, (9, 0))
    assert describe_card(card) == "NVIDIA Test Card, 70000 of 80000 MB free"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("inference", ["cuda", "cuda-tf32", "cuda-fp16"])
def test_onnxruntime_without_cuda_is_refused_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inference: str
) -> None:
    write_standin_pack(tmp_path / "pack")
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: BOTH[1:])
    pack = resolve_pack(Settings(model_pack=str(tmp_path / "pack")))
    with pytest.raises(
        ModelPackError,
        match=rf"={inference} needs onnxruntime-gpu in place .*cuda\]",
    ):
        FaceEngine(pack, inference)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_onnxruntime_that_silently_falls_back_to_the_cpu_is_refused(tmp_path: Path) -> None:
    write_standin_pack(tmp_path / "pack")
    graph = build_recogniser(tmp_path / "pack" / "w600k_r50.onnx", 112, 127.5, 127.5)
    with pytest.raises(ModelPackError, match=r"CUDA's libraries cannot be loaded .*cpu\.$"):
        open_session(graph, 4, "cuda")


def test_a_graph_that_onnxruntime_refuses_is_told() -> None:
    with pytest.raises(ModelPackError, match=r"cannot be run with FACEPASS_INFERENCE=cpu \(.+\)"):
        open_session(b"no graph", 4, "cpu")
