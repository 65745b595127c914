"""How often: by key, by address, each apart; never a memory that grows with the callers."""

from collections.abc import Iterator
from hashlib import sha256

import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.testclient import TestClient

from api import security
from api.security import _get_rate_limiter, limit_rate, name_address, require_api_key
from models.settings import Settings

KEYS = ",".join(f"{name}:{sha256(name.encode()).hexdigest()}" for name in ("anna", "boris"))


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    configure(monkeypatch, KEYS)
    _get_rate_limiter.cache_clear()
    yield
    _get_rate_limiter.cache_clear()


def configure(monkeypatch: pytest.MonkeyPatch, keys: str | None) -> None:
    # A day: no test meets the end of a window.
    values = Settings(api_keys=keys, rate_limit="3/day", guest_rate_limit="2/day")
    for module in (security,):
        monkeypatch.setattr(module, "get_settings", lambda: values)


def open_client(address: str = "8.8.8.8") -> TestClient:
    app = FastAPI()
    photographers = [Depends(require_api_key), Depends(limit_rate("photographer"))]
    app.get("/photos", dependencies=photographers)(lambda: "in")
    app.get("/gallery", dependencies=[Depends(limit_rate("guest"))])(lambda: "in")
    return TestClient(app, client=(address, 1))


def call(path: str, times: int, *, address: str = "8.8.8.8", **headers: str) -> list[int]:
    client = open_client(address)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return [client.get(path, headers=named).status_code for _ in range(times)]


def test_each_key_has_its_own_count_wherever_it_is_used() -> None:
    assert call("/photos", 2, x_api_key="anna") == [200, 200]
    assert call("/photos", 2, x_api_key="anna", address="9.9.9.9") == [200, 429]
    assert call("/photos", 1, x_api_key="boris") == [200]


def test_guests_are_told_apart_by_address_and_not_by_what_they_claim() -> None:
    assert call("/gallery", 2) == [200, 200]
    assert call("/gallery", 1, x_forwarded_for="1.2.3.4", x_api_key="anna") == [429]
    assert call("/gallery", 1, address="9.9.9.9") == [200]


def test_guessing_keys_is_slow_and_hinders_no_one_with_a_key() -> None:
    assert call("/photos", 3, x_api_key="wrong") == [401, 401, 429]
    assert call("/photos", 1, x_api_key="anna") == [200]


def test_without_keys_photographers_are_not_limited_and_guests_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configure(monkeypatch, None)
    assert set(call("/photos", 50)) == {200}
    assert call("/gallery", 3)[-1] == 429


def test_searches_by_a_token_leave_the_selfies_their_count() -> None:
    app = FastAPI()
    for caller in ("again", "guest"):
        app.get(f"/{caller}", dependencies=[Depends(limit_rate(caller))])(lambda: "in")
    client = TestClient(app, client=("8.8.8.8", 1))
    assert [client.get("/again").status_code for _ in range(3)] == [200, 200, 429]
    assert client.get("/guest").status_code == 200


def test_a_refusal_says_when_to_come_back() -> None:
    client = open_client()
    answer = [client.get("/gallery") for _ in range(3)][-1]
    wait_s = int(answer.headers["Retry-After"])
    assert 1 <= wait_s <= 86_400
    assert answer.json()["detail"] == f"Too many calls: try again in {wait_s} seconds."


def test_a_flood_of_addresses_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "MAX_CALLERS", 5)
    assert call("/gallery", 1, address="8.8.8.8") == [200]
    for number in range(20):
        call("/gallery", 1, address=f"9.9.9.{number}")
    assert len(security._get_rate_limiter()[1].storage) <= 6
    # Who was there before the flood keeps a count of its own.
    assert call("/gallery", 1, address="8.8.8.8") == [200]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("8.8.8.8", "8.8.8.8"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("::ffff:8.8.8.8", "8.8.8.8"),
        ("testclient", "testclient"),
    ],
)
def test_an_ipv6_household_is_one_caller(address: str, name: str) -> None:
    assert name_address(Request({"type": "http", "client": (address, 1)})) == name
