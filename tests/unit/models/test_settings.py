"""Settings: the guide's defaults, the forms of an address, sentences for what is missing."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.errors import ConfigurationError
from models.settings import Settings, get_settings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No FACEPASS_ variable but those a test sets."""
    for name in [name for name in os.environ if name.upper().startswith("FACEPASS_")]:
        monkeypatch.delenv(name)


def test_defaults_are_the_guides() -> None:
    settings = Settings()
    assert settings.model_pack == "buffalo_l"
    assert settings.batch_size == 100
    assert settings.retry_delay_s == 300


def test_nothing_outside_this_machine_is_a_default() -> None:
    settings = Settings()
    assert settings.api_host == "127.0.0.1"
    assert settings.inference == "cpu"
    unset = ("database_url", "s3_bucket", "s3_endpoint_url", "public_url", "api_keys")
    assert {name: getattr(settings, name) for name in unset} == dict.fromkeys(unset)


def test_variables_carry_the_products_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEPASS_RETRY_DELAY_S", "7")
    monkeypatch.setenv("FACEPASS_HOME", "/srv/facepass")
    monkeypatch.setenv("BATCH_SIZE", "3")
    settings = Settings()
    assert (settings.retry_delay_s, settings.home) == (7, Path("/srv/facepass"))
    assert settings.batch_size == 100


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEPASS_DATABASE_URL", "")
    monkeypatch.setenv("FACEPASS_API_PORT", "")
    settings = Settings()
    assert (settings.database_url, settings.api_port) == (None, 8000)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", "0"),
        ("batch_size", "1001"),
        ("retry_delay_s", "-1"),
        ("max_pixels", "0"),
        ("max_photo_bytes", "many"),
        ("inference", "tpu"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"FACEPASS_{name.upper()}", value)
    with pytest.raises(ValidationError, match=name):
        Settings()


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_setting_says_what_it_is(name: str) -> None:
    description = Settings.model_fields[name].description
    assert description
    assert "\n" not in description
    assert not description.endswith(".")  # a cell of the table in docs/settings.md


@pytest.mark.parametrize(
    "scheme", ["postgresql", "postgres", "postgresql+psycopg2", "postgresql+asyncpg"]
)
def test_any_form_of_a_postgres_address_reaches_psycopg2(scheme: str) -> None:
    settings = Settings(database_url=f"{scheme}://me:p%40ss@db:5433/facepass?host=/run")
    assert settings.require_database_url() == (
        "postgresql+psycopg2://me:p%40ss@db:5433/facepass?host=/run"
    )


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), max_size=40))
def test_all_behind_the_scheme_is_kept_as_it_is_or_refused(rest: str) -> None:
    settings = Settings(database_url=f"postgresql://{rest}")
    try:
        address = settings.require_database_url()
    except ConfigurationError as error:
        assert str(error).startswith("FACEPASS_DATABASE_URL ")
    else:
        assert address == f"postgresql+psycopg2://{rest}"


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ("pgbouncer=true", "pgbouncer"),
        ("sslmode=require&schema=public", "schema"),
        ("connection_limit=1&pool_timeout=0", "connection_limit, pool_timeout"),
        ("sslmode=nonsense", "sslmode"),
        ("ssl=require", "ssl"),
        ("prepared_statement_cache_size=0", "prepared_statement_cache_size"),
        ("target_session_attrs=master", "target_session_attrs"),
        ("host=a,b&port=1,2,3", "port"),
        ("service=none", "service"),
        ("gssencmode=secret", "gssencmode"),
        ("gssencmode=secret&schema=public", "gssencmode, schema"),
        ("async=true&connection_factory=secret&dsn=secret", "async, connection_factory, dsn"),
    ],
)
def test_an_option_that_libpq_does_not_take_is_named_and_its_value_is_not(
    options: str, wrong: str
) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        Settings(database_url=f"postgres://me:secret@db/x?{options}").require_database_url()
    assert "FACEPASS_DATABASE_URL has options" in str(refusal.value)
    assert f"({wrong})" in str(refusal.value)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "options",
    [
        "",
        "?sslmode=verify-full&sslrootcert=system",
        "?sslnegotiation=direct&sslmode=require",  # one of them is wrong without the other
        "?host=a,b&port=1,2&target_session_attrs=read-write",
        "?host=a:1&host=b:2",
        "?host=/run/postgresql&application_name=x&connect_timeout=10",
        "?options=-csearch_path%3Dphotos&channel_binding=require",
        "?hostaddr=127.0.0.1&keepalives_idle=5",
        "?gssencmode=require&sslmode=disable",
    ],
)
def test_an_option_of_libpqs_own_is_taken(options: str) -> None:
    Settings(database_url=f"postgresql://me@db:5433/x{options}").require_database_url()


