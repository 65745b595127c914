"""The OpenAPI document as an attacker reads it: schemathesis, against the served API with a key."""

from uuid import UUID
from zlib import crc32

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tests.support.event_box import EventBox
from tests.support.public_api import KEY, PublicApi

# No document can say which pictures hold a face, which packs lie on a machine, which cursors an
# answer gave, or which folders are an event's own, so what fits it may well be refused.
REFUSING = {
    "/api/v1/events",
    "/api/v1/faces/search",
    "/api/v1/events/{event_uuid}/reembed",
    "/api/v1/events/{event_uuid}/photos",
    # Dates far off, a change of nothing, a photo of another event; bytes that are no picture.
    "/api/v1/events/{event_uuid}",
    "/api/v1/events/{event_uuid}/logo",
}
UNSAYABLE = [positive_data_acceptance, negative_data_rejection]
# Parameters and headers that no call knows are ignored on purpose; here they count as wrong data.
IGNORED = [negative_data_rejection]
EXAMPLES = 12  # a route and mode: the whole file takes about 25 s


@pytest.fixture(scope="module")
def known_event(joined_stack: dict[str, str]) -> EventBox:
    """An event that the calls may meet."""
    return EventBox()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_call_gets_what_the_document_does_not_say(
    public_api: PublicApi, known_event: EventBox, mode: GenerationMode
) -> None:
    load_all_checks()
    schema = schemathesis.openapi.from_url(f"{public_api.url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) > 10
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and not _takes_anything(operation):
            continue  # nothing that could be wrong
        _try_operation(operation, known_event, mode)


def _takes_anything(operation: schemathesis.APIOperation) -> bool:
    return bool(operation.body or operation.query or operation.path_parameters)


def _try_operation(
    operation: schemathesis.APIOperation, event: EventBox, mode: GenerationMode
) -> None:
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def call(case: schemathesis.Case) -> None:
        _meet_known_event(case, event)
        case.call_and_validate(
            headers={"X-API-Key": KEY.encode().decode("latin-1")},
            excluded_checks=UNSAYABLE if operation.path in REFUSING else IGNORED,
        )

    call()


def _meet_known_event(case: schemathesis.Case, event: EventBox) -> None:
    # A generated UUID names no event: every third call would find 404 and nothing else.
    given = (case.path_parameters or {}).get("event_uuid")
    try:
        UUID(str(given))
    except ValueError:
        return
    if crc32(str(given).encode()) % 10 < 7:
        if (case.method, case.path) == ("DELETE", "/api/v1/events/{event_uuid}"):
            event = EventBox()  # the others' is met again
        case.path_parameters["event_uuid"] = str(event.uuid)


def test_the_server_met_no_surprise(public_api: PublicApi) -> None:
    httpx.get(f"{public_api.url}/health", trust_env=False)
    assert "Incident" not in public_api.log()
