"""A watched folder, look by look, on a store that is a dictionary: the clock is the test's."""

from collections.abc import Container, Iterable
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from rich.console import Console

from deployments.push import push as steps
from deployments.push import upload
from deployments.push import watch as module
from deployments.push.folder import MARKER, check_folder
from deployments.push.push import Options, Place, Push, Target
from deployments.push.report import Report, Screen
from deployments.push.upload import NamedPhoto, sort_by_taking
from deployments.push.watch import Watch
from models.settings import Settings
from tasks.images.preview import make_preview
from tests.support.camera_files import build_nef
from tests.support.fake_api import URL, FakeApi
from tests.support.fake_s3 import FakeClient, make_error
from tests.support.photos import encode_jpeg, read_sample
from tests.support.push_sender import aim


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def strftime(self, _: str) -> str:
        return "14:05:00"


class Watched:
    """A folder, the store, and a watch that looks when it is told to."""

    def __init__(self, folder: Path, store: FakeClient, clock: Clock, **options: bool) -> None:
        self.folder, self.store, self.clock = folder, store, clock
        self.console = Console(record=True, width=300, quiet=False, file=StringIO())
        self.report, self.options = Report(), Options(folder, "Свадьба", sync=False, **options)
        self.api = FakeApi().open()
        self.start()

    def start(self) -> None:
        """A process that begins."""
        push = Push(self.options, Target(URL, None, Settings()), Screen(self.console), self.report)
        self.watch = Watch(push)
        self.place: Place = push.find_place(self.api, check_folder(self.folder))

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            scan = self.watch._scan(self.folder, self.place)
            if scan is not None:
                if self.watch._is_stale:
                    self.place = self.watch._come_back(self.api, self.folder, self.place)
                self.watch._bring(self.folder, scan, self.place, None)
            self.clock.sleep(1)

    def list_names(self, kind: str = "originals") -> list[str]:
        return sorted(k.rpartition("/")[2] for k in self.store.objects if f"/{kind}/" in k)

    @property
    def said(self) -> str:
        return self.console.export_text(clear=False)


@pytest.fixture
def store() -> FakeClient:
    return FakeClient()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, store: FakeClient) -> Clock:
    clock, fake_api = Clock(), FakeApi()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(steps, "open_bucket", lambda _: aim(store).bucket)
    monkeypatch.setattr(steps, "RestApi", lambda url, key: fake_api.open(key, url))
    return clock


@pytest.fixture
def watched(tmp_path: Path, store: FakeClient, clock: Clock) -> Watched:
    return Watched(make_folder(tmp_path), store, clock)


def make_folder(parent: Path) -> Path:
    folder = parent / "card"
    folder.mkdir()
    return folder


def make_photo(number: int = 0) -> bytes:
    return encode_jpeg(read_sample("coffee.png").resize((60 + number, 40)))