@pytest.mark.parametrize(
    "url", ["mysql://secret@db/x", "db.example.org/secret", "postgresql:secret", "sqlite:///secret"]
)
def test_another_databases_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"must start with postgresql://\.$") as refusal:
        Settings(database_url=url).require_database_url()
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://photos.example.com", ""),
        ("http://127.0.0.1:8000/", ""),
        ("https://example.com/facepass", "/facepass"),
        ("https://example.com/a/b-c_d.e~f/", "/a/b-c_d.e~f"),
        ("https://[2001:db8::1]:8443/facepass", "/facepass"),
        ("https://example.com/g%20x", "/g x"),
        ("https://фото.example/свадьбы", "/свадьбы"),
    ],
)
def test_a_public_url_may_have_a_path(url: str, path: str) -> None:
    settings = Settings(public_url=url)
    assert settings.public_url == url.rstrip("/")
    assert settings.read_public_path() == path


@pytest.mark.parametrize(
    "url",
    [
        "photos.example.com",
        "photos.example.com/facepass",
        "//photos.example.com",
        "/facepass",
        "localhost:8000",
        "ftp://photos.example.com",
        "https://",
        "https:///facepass",
        "https:photos.example.com",
        "https://photos.example.com?x=1",
        "https://photos.example.com/facepass?",
        "https://photos.example.com/#gallery",
        "https://anna:secret@photos.example.com",
        "https://photos.example.com:port",
        "https://photos.example.com:99999",
        "https://[::1",
        "https://photos.example.com/a b",
        "https://photos.example.com//facepass",
        "https://photos.example.com/a/../b",
        "https://photos.example.com/<script>",
        "https://photos.example.com\\facepass",
        "our gallery",
    ],
)
def test_a_public_url_that_guests_cannot_open_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("FACEPASS_PUBLIC_URL", url)
    get_settings.cache_clear()
    with pytest.raises(ConfigurationError, match=r"^FACEPASS_PUBLIC_URL is wrong: write .*\.$"):
        get_settings()
    get_settings.cache_clear()


def test_a_missing_database_or_bucket_gets_a_sentence_that_names_the_setting() -> None:
    with pytest.raises(ConfigurationError, match=r"set FACEPASS_DATABASE_URL .*make up.*\.$"):
        Settings().require_database_url()
    with pytest.raises(ConfigurationError, match=r"set FACEPASS_S3_BUCKET .*make up.*\.$"):
        Settings().require_s3_bucket()


def test_a_set_bucket_is_given_back() -> None:
    assert Settings(s3_bucket="photos").require_s3_bucket() == "photos"


def test_the_environment_is_read_once_and_again_after_cache_clear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    get_settings.cache_clear()
    try:
        monkeypatch.setenv("FACEPASS_BATCH_SIZE", "5")
        first = get_settings()
        monkeypatch.setenv("FACEPASS_BATCH_SIZE", "6")
        assert get_settings() is first
        get_settings.cache_clear()
        assert (first.batch_size, get_settings().batch_size) == (5, 6)
    finally:
        get_settings.cache_clear()
