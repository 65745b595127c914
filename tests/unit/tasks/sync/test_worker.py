"""A process that is set up otherwise than the sync it is to do a part of."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from models.errors import ConfigurationError
from models.settings import Settings, get_settings
from tasks.sync.context import SyncContext
from tasks.sync.runner import COMMON_SETTINGS, check_worker, read_common_settings

FOLDER = "events/1/"
ENVIRONMENT = {
    "FACEPASS_S3_BUCKET": "свадьбы",
    "FACEPASS_S3_ENDPOINT_URL": "http://anna:secret@10.0.0.1:8333",
    "FACEPASS_RESULT_STORAGE": "s3-bucket/facepass-results",
    "FACEPASS_TASK_RUNNER": "dask",
}


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.mark.parametrize("name", COMMON_SETTINGS)
def test_another_value_is_refused_by_the_settings_name_alone(name: str) -> None:
    assert name in Settings.model_fields
    common = read_common_settings() | {name: "another"}
    sync = SyncContext(
        uuid4(), 1, "Свадьба", "events/1/previews/", 1, 1, "pack", FOLDER, common_settings=common
    )
    with pytest.raises(ConfigurationError) as raised:
        check_worker(sync)
    assert f"FACEPASS_{name.upper()}" in str(raised.value)
    assert "secret" not in str(raised.value) + repr(sync)


def test_a_process_that_does_its_batches_itself_has_nothing_to_compare(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FACEPASS_TASK_RUNNER", "threads")
    get_settings.cache_clear()
    assert read_common_settings() == {}
    check_worker(SyncContext(uuid4(), 1, "Свадьба", "events/1/previews/", 1, 1, "pack", FOLDER))
