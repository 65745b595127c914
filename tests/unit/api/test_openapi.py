"""The API as its own description tells it: DESIGN.md's routes, errors and examples."""

import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from api import schemas
from api.app import create_app
from models.tables import SyncRun
from models.vocabulary import SyncState
from tasks.sync.report import build_result

# Photographer's router: what each call answers, besides FastAPI's own 422.
ROUTES = {
    ("post", "/api/v1/events"): {201, 400, 409, 503},
    ("get", "/api/v1/events"): {200, 503},
    ("get", "/api/v1/events/{event_uuid}"): {200, 400, 404, 503},
    ("patch", "/api/v1/events/{event_uuid}"): {200, 400, 404, 409, 503},
    ("post", "/api/v1/events/{event_uuid}/reembed"): {200, 400, 404, 409, 503},
    ("post", "/api/v1/events/{event_uuid}/previews"): {200, 400, 404, 409, 503},
    ("post", "/api/v1/faces/sync-s3"): {200, 400, 404, 409, 503},
    ("get", "/api/v1/faces/sync-s3/{task_id}"): {200, 404, 503},
    ("get", "/api/v1/events/{event_uuid}/photos"): {200, 400, 404, 503},
    ("post", "/api/v1/events/{event_uuid}/photos/requeue"): {200, 400, 404, 503},
    ("get", "/api/v1/events/{event_uuid}/cameras"): {200, 400, 404, 503},
    ("put", "/api/v1/events/{event_uuid}/cameras/{camera}"): {200, 400, 404, 503},
    ("post", "/api/v1/events/{event_uuid}/gallery-token"): {200, 400, 404, 503},
    ("post", "/api/v1/events/{event_uuid}/report-link"): {200, 400, 404, 503},
    ("put", "/api/v1/events/{event_uuid}/logo"): {204, 400, 404, 503},
    ("delete", "/api/v1/events/{event_uuid}/logo"): {204, 400, 404, 503},
    ("get", "/api/v1/events/{event_uuid}/requests"): {200, 400, 404, 503},
    ("post", "/api/v1/events/{event_uuid}/requests/{request_id}/settle"): {200, 400, 404, 503},
    ("delete", "/api/v1/events/{event_uuid}"): {200, 400, 404, 409, 503},
    ("delete", "/api/v1/events/{event_uuid}/faces"): {200, 400, 404, 503},
    ("post", "/api/v1/events/{event_uuid}/resume"): {200, 400, 404, 503},
    ("delete", "/api/v1/events/{event_uuid}/photos/{photo_id}"): {200, 400, 404, 503},
    ("post", "/api/v1/events/{event_uuid}/photos/{photo_id}/restore"): {200, 400, 404, 503},
}
EVERY_ROUTES = {401, 403, 413, 422, 429}  # a key, a body and a rate may be wrong anywhere
OPEN_ROUTES = {
    ("post", "/api/v1/hooks/s3"): {202, 400, 408, 503},
    ("get", "/health"): {200},
    ("get", "/ready"): {200, 503},
    ("get", "/metrics"): {200, 503},
}
# Guests' router: a key is taken, and needed only where an event is named by its UUID.
GUESTS_ROUTES = {("post", "/api/v1/faces/search"): {200, 400, 404, 408, 410, 503}}
EXAMPLES = [
    "EventCreate",
    "EventAnswer",
    "EventDetails",
    "ListedEvent",
    "DeletionAnswer",
    "SyncRequest",
    "SyncAnswer",
    "SyncStatus",
    "PhotoPage",
    "CameraAnswer",
    "ErasureAnswer",
    "SearchAnswer",
    "SearchRefusal",
]


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    """OpenAPI's description of the app."""
    return create_app().openapi()


@pytest.mark.parametrize(("route", "statuses"), (ROUTES | GUESTS_ROUTES | OPEN_ROUTES).items())
def test_a_route_is_there_and_documents_its_answers(
    description: dict[str, Any], route: tuple[str, str], statuses: set[int]
) -> None:
    method, path = route
    operation = description["paths"][path][method]
    assert {int(status) for status in operation["responses"]} - EVERY_ROUTES == statuses
    assert operation["description"].endswith(".")


