"""names.py and prefect.yaml say the same; what is deployed can be imported anywhere."""

import re
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.utilities.callables import parameter_schema

from deployments import names
from models.errors import ConfigurationError
from models.vocabulary import ProfileName
from tasks.forms.event import read_profile

PREFECT_YAML = Path(__file__).parents[3] / "prefect.yaml"
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load(PREFECT_YAML.read_text("utf-8"))["deployments"]


def import_flow(deployment: dict[str, Any]) -> Flow[..., Any]:
    """The flow behind an entrypoint."""
    module, _, name = deployment["entrypoint"].rpartition(".")
    flow = getattr(import_module(module), name)
    assert isinstance(flow, Flow)
    return flow


def name_deployment(deployment: dict[str, Any]) -> str:
    """FLOW/DEPLOYMENT, as Prefect calls it."""
    return f"{import_flow(deployment).name}/{deployment['name']}"


each_deployment = pytest.mark.parametrize(
    "deployment", DEPLOYMENTS, ids=[deployment["name"] for deployment in DEPLOYMENTS]
)


def test_the_sync_is_deployed_under_the_name_by_which_it_is_started() -> None:
    [sync] = [item for item in DEPLOYMENTS if name_deployment(item) == names.SYNC_DEPLOYMENT]
    flow = import_flow(sync)
    assert flow.name == names.SYNC_FLOW == flow.fn.__name__
    assert list(signature(flow.fn).parameters) == ["event_id", "s3_prefix"]


def test_no_two_deployments_share_a_name_and_none_is_called_default() -> None:
    found = [name_deployment(item).partition("/")[2] for item in DEPLOYMENTS]
    assert len(found) == len(set(found))
    assert "default" not in found


def test_two_installations_share_no_name() -> None:
    ours, theirs = (set(names.list_deployed_names(one)) for one in ("default", "expired"))
    assert ours & theirs == set()
    assert names.name_deployment(names.SYNC_DEPLOYMENT, "b") == "sync_event_photos/sync@b"


def test_every_deployment_that_has_a_name_in_code_is_there() -> None:
    named = {value for key, value in vars(names).items() if key.endswith("_DEPLOYMENT")}
    assert named <= {name_deployment(item) for item in DEPLOYMENTS}
    assert {*names.DEPLOYMENTS} == {name_deployment(item) for item in DEPLOYMENTS}


@each_deployment
def test_a_deployment_goes_to_the_pool_that_the_worker_serves(deployment: dict[str, Any]) -> None:
    assert deployment["work_pool"]["name"] == names.WORK_POOL


@each_deployment
def test_an_entrypoint_is_a_module_path_not_a_file(deployment: dict[str, Any]) -> None:
    assert re.fullmatch(r"flows(\.[a-z_]+)+", deployment["entrypoint"])
    assert import_flow(deployment).description


@each_deployment
def test_nothing_is_pulled_so_that_no_folder_of_this_machine_is_deployed(
    deployment: dict[str, Any],
) -> None:
    assert deployment["pull"] == []


def test_no_absolute_path_is_written_down() -> None:
    def list_texts(value: object) -> list[str]:
        if isinstance(value, dict):
            return [text for pair in value.items() for item in pair for text in list_texts(item)]
        if isinstance(value, list):
            return [text for item in value for text in list_texts(item)]
        return [value] if isinstance(value, str) else []

    words = [word for item in list_texts(DEPLOYMENTS) for word in re.split(r"[\s=:,]+", item)]
    assert [word for word in words if word.startswith(("/", "~", "file:"))] == []
    assert str(PREFECT_YAML.parent) not in PREFECT_YAML.read_text("utf-8")


def test_what_is_scheduled_is_active() -> None:
    schedules = [one for deployment in DEPLOYMENTS for one in deployment.get("schedules", [])]
    assert [one["slug"] for one in schedules if one["active"]] == ["hourly", "nightly", "nightly"]


@each_deployment
def test_each_parameter_of_a_form_is_described_and_may_be_left_out(
    deployment: dict[str, Any],
) -> None:
    schema = parameter_schema(import_flow(deployment))
    assert schema.required == []
    for name, parameter in schema.properties.items():
        assert len(parameter["description"]) > 20, name
        assert parameter["type"] == "string", name
        assert parameter.get("examples") or parameter["enum"], name
    # Else the server refuses an event's id that is sent as a number.
    assert bool(schema.properties) == (deployment.get("enforce_parameter_schema") is False)


@each_deployment
@pytest.mark.parametrize(("value", "text"), [(7, "#7"), ("7", "7"), (" 7 ", "7")])
def test_a_form_takes_an_id_as_number_or_text(
    deployment: dict[str, Any], value: object, text: str
) -> None:
    flow = import_flow(deployment)
    if "event_id" in signature(flow.fn).parameters:
        assert flow.validate_parameters({"event_id": value})["event_id"] == text
        for odd in (None, [], {"a": 1}, 2.5):
            assert isinstance(flow.validate_parameters({"event_id": odd})["event_id"], str)


@each_deployment
def test_a_forms_prefix_keeps_the_spaces_of_its_keys(deployment: dict[str, Any]) -> None:
    flow = import_flow(deployment)
    if "s3_prefix" in signature(flow.fn).parameters:
        for sent, read in ((" день 1/previews/", " день 1/previews/"), ("  ", ""), (None, "")):
            assert flow.validate_parameters({"s3_prefix": sent})["s3_prefix"] == read


def test_a_form_asks_for_a_profile_that_there_is() -> None:
    assert [read_profile(value) for value in ("", *ProfileName)] == [None, *ProfileName]
    with pytest.raises(ConfigurationError, match="no profile crowd: choose standard or groups"):
        read_profile("crowd")
