"""Which runner the settings mean, and what is said where it is not there."""

import socket
import sys
from collections.abc import Callable, Iterator

import pytest

from models.errors import ClusterUnavailableError, ConfigurationError
from models.settings import get_settings
from tasks.sync import runner
from tasks.sync.runner import BATCHES_A_CARD, BATCHES_A_MACHINE, open_workers

CLUSTER = {"task_runner": "dask", "dask_scheduler": "tcp://127.0.0.1:9", "result_storage": "a/b"}


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    def change(**settings: str) -> None:
        for name, value in settings.items():
            monkeypatch.setenv(f"FACEPASS_{name.upper()}", value)
        get_settings.cache_clear()

    yield change
    monkeypatch.undo()
    get_settings.cache_clear()


def test_threads_are_the_default() -> None:
    get_settings.cache_clear()
    with open_workers() as workers:
        assert workers.count_slots() == BATCHES_A_MACHINE


@pytest.mark.parametrize(
    ("inference", "batches"),
    [("cpu", BATCHES_A_MACHINE), ("openvino", BATCHES_A_MACHINE), ("cuda", BATCHES_A_CARD)],
)
def test_a_card_is_given_more_batches_at_a_time(
    configure: Callable[..., None], inference: str, batches: int
) -> None:
    configure(inference=inference)
    with open_workers() as workers:
        assert workers.count_slots() == batches


@pytest.mark.parametrize("missing", ["dask_scheduler", "result_storage"])
def test_a_cluster_needs_an_address_and_a_storage_that_all_share(
    configure: Callable[..., None], missing: str
) -> None:
    configure(**{**CLUSTER, missing: ""})
    with pytest.raises(ConfigurationError, match=f"FACEPASS_{missing.upper()}"), open_workers():
        pass


@pytest.mark.parametrize("address", ["10.0.0.1:8786", "http://10.0.0.1:8786", "tcp://10.0.0.1"])
def test_an_address_without_its_parts_is_refused(
    configure: Callable[..., None], address: str
) -> None:
    configure(**{**CLUSTER, "dask_scheduler": address})
    with pytest.raises(ConfigurationError, match="FACEPASS_DASK_SCHEDULER"), open_workers():
        pass


def test_without_the_extra_a_sentence_says_what_to_install(
    configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(**CLUSTER)
    monkeypatch.setitem(sys.modules, "prefect_dask.task_runners", None)
    with pytest.raises(ConfigurationError, match=r"facepass-sync\[dask\]"), open_workers():
        pass


def test_a_scheduler_that_is_away_is_told_and_can_be_tried_again(
    configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "CONNECT_LIMIT_S", 0.2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        configure(**{**CLUSTER, "dask_scheduler": f"tcp://127.0.0.1:{taken.getsockname()[1]}"})
        with pytest.raises(ClusterUnavailableError, match="`dask scheduler`"), open_workers():
            pass
