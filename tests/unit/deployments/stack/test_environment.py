"""What the stack's children get of the caller's environment."""

import pytest

from deployments.stack.plan import build_base_environment

LEADS_ELSEWHERE = {
    "PREFECT_API_URL": "http://elsewhere/api",
    "PREFECT_API_KEY": "secret",
    "PREFECT_PROFILE": "mine",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL": "postgresql+asyncpg://elsewhere/prefect",
}
HOW_IT_WORKS = {
    "PREFECT_LOGGING_LEVEL": "DEBUG",
    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "P1D",
}


@pytest.fixture(autouse=True)
def caller(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"AWS_PROFILE": "mine", "PGHOST": "elsewhere"}
    for name, value in {**LEADS_ELSEWHERE, **HOW_IT_WORKS, **own}.items():
        monkeypatch.setenv(name, value)


def test_an_embedded_prefect_keeps_how_it_works_and_nothing_that_leads_elsewhere() -> None:
    environment = build_base_environment(embeds_s3=True, embeds_prefect=True)
    kept = {key: value for key, value in environment.items() if key.startswith("PREFECT_")}
    assert HOW_IT_WORKS.items() <= kept.items()
    assert not LEADS_ELSEWHERE.keys() & kept.keys()
    assert not {"AWS_PROFILE", "PGHOST"} & environment.keys()


def test_a_prefect_and_a_store_of_ones_own_are_left_as_they_are() -> None:
    environment = build_base_environment(embeds_s3=False, embeds_prefect=False)
    assert environment["PREFECT_API_URL"] == LEADS_ELSEWHERE["PREFECT_API_URL"]
    assert environment["AWS_PROFILE"] == "mine"
    assert not {"PREFECT_PROFILE", "PGHOST"} & environment.keys()