def test_a_photo_is_sent_once_it_has_ceased_to_grow(watched: Watched) -> None:
    whole = make_photo()
    for size in (0, 100, 300, len(whole) // 2):
        (watched.folder / "1.jpg").write_bytes(whole[:size])
        watched.look()
    assert watched.list_names("previews") == []
    (watched.folder / "1.jpg").write_bytes(whole)
    watched.look(4)
    assert watched.list_names() == watched.list_names("previews") == ["1.jpg"]
    assert whole in watched.store.objects.values()
    watched.store.calls.clear()
    watched.look(5)
    assert watched.store.get_keys("put_object") == []


def test_an_upload_that_stalls_is_waited_for_and_what_is_no_photo_is_sent_in_the_end(
    watched: Watched,
) -> None:
    whole = make_photo()
    (watched.folder / "stalled.jpg").write_bytes(whole[:500])
    (watched.folder / "no.jpg").write_bytes(b"no photo")
    watched.look(15)
    assert watched.store.objects == {}
    assert watched.report.count()["not_sent"] == 2
    (watched.folder / "stalled.jpg").write_bytes(whole)
    watched.look(60)
    assert watched.list_names() == ["no.jpg", "stalled.jpg"]
    assert watched.report.count()["sent"] == watched.report.photos == 2
    assert [result.reason for result in watched.report.unreadable] == ["not_an_image"]


def test_a_photo_that_is_replaced_is_sent_again_also_by_what_it_was_before(
    watched: Watched,
) -> None:
    for number in (0, 1, 0):
        (watched.folder / "1.jpg").write_bytes(make_photo(number))
        watched.look(5)
        original = next(k for k in watched.store.objects if "/originals/" in k)
        assert watched.store.objects[original] == make_photo(number)


@pytest.mark.parametrize("restarts", [False, True])
def test_a_renamed_file_is_one_photo_and_a_deleted_one_stays(
    watched: Watched, restarts: bool
) -> None:
    for number in range(14):
        (watched.folder / f"{number:02}.jpg").write_bytes(make_photo(number))
    watched.look(5)
    assert len(watched.list_names()) == 14
    (watched.folder / "new").mkdir()
    for number in range(13):
        (watched.folder / f"{number:02}.jpg").rename(watched.folder / "new" / f"{number:02}.JPG")
    (watched.folder / "13.jpg").unlink()
    if restarts:
        watched.start()
    watched.look(20)
    names = [f"{number:02}.JPG" for number in range(13)]
    assert watched.list_names() == sorted(["13.jpg", *names])
    assert watched.list_names("previews") == sorted(["13.jpg", *names])
    assert watched.report.deleted == 13


def test_a_file_that_is_renamed_while_it_is_sent_leaves_no_second_photo(watched: Watched) -> None:
    temporary, final = watched.folder / "tmp_1.jpg", watched.folder / "1.jpg"
    temporary.write_bytes(make_photo())
    watched.store.before_put = lambda key: (
        temporary.exists() and "/previews/" in key and temporary.rename(final)
    )
    watched.look(20)
    assert watched.list_names() == watched.list_names("previews") == ["1.jpg"]
    assert watched.report.count()["sent"] == watched.report.photos == 1


def test_a_raw_file_waits_for_its_jpeg_and_gives_way_to_a_late_one(watched: Watched) -> None:
    raw = build_nef(make_photo())
    (watched.folder / "1.NEF").write_bytes(raw)
    watched.look(5)
    (watched.folder / "1.jpg").write_bytes(make_photo())
    (watched.folder / "2.NEF").write_bytes(raw + b"2")
    watched.look(15)
    assert watched.list_names() == ["1.jpg", "2.NEF"]
    (watched.folder / "2.jpg").write_bytes(make_photo(2))
    watched.look(15)
    assert watched.list_names() == ["1.jpg", "2.jpg"]


@pytest.mark.parametrize("delete", [False, True])
def test_a_card_that_is_out_deletes_nothing_and_is_waited_for(
    tmp_path: Path, store: FakeClient, clock: Clock, delete: bool
) -> None:
    watched = Watched(make_folder(tmp_path), store, clock, delete=delete)
    for number in range(3):
        (watched.folder / f"{number}.jpg").write_bytes(make_photo(number))
    watched.look(5)
    away = tmp_path / "away"
    watched.folder.rename(away)
    watched.look(20)
    watched.folder.mkdir()  # where it was mounted
    watched.look(20)
    assert len(watched.list_names()) == 3
    assert watched.said.count("is not there. It is waited for") == 1
    watched.folder.rmdir()
    away.rename(watched.folder)
    (watched.folder / "3.jpg").write_bytes(make_photo(3))
    watched.look(20)
    assert len(watched.list_names()) == 4
    (watched.folder / "3.jpg").unlink()
    watched.look(20)
    assert len(watched.list_names()) == (3 if delete else 4)


def test_another_card_in_its_place_is_another_source(watched: Watched, tmp_path: Path) -> None:
    (watched.folder / "1.jpg").write_bytes(make_photo(1))
    watched.look(5)
    watched.folder.rename(tmp_path / "first")
    watched.look(2)
    watched.folder.mkdir()
    (watched.folder / "1.jpg").write_bytes(make_photo(2))
    watched.look(20)
    assert watched.list_names() == ["1.jpg", "1.jpg"]
    assert (watched.folder / MARKER).exists()


@pytest.mark.parametrize("is_known", [False, True])
def test_another_card_between_two_looks_is_another_source(
    watched: Watched, tmp_path: Path, is_known: bool
) -> None:
    (watched.folder / "1.jpg").write_bytes(make_photo(1))
    watched.look(5)
    first = (watched.folder / MARKER).read_text()
    watched.folder.rename(tmp_path / "first")
    watched.folder.mkdir()
    (watched.folder / "1.jpg").write_bytes(make_photo(2))
    if is_known:  # it was pushed before
        (watched.folder / MARKER).write_text('{"id": "0123abcd", "label": "card"}')
    watched.look(10)
    assert watched.list_names() == ["1.jpg", "1.jpg"]
    assert {make_photo(1), make_photo(2)} <= set(watched.store.objects.values())
    assert (watched.folder / MARKER).read_text() != first


@pytest.mark.parametrize("moment", ["before it is read", "after it was read", "while it is sent"])
def test_another_card_within_a_look_overwrites_nothing(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    (watched.folder / "1.jpg").write_bytes(make_photo(1))

    def swap(*_: object) -> None:
        if not (tmp_path / "first").exists():
            watched.folder.rename(tmp_path / "first")
            watched.folder.mkdir()
            (watched.folder / "1.jpg").write_bytes(make_photo(2))

    def sort(photos: Iterable[NamedPhoto], known: Container[str]) -> list[NamedPhoto]:
        found = sort_by_taking(photos, known)
        if found and moment == "before it is read":
            swap()
        return found

    def make(content: bytes, *args: Any) -> bytes:
        swap()
        return make_preview(content, *args)

    monkeypatch.setattr(module, "sort_by_taking", sort)
    if moment == "after it was read":
        monkeypatch.setattr(upload, "make_preview", make)
    if moment == "while it is sent":
        watched.store.before_put = swap
    first = watched.place.source.name
    watched.look(12)
    assert watched.place.source.name != first
    sent = {key: content for key, content in watched.store.objects.items() if "/originals/" in key}
    assert all((content == make_photo(1)) == (first in key) for key, content in sent.items())
    assert [key for key, content in sent.items() if content == make_photo(2)]
    wide = {
        key: Image.open(BytesIO(content)).width
        for key, content in watched.store.objects.items()
        if "/previews/" in key
    }
    assert all((width == 61) == (first in key) for key, width in wide.items())


def test_a_marker_that_is_deleted_is_written_again(watched: Watched) -> None:
    (watched.folder / "1.jpg").write_bytes(make_photo(1))
    watched.look(5)
    before = (watched.folder / MARKER).read_text()
    (watched.folder / MARKER).unlink()
    watched.look(10)
    assert (watched.folder / MARKER).read_text() == before
    assert watched.list_names() == ["1.jpg"]


@pytest.mark.parametrize("code", ["InternalError", "AccessDenied"])
def test_a_store_that_is_away_is_waited_for(watched: Watched, code: str) -> None:
    (watched.folder / "1.jpg").write_bytes(make_photo(1))

    def refuse(_: str) -> None:
        raise make_error(code, 500 if code == "InternalError" else 403, "PutObject")

    watched.store.before_put = refuse
    watched.look(30)
    assert watched.store.objects == {}
    watched.store.before_put = lambda _: None
    watched.look(10)
    assert watched.list_names() == ["1.jpg"]
    assert watched.said.count("It goes on.") == 1
    assert watched.report.count()["sent"] == 1


def test_new_photos_do_not_wait_behind_originals(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ORIGINALS", 1)
    for number in range(10):
        (watched.folder / f"{number}.jpg").write_bytes(make_photo(number))
    watched.look(4)
    assert len(watched.list_names("previews")) == 10
    (watched.folder / "new.jpg").write_bytes(make_photo(11))
    watched.look(4)
    assert "new.jpg" in watched.list_names("previews")
    assert len(watched.list_names()) < 10
    watched.look(10)
    assert len(watched.list_names()) == 11


def test_a_watch_waits_for_the_api_at_its_start_and_ends_by_ctrl_c(
    tmp_path: Path, store: FakeClient, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, report = make_folder(tmp_path), Report()
    (folder / "1.jpg").write_bytes(make_photo())
    fake_api = FakeApi(answers=[httpx.ConnectError("refused"), httpx.Response(503)])
    monkeypatch.setattr(steps, "RestApi", lambda url, key: fake_api.open(key, url))
    monkeypatch.setattr(module, "RestApi", lambda url, key: fake_api.open(key, url))

    def sleep(seconds: float) -> None:
        clock.now += seconds
        if clock.now > 1030:
            raise KeyboardInterrupt

    monkeypatch.setattr(clock, "sleep", sleep)
    console = Console(record=True, width=300, file=StringIO())
    options = Options(folder, "Свадьба", sync=False, watch=True)
    with pytest.raises(KeyboardInterrupt):
        Watch(Push(options, Target(URL, None, Settings()), Screen(console), report)).run()
    assert report.count()["sent"] == report.photos == 1
    assert console.export_text().count("does not answer") == 1


def test_a_card_below_the_folder_that_is_out_deletes_nothing(
    tmp_path: Path, store: FakeClient, clock: Clock
) -> None:
    watched = Watched(make_folder(tmp_path), store, clock, delete=True)
    for number in range(2):
        (watched.folder / f"{number}.jpg").write_bytes(make_photo(number))
    watched.look(5)
    name = next(name for name in watched.place.sender.stored.names if name == "1.jpg")
    watched.watch._devices[name] = -1  # it lay on another file system
    (watched.folder / "1.jpg").unlink()
    watched.look(20)
    assert watched.list_names() == ["0.jpg", "1.jpg"]
