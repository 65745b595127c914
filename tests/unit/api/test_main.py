"""`python -m api`: never open to others without a key; a wrong setting is a sentence."""

from hashlib import sha256

import pytest

from api import __main__ as main_module
from api.__main__ import check_exposure, main
from models.errors import ConfigurationError
from models.settings import Settings, get_settings

KEYS = f"anna:{sha256(b'key').hexdigest()}"
LOOPBACK = ["127.0.0.1", "127.0.1.1", "127.255.255.254", "::1", "localhost"]
OTHERS = [
    "0.0.0.0",  # noqa: S104 (refused)
    "::",
    "192.168.1.5",
    "10.0.0.1",
    "169.254.1.1",
    "fe80::1",
    "128.0.0.1",
    "api.example.org",
    "localhost.example.org",
    "127.0.0.1.example.org",
    "127.1",
    "",
]


@pytest.mark.parametrize("host", LOOPBACK)
def test_this_machine_needs_no_key(host: str) -> None:
    check_exposure(Settings(api_host=host, api_keys=None))


@pytest.mark.parametrize("host", OTHERS)
def test_any_other_address_needs_keys(host: str) -> None:
    with pytest.raises(ConfigurationError, match="set FACEPASS_API_KEYS") as refusal:
        check_exposure(Settings(api_host=host, api_keys=None))
    assert f"FACEPASS_API_HOST={host} " in str(refusal.value)
    check_exposure(Settings(api_host=host, api_keys=KEYS))


@pytest.mark.parametrize("keys", ["", " ", ","])
def test_keys_without_a_key_in_them_do_not_count(keys: str) -> None:
    with pytest.raises(ConfigurationError, match="set FACEPASS_API_KEYS"):
        check_exposure(Settings(api_host="::", api_keys=keys))


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_wrong_keys_are_refused_on_any_address(host: str) -> None:
    with pytest.raises(ConfigurationError, match="name:sha256 pairs"):
        check_exposure(Settings(api_host=host, api_keys="anna:plain"))


# --- starting ---


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """What would have been served; a good configuration to start from."""
    calls: list[dict[str, object]] = []
    for name in ("FACEPASS_API_KEYS", "FACEPASS_API_HOST", "FACEPASS_API_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FACEPASS_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/x")
    monkeypatch.setattr(main_module.uvicorn, "run", lambda _, **options: calls.append(options))
    monkeypatch.setattr(main_module, "get_settings", get_settings.__wrapped__)
    monkeypatch.setattr(main_module, "check_server_address", lambda: None)
    return calls


def test_the_api_listens_where_the_settings_say(
    served: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEPASS_API_HOST", "::1")
    monkeypatch.setenv("FACEPASS_API_PORT", "8123")
    assert main() == 0
    assert [(call["host"], call["port"]) for call in served] == [("::1", 8123)]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("FACEPASS_DATABASE_URL", "", "No database is configured"),
        ("FACEPASS_DATABASE_URL", "mysql://me:secret@db/x", "must start with postgresql://"),
        ("FACEPASS_API_HOST", "0.0.0.0", "would open the API to others"),  # noqa: S104 (refused)
        ("FACEPASS_API_KEYS", "anna:secret", "name:sha256 pairs"),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_nothing_is_served(
    served: list[dict[str, object]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    says: str,
) -> None:
    monkeypatch.setenv(name, value)
    assert main() == 1
    assert served == []
    output = capsys.readouterr()
    assert output.out == ""
    assert says in output.err
    assert output.err.count("\n") == 1
    assert "secret" not in output.err


def test_a_port_that_is_no_number_is_a_sentence_too(
    served: list[dict[str, object]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FACEPASS_API_PORT", "abc")
    assert main() == 1
    assert "FACEPASS_API_PORT" in capsys.readouterr().err
