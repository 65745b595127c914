"""The steps in their order: what else happens to the folder while it is pushed."""

from collections.abc import Container
from pathlib import Path

import pytest
from rich.console import Console

from deployments.push import push as steps
from deployments.push.push import Options, Push, Target
from deployments.push.report import Report, Screen
from deployments.push.upload import NamedPhoto, sort_by_taking
from models.errors import PushRefusedError
from models.settings import Settings
from tests.support.fake_api import URL, FakeApi
from tests.support.fake_s3 import FakeClient
from tests.support.photos import encode_jpeg, read_sample
from tests.support.push_sender import aim


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    """Every push of the test goes to this store and to one API."""
    client, fake_api = FakeClient(), FakeApi()
    monkeypatch.setattr(steps, "open_bucket", lambda _: aim(client).bucket)
    monkeypatch.setattr(steps, "RestApi", lambda url, key: fake_api.open(key, url))
    return client


def push(folder: Path) -> Report:
    report, console = Report(), Console(quiet=True)
    options = Options(folder, "Свадьба", sync=False)
    Push(options, Target(URL, None, Settings()), Screen(console), report).run()
    return report


def fill(folder: Path, *names: str) -> None:
    for name in names:
        picture = read_sample("coffee.png").resize((40, 30 + len(list(folder.iterdir()))))
        (folder / name).write_bytes(encode_jpeg(picture))


def list_originals(store: FakeClient) -> set[str]:
    return {key.rpartition("/")[2] for key in store.objects if "/originals/" in key}


def test_a_photo_that_is_back_in_the_folder_is_not_deleted(
    store: FakeClient, tmp_path: Path
) -> None:
    fill(tmp_path, "1.jpg", "2.jpg", "3.jpg")
    push(tmp_path)
    (tmp_path / "2.jpg").unlink()
    (tmp_path / "3.jpg").unlink()
    fill(tmp_path, "4.jpg")
    store.before_put = lambda _: fill(tmp_path, "2.jpg")
    assert push(tmp_path).deleted == 1
    assert list_originals(store) == {"1.jpg", "2.jpg", "4.jpg"}


def test_a_card_that_is_pulled_out_deletes_nothing(
    store: FakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.push.upload.PAUSE_S", 0)
    card = tmp_path / "card"
    card.mkdir()
    fill(card, "1.jpg", "2.jpg")
    push(card)
    (card / "2.jpg").unlink()
    fill(card, "3.jpg")
    store.before_put = lambda _: card.exists() and card.rename(tmp_path / "away")
    with pytest.raises(PushRefusedError, match="cannot be read"):
        push(card)
    assert {"1.jpg", "2.jpg"} <= list_originals(store)


def test_another_card_during_a_push_overwrites_nothing(
    store: FakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.push.upload.PAUSE_S", 0)
    card = tmp_path / "card"
    card.mkdir()
    fill(card, "1.jpg")
    push(card)
    before = dict(store.objects)

    def swap(photos: list[NamedPhoto], known: Container[str]) -> list[NamedPhoto]:
        card.rename(tmp_path / "first")
        card.mkdir()
        fill(card, "0.jpg", "1.jpg")
        return sort_by_taking(photos, known)

    monkeypatch.setattr(steps, "sort_by_taking", swap)
    assert [result.photo.name for result in push(card).not_sent] == ["1.jpg"]
    assert store.objects == before
