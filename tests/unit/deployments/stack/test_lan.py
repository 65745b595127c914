"""The plan of a stack that phones of the same network reach: one port, one key, no other server."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from deployments.stack import lan
from deployments.stack.home import StackHome
from deployments.stack.lan import API_KEY, describe_lan, open_to_lan
from deployments.stack.plan import StackPlan, plan_stack
from models.errors import StackError
from models.settings import Settings


@pytest.fixture(autouse=True)
def lan_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr(lan, "find_lan_address", lambda: "127.0.0.2")  # one that can be bound


def plan(home: Path, **settings: Any) -> StackPlan:
    free = {"api_port": 0, "prefect_port": 0, "s3_port": 0}
    return plan_stack(Settings(home=home, **{**free, **settings}), StackHome(home), lan=True)


def test_the_api_alone_is_opened_and_asks_for_the_key_that_the_stack_keeps(tmp_path: Path) -> None:
    planned = plan(tmp_path)

    key = planned.environment[API_KEY]
    assert planned.push_environment[API_KEY] == key
    assert planned.child_environment["FACEPASS_API_KEYS"] == (
        f"lan:{sha256(key.encode()).hexdigest()}"
    )
    assert planned.child_environment["FACEPASS_API_HOST"] == "127.0.0.2"
    assert planned.child_environment["FACEPASS_PUBLIC_URL"] == planned.api_url
    assert planned.api_url == planned.public_url
    assert planned.api_url.startswith("http://127.0.0.2:")
    assert planned.prefect_api_url.startswith("http://127.0.0.1:")
    assert planned.environment["FACEPASS_S3_ENDPOINT_URL"].startswith("http://127.0.0.1:")
    for environment in (planned.child_environment, planned.worker_environment):
        assert key not in environment.values()  # of the children the API has its digest alone
    assert (tmp_path / "lan-key").stat().st_mode & 0o777 == 0o600
    assert plan(tmp_path).environment[API_KEY] == key  # the next day's uploads know it


def test_keys_and_addresses_that_are_set_stay(tmp_path: Path) -> None:
    anna = f"anna:{'0' * 64}"
    planned = plan(tmp_path, api_keys=anna, public_url="https://photos.example.com")
    assert planned.child_environment["FACEPASS_API_KEYS"].startswith(f"{anna},lan:")
    assert planned.child_environment["FACEPASS_PUBLIC_URL"] == "https://photos.example.com"


@pytest.mark.parametrize(
    ("host", "listens", "link"),
    [
        ("127.0.0.1", "127.0.0.2", "http://127.0.0.2:"),
        ("localhost", "127.0.0.2", "http://127.0.0.2:"),
        ("::1", "127.0.0.2", "http://127.0.0.2:"),
        ("0.0.0.0", "0.0.0.0", "http://127.0.0.2:"),  # noqa: S104 (an address that is only compared)
        ("192.168.7.7", "192.168.7.7", "http://192.168.7.7:"),
        ("fd00::2", "fd00::2", "http://[fd00::2]:"),
    ],
)
def test_an_address_that_is_set_is_listened_on(
    tmp_path: Path, host: str, listens: str, link: str
) -> None:
    opened, _ = open_to_lan(Settings(api_host=host), tmp_path)
    assert opened.api_host == listens
    assert lan.build_lan_url(opened, 8000) == f"{link}8000"


def test_a_machine_without_a_network_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lan, "find_lan_address", lambda: None)
    with pytest.raises(StackError, match="join a Wi-Fi"):
        plan(tmp_path)


def test_pictures_that_no_phone_could_load_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="FACEPASS_PHOTO_DELIVERY=s3"):
        plan(tmp_path, photo_delivery="s3")


def test_without_lan_nothing_is_opened(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, api_port=0, prefect_port=0, s3_port=0)
    planned = plan_stack(settings, StackHome(tmp_path))
    assert planned.api_url.startswith("http://127.0.0.1:")
    assert planned.public_url == planned.api_url
    assert API_KEY not in planned.environment
    assert "FACEPASS_API_KEYS" not in planned.child_environment
    assert not (tmp_path / "lan-key").exists()


def test_what_is_printed_is_the_front_page_while_the_api_knows_no_event() -> None:
    lines = list(describe_lan("http://192.168.1.5:8000", "http://127.0.0.1:9", "key"))
    assert lines[0] == "For phones in the same network: http://192.168.1.5:8000"
    assert any("█" in line for line in lines)
    assert "unencrypted" in "\n".join(lines)
