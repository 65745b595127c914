"""The OpenAPI document as an attacker reads it: schemathesis, against the served API with a key."""

import random
from uuid import UUID

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import load_all_checks

from tests.event_box import EventBox
from tests.public_api import KEY, PublicApi

EXAMPLES = 25  # a route and mode: the whole file stays below 45 s


@pytest.fixture(scope="module")
def known_event(joined_stack: dict[str, str]) -> EventBox:
    """An event that the calls may meet."""
    return EventBox()


@pytest.fixture
def described_api(public_api: PublicApi) -> schemathesis.BaseSchema:
    load_all_checks()
    return schemathesis.openapi.from_url(f"{public_api.url}/openapi.json")


schema = schemathesis.pytest.from_fixture("described_api")


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_call_gets_what_the_document_does_not_say(
    case: schemathesis.Case, public_api: PublicApi, known_event: EventBox
) -> None:
    _meet_known_event(case, known_event)
    case.call_and_validate(headers={"X-API-Key": KEY.encode().decode("latin-1")})


def _meet_known_event(case: schemathesis.Case, event: EventBox) -> None:
    # A generated UUID names no event: every third call would find 404 and nothing else.
    given = (case.path_parameters or {}).get("event_uuid")
    try:
        UUID(str(given))
    except ValueError:
        return
    if random.Random(str(given)).random() < 0.7:
        case.path_parameters["event_uuid"] = str(event.uuid)


def test_the_server_met_no_surprise(public_api: PublicApi) -> None:
    httpx.get(f"{public_api.url}/health", trust_env=False)
    assert "Incident" not in public_api.log()
