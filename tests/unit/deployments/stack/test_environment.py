"""What the stack's children get of the caller's environment."""

from pathlib import Path

import pytest

from deployments.stack.home import StackHome
from deployments.stack.plan import API_ONLY, build_base_environment, plan_stack
from deployments.stack.process import MARK
from models.settings import Settings

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


def test_flow_runs_get_no_secret_of_the_api_and_prefect_none_of_the_product(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("PREFECT_API_URL", *API_ONLY):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FACEPASS_API_KEYS", "anna:secret")  # from the shell, and from Python
    settings = Settings(
        webhook_secret="whsec_secret",
        hook_secret="a-secret-of-a-store",
        hook_topics="arn:aws:sns:eu-central-1:123456789012:photos",
        home=tmp_path,
        api_port=0,
        prefect_port=0,
        s3_port=0,
    )

    plan = plan_stack(settings, StackHome(tmp_path))

    assert [plan.child_environment[name] for name in API_ONLY] == [
        "anna:secret",
        "whsec_secret",
        "a-secret-of-a-store",
        "arn:aws:sns:eu-central-1:123456789012:photos",
    ]
    for environment in (plan.worker_environment, plan.environment, plan.push_environment):
        assert not {*API_ONLY} & environment.keys()
    assert (
        plan.worker_environment["FACEPASS_DATABASE_URL"]
        == plan.environment["FACEPASS_DATABASE_URL"]
    )
    of_product = [n for n in plan.prefect_environment if n.startswith(("FACEPASS_", "AWS_"))]
    assert of_product == [MARK]
    assert plan.s3 is not None
    upload = plan.s3.upload_keys
    assert plan.push_environment["AWS_SECRET_ACCESS_KEY"] == upload.secret_key
    for environment in (plan.child_environment, plan.environment):
        assert upload.secret_key not in environment.values()
    assert (tmp_path / "s3-upload-keys.json").stat().st_mode & 0o777 == 0o600
