"""Who is let in: photographers' keys, and ids in the guide's manner."""

from hashlib import sha256
from uuid import UUID

import pytest
from fastapi import Depends, FastAPI, HTTPException
from fastapi.testclient import TestClient

from api import security
from api.deps import parse_uuid
from api.security import check_api_key, read_api_keys, require_api_key
from models.errors import ConfigurationError
from models.settings import Settings

ANNA, BORIS = "anna's key", "ключ Бориса"


def digest(key: str) -> str:
    """What goes into FACEPASS_API_KEYS."""
    return sha256(key.encode()).hexdigest()


KEYS = f"anna:{digest(ANNA)},boris:{digest(BORIS)}"


# --- reading keys ---


@pytest.mark.parametrize("text", [None, "", " ", ",", " , ,"])
def test_no_keys_are_no_keys(text: str | None) -> None:
    assert read_api_keys(Settings(api_keys=text)) == {}


@pytest.mark.parametrize(
    "text",
    [
        KEYS,
        KEYS.replace(",", " , "),
        f"{KEYS},",
        f"anna:{digest(ANNA).upper()},boris:{digest(BORIS)}",
    ],
)
def test_keys_are_name_and_digest_pairs(text: str) -> None:
    assert read_api_keys(Settings(api_keys=text)) == {
        "anna": sha256(ANNA.encode()).digest(),
        "boris": sha256(BORIS.encode()).digest(),
    }


@pytest.mark.parametrize(
    "text",
    [
        "my-plain-key",
        "anna:my-plain-key",
        "anna:",
        "anna",
        f":{digest(ANNA)}",
        digest(ANNA),
        f"anna:{digest(ANNA)[:-2]}",
        f"anna:{digest(ANNA)}00",
        f"anna:{digest(ANNA)[:-1]}я",
        f"{KEYS},third",
    ],
)
def test_anything_else_is_refused_with_the_way_to_make_one_and_without_repeating_it(
    text: str,
) -> None:
    with pytest.raises(ConfigurationError, match=r"name:sha256 pairs.*sha256sum") as refusal:
        read_api_keys(Settings(api_keys=text))
    assert "my-plain-key" not in str(refusal.value)
    assert digest(ANNA)[:8] not in str(refusal.value)


# --- asking for a key ---


@pytest.fixture
def with_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two photographers have keys."""
    monkeypatch.setattr(security, "get_settings", lambda: Settings(api_keys=KEYS))


@pytest.mark.usefixtures("with_keys")
def test_any_photographers_key_lets_in() -> None:
    for key in (ANNA, BORIS):
        check_api_key(as_header(key))


@pytest.mark.usefixtures("with_keys")
@pytest.mark.parametrize(
    "key", [None, "", "x", ANNA.upper(), f"{ANNA} ", digest(ANNA), "anna", f"{ANNA},{BORIS}"]
)
def test_everything_else_is_401_even_the_digest_itself(key: str | None) -> None:
    with pytest.raises(HTTPException) as refusal:
        check_api_key(as_header(key))
    assert (refusal.value.status_code, refusal.value.detail) == (
        401,
        "Missing or unknown X-API-Key",
    )


def test_where_no_keys_are_set_none_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "get_settings", lambda: Settings(api_keys=None))
    for key in (None, "", "anything"):
        check_api_key(as_header(key))


@pytest.mark.usefixtures("with_keys")
@pytest.mark.parametrize("key", [ANNA, BORIS, "wrong", None])
def test_every_digest_is_compared_in_constant_time_whichever_fits(
    monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = security.hmac.compare_digest

    def record(offered: bytes, known: bytes) -> bool:
        compared.append((offered, known))
        return compare(offered, known)

    monkeypatch.setattr(security.hmac, "compare_digest", record)
    try:
        check_api_key(as_header(key))
    except HTTPException:
        assert key not in {ANNA, BORIS}
    offered = sha256((key or "").encode()).digest()
    assert compared == [(offered, sha256(name.encode()).digest()) for name in (ANNA, BORIS)]


def as_header(key: str | None) -> str | None:
    """A header's text as the server hands it over: its bytes read as Latin-1."""
    return key and key.encode().decode("latin-1")


@pytest.fixture
def client(with_keys: None) -> TestClient:
    """An app behind the key."""
    app = FastAPI(dependencies=[Depends(require_api_key)])
    app.get("/")(lambda: "in")
    return TestClient(app)


def test_the_key_is_the_x_api_key_header(client: TestClient) -> None:
    assert client.get("/", headers={"X-API-Key": ANNA}).status_code == 200
    assert client.get("/", headers={"Authorization": f"Bearer {ANNA}"}).status_code == 401
    assert client.get("/", params={"x_api_key": ANNA}).status_code == 401
    assert client.get("/").json()["detail"] == "Missing or unknown X-API-Key"


def test_a_key_outside_ascii_lets_in_as_its_sha256sum_promises(client: TestClient) -> None:
    assert client.get("/", headers={b"X-API-Key": BORIS.encode()}).status_code == 200


# --- ids ---


@pytest.mark.parametrize("form", ["{0}", "{{{0}}}", "urn:uuid:{0}"])
def test_a_uuid_is_read_in_its_usual_forms(form: str) -> None:
    text = "550e8400-e29b-41d4-a716-446655440000"
    assert parse_uuid(form.format(text)) == UUID(text)


@pytest.mark.parametrize("text", ["", "1", "not-a-uuid", "550e8400-e29b-41d4-a716-44665544000я"])
def test_what_is_not_a_uuid_gets_the_guides_answer(text: str) -> None:
    with pytest.raises(HTTPException) as refusal:
        parse_uuid(text)
    assert (refusal.value.status_code, refusal.value.detail) == (400, "Invalid UUID format")
