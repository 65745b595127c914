"""Syncs that uploads ask for: few, soon, and none is lost."""

from collections.abc import Callable, Coroutine
from typing import Any
from uuid import uuid4

import anyio
import pytest
from prometheus_client import CollectorRegistry

from api.hooks import uploads
from api.hooks.uploads import MAX_FOLDERS, HookMetrics, UploadRequests, Wanted, name_prefix
from api.starts import BegunRun
from models.errors import DatabaseUnavailableError, OrchestratorUnavailableError
from models.tables import Event
from models.vocabulary import PrefectEvent

PREFIX = "events/1/previews/"
INTERVAL_S = 0.2


class Prefect:
    """As much of the orchestrator as is used here."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, str]]] = []

    async def announce(self, event: str, resource: dict[str, str], _payload: Any) -> None:
        self.told.append((event, resource))


class Starts:
    """Syncs that were asked for, and faults on the way to them."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.faults: list[Exception] = []
        self.lookups: list[Exception] = []

    def find(self, folders: list[str]) -> list[Wanted]:
        if self.lookups:
            raise self.lookups.pop(0)
        event = Event(id=1, name="Свадьба", gallery_token="t", active_until=None)
        known = tuple(folder for folder in folders if folder.startswith("events/1/"))
        return [Wanted(event, PREFIX, known)] if known else []

    def begin(self, _event: Event, s3_prefix: str, _orchestrator: object) -> BegunRun:
        if self.faults:
            raise self.faults.pop(0)
        self.asked.append(s3_prefix)
        return BegunRun(uuid4())


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> Starts:
    starts = Starts()
    monkeypatch.setattr(uploads, "find_wanted", starts.find)
    monkeypatch.setattr(uploads, "begin_sync", starts.begin)
    monkeypatch.setattr(uploads, "OUTAGE_DELAY_S", INTERVAL_S)
    return starts


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def play(registry: CollectorRegistry) -> Callable[..., Prefect]:
    """Run some calls beside the loop, which is cancelled behind them."""

    def run(story: Callable[[UploadRequests], Coroutine[Any, Any, None]]) -> Prefect:
        prefect = Prefect()

        async def main() -> None:
            requests = UploadRequests(HookMetrics(registry), interval_s=INTERVAL_S)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(requests.run, prefect)
                await story(requests)
                tasks.cancel_scope.cancel()

        anyio.run(main)
        return prefect

    return run


async def settle() -> None:
    await anyio.sleep(4 * INTERVAL_S)


def name_keys(number: int) -> list[str]:
    return [f"{PREFIX}{index}.jpg" for index in range(number)]


def test_a_burst_asks_at_once_and_once_more(
    starts: Starts, play: Callable[..., Prefect], registry: CollectorRegistry
) -> None:
    async def story(requests: UploadRequests) -> None:
        for key in name_keys(300):
            requests.add([key])
            await anyio.sleep(0)
        await settle()

    prefect = play(story)
    assert 1 <= len(starts.asked) <= 2
    assert {event for event, _ in prefect.told} == {PrefectEvent.UPLOADED}
    assert len(prefect.told) == len(starts.asked)
    taken = registry.get_sample_value("facepass_hook_objects_total", {"outcome": "taken"})
    assert taken == 300


def test_the_last_of_a_burst_is_asked_for(starts: Starts, play: Callable[..., Prefect]) -> None:
    async def story(requests: UploadRequests) -> None:
        requests.add(name_keys(1))
        await anyio.sleep(INTERVAL_S / 2)
        assert len(starts.asked) == 1
        requests.add(name_keys(1))  # within the pause
        await settle()
        assert len(starts.asked) == 2

    play(story)


def test_what_waits_when_the_api_stops_is_asked_for(
    starts: Starts, play: Callable[..., Prefect]
) -> None:
    async def story(requests: UploadRequests) -> None:
        requests.add(name_keys(1))
        await anyio.sleep(INTERVAL_S / 2)
        requests.add(name_keys(1))

    play(story)
    assert len(starts.asked) == 2


@pytest.mark.parametrize("place", ["lookups", "faults"])
def test_what_could_not_be_asked_for_is_asked_again(
    starts: Starts, play: Callable[..., Prefect], place: str
) -> None:
    errors = [DatabaseUnavailableError("away"), OrchestratorUnavailableError("away")]
    getattr(starts, place).extend(errors)

    async def story(requests: UploadRequests) -> None:
        requests.add(name_keys(1))
        await anyio.sleep(8 * INTERVAL_S)

    play(story)
    assert starts.asked == [PREFIX]


@pytest.mark.parametrize("place", ["lookups", "faults"])
def test_an_error_that_nobody_foresaw_ends_neither_the_loop_nor_the_api(
    starts: Starts, play: Callable[..., Prefect], place: str
) -> None:
    getattr(starts, place).append(ValueError("unforeseen"))

    async def story(requests: UploadRequests) -> None:
        requests.add(name_keys(1))
        await settle()
        requests.add(name_keys(1))
        await settle()

    play(story)
    assert starts.asked == [PREFIX]


def test_keys_of_no_event_are_counted(
    starts: Starts, play: Callable[..., Prefect], registry: CollectorRegistry
) -> None:
    async def story(requests: UploadRequests) -> None:
        requests.add(["events/2/previews/1.jpg", "elsewhere/previews/2.jpg"])
        await settle()

    play(story)
    assert starts.asked == []
    unknown = registry.get_sample_value("facepass_hook_objects_total", {"outcome": "unknown"})
    assert unknown == 2


def test_originals_wait_a_minute(starts: Starts, registry: CollectorRegistry) -> None:
    now = 0.0
    requests = UploadRequests(HookMetrics(registry), clock=lambda: now)
    requests.add(["events/1/originals/1.CR3"])
    assert requests._take(59) == []
    requests.add(["events/1/originals/1.CR3"])  # does not wait longer for it
    assert requests._take(60) == ["events/1/originals/"]


def test_its_memory_has_an_end(registry: CollectorRegistry) -> None:
    requests = UploadRequests(HookMetrics(registry), clock=lambda: 0.0)
    for number in range(MAX_FOLDERS + 10):
        requests.add([f"a{number}/previews/1.jpg"])
    assert len(requests._take(0)) == MAX_FOLDERS
    assert len(requests._told) == MAX_FOLDERS


@pytest.mark.parametrize(
    ("folder", "event_folder", "prefix", "is_original"),
    [
        ("events/1/previews/", "events/1/", PREFIX, False),
        ("events/1/previews/day 1/x/", "events/1/", PREFIX, False),
        ("events/1/album/previews/", "events/1/", "events/1/album/previews/", False),
        ("events/1/originals/", "events/1/", PREFIX, True),
        ("events/1/album/originals/2/", "events/1/", "events/1/album/previews/", True),
        ("events/1/previews/originals/", "events/1/", PREFIX, False),
        ("p/previews/u/previews/", "p/previews/u/", "p/previews/u/previews/", False),
        ("p/previews/u/originals/", "p/previews/u/", "p/previews/u/previews/", True),
        ("p/previews/u/thumbs/", "p/previews/u/", None, False),
        ("events/1/../previews/", "events/1/", None, False),
    ],
)
def test_a_folder_leads_to_the_prefix_that_a_sync_lists(
    folder: str, event_folder: str, prefix: str | None, is_original: bool
) -> None:
    assert name_prefix(folder, event_folder) == (prefix, is_original if prefix else False)