@pytest.mark.parametrize("route", ROUTES | GUESTS_ROUTES | OPEN_ROUTES)
def test_errors_have_the_guides_shape(description: dict[str, Any], route: tuple[str, str]) -> None:
    method, path = route
    for status, answer in description["paths"][path][method]["responses"].items():
        refuses_selfies = route in GUESTS_ROUTES and int(status) == 422
        if int(status) >= 400 and not refuses_selfies:
            schema = answer["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}
    detail = description["components"]["schemas"]["ErrorAnswer"]["properties"]["detail"]
    assert detail["type"] == "string"


@pytest.mark.parametrize("route", ROUTES | GUESTS_ROUTES | OPEN_ROUTES)
def test_photographers_routes_take_a_key_and_the_open_ones_do_not(
    description: dict[str, Any], route: tuple[str, str]
) -> None:
    method, path = route
    operation = description["paths"][path][method]
    scheme = description["components"]["securitySchemes"]["APIKeyHeader"]
    assert (scheme["in"], scheme["name"]) == ("header", "X-API-Key")
    key = {"APIKeyHeader": []}
    needs = [key] if route in ROUTES else [key, {}] if route in GUESTS_ROUTES else []
    assert operation.get("security", []) == needs


def test_an_operation_is_named_as_a_program_would(description: dict[str, Any]) -> None:
    ids = [
        call["operationId"] for calls in description["paths"].values() for call in calls.values()
    ]
    assert len(ids) == len(set(ids)) > 25
    assert [name for name in ids if not re.fullmatch(r"[a-z]+(_[a-z0-9]+){1,3}", name)] == []
    assert {"add_event", "list_events", "start_sync", "read_sync", "list_photos"} < set(ids)
    tags = {
        tag for calls in description["paths"].values() for c in calls.values() for tag in c["tags"]
    }
    assert tags == {tag["name"] for tag in description["tags"]}


def test_the_document_is_of_this_release(description: dict[str, Any]) -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    assert description["info"]["version"] == project["version"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_request_or_answer_shows_an_example(description: dict[str, Any], name: str) -> None:
    assert description["components"]["schemas"][name]["examples"]


def test_every_example_is_a_valid_one_of_its_kind(description: dict[str, Any]) -> None:
    for name, schema in description["components"]["schemas"].items():
        for example in schema.get("examples", []):
            model = getattr(schemas, name)
            assert model.model_validate(example).model_dump(mode="json", exclude_unset=True) == (
                example
            )


def test_the_search_shows_its_form_and_its_refusals(description: dict[str, Any]) -> None:
    operation = description["paths"]["/api/v1/faces/search"]["post"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert {"file", *schemas.SearchForm.model_fields} == set(form["properties"])
    file, face = form["properties"]["file"], form["properties"]["face"]
    assert (file["type"], file["minItems"], file["maxItems"]) == ("array", 1, 3)
    assert file["items"] == {"type": "string", "format": "binary"}
    assert (face["type"], face["maxItems"]) == ("array", 3)
    refusal = operation["responses"]["422"]["content"]["application/json"]["schema"]
    assert refusal == {"$ref": "#/components/schemas/SearchRefusal"}
    codes = description["components"]["schemas"]["SelfieCode"]["enum"]
    assert {"not_an_image", "no_face", "several_faces", "face_too_small"} < set(codes)
    assert "different_people" in codes


def test_the_search_says_what_its_two_similarities_are(description: dict[str, Any]) -> None:
    shapes = description["components"]["schemas"]
    match = shapes["MatchAnswer"]["properties"]
    assert "what was searched with" in match["similarity"]["description"]
    assert "selfie alone" in match["selfie_similarity"]["description"]
    thresholds = shapes["ThresholdsAnswer"]["properties"]
    assert "0: the search went by the selfie alone" in thresholds["expanded_by"]["description"]


def test_examples_are_the_guides(description: dict[str, Any]) -> None:
    kinds = description["components"]["schemas"]
    assert kinds["SyncRequest"]["examples"] == [
        {
            "event_uuid": "550e8400-e29b-41d4-a716-446655440000",
            "s3_prefix": "events/1/previews/",
        }
    ]
    assert kinds["SyncAnswer"]["examples"] == [
        {
            "task_id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
            "event_id": 1,
            "s3_prefix": "events/1/previews/",
            "message": "Sync task started for event Свадьба",
        }
    ]


def test_the_results_example_has_the_fields_of_a_real_result() -> None:
    run = SyncRun(flow_run_id=uuid4(), event_id=1, s3_prefix="x", state=SyncState.RUNNING)
    assert list(schemas.read_examples()["SyncStatus"]["result"]) == list(
        build_result(run, Counter(), 0)
    )


def test_states_are_the_products_words(description: dict[str, Any]) -> None:
    assert description["components"]["schemas"]["SyncState"]["enum"] == [
        "pending",
        "running",
        "retrying",
        "completed",
        "failed",
        "crashed",
        "cancelled",
        "skipped",
    ]
