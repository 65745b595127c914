"""Automations: Prefect takes their definitions, and what a person did with one stays so."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect.events.schemas.automations import AutomationCore
from prefect.events.schemas.automations import EventTrigger as ReadTrigger
from prefect.server.events.schemas.automations import AutomationCreate, EventTrigger
from prefect.server.events.schemas.events import ReceivedEvent, Resource, ResourceSpecification
from prefect.states import Crashed
from pydantic import ValidationError

from deployments.automations import install
from deployments.names import DEPLOYMENTS, STOPPED, name_deployment, name_trigger
from models.errors import OrchestratorUnavailableError
from models.keys import describe_resource
from models.settings import Settings
from models.vocabulary import PrefectEvent, SyncState
from tasks.sync.states import build_final_state
from tests.support.prefect_automations import BLOCK_ID, PrefectAutomations

ROOT = Path(__file__).parents[3]
TEMPLATE = (ROOT / "deployments/automations/sync_failures.yaml").read_text("utf-8")


def read_trigger() -> ReadTrigger:
    text = TEMPLATE.replace("BLOCK_DOCUMENT_ID", str(uuid4()))
    trigger = AutomationCore.model_validate(yaml.safe_load(text)).trigger
    assert isinstance(trigger, ReadTrigger)
    return trigger


def test_a_template_without_its_block_is_refused() -> None:
    with pytest.raises(ValidationError, match="block_document_id"):
        AutomationCore.model_validate(yaml.safe_load(TEMPLATE))


def test_it_hears_of_both_ways_in_which_a_sync_ends_badly() -> None:
    final = build_final_state(SyncState.FAILED, "")
    names = {f"prefect.flow-run.{state.name}" for state in (final, Crashed())}
    assert read_trigger().expect == names | {"prefect.flow-run.Failed:*"}


@pytest.mark.parametrize(
    ("state", "is_told"),
    [
        ("Failed", True), ("Failed: 1 of 3 events", True), ("Crashed", True),
        ("AwaitingRetry", False), ("Completed: 3 new", False), ("Cancelled", False),
    ],
)  # fmt: skip
def test_a_run_that_ended_badly_is_told(
    server: PrefectAutomations, state: str, is_told: bool
) -> None:
    failures = list_triggers(server, "default")["sync_failures"]
    assert failures.covers(describe_run("erase_expired", "default", state)) is is_told


def test_it_hears_of_every_deployment() -> None:
    deployments: list[dict[str, Any]] = yaml.safe_load((ROOT / "prefect.yaml").read_text("utf-8"))[
        "deployments"
    ]
    tag = read_trigger().match_related
    assert not isinstance(tag, list)
    wanted = {"prefect.resource.id": ["prefect.tag.facepass"], "prefect.resource.role": ["tag"]}
    assert {name: tag.get(name) for name in wanted} == wanted
    assert all("facepass" in item["tags"] for item in deployments)


# --- those that are installed ---

ALL = [
    "FacePass Sync · a run is late",
    "FacePass Sync · many photos failed",
    "FacePass Sync · many photos without a face",
    "FacePass Sync · the resync is silent",
]
FAILED = ALL[1]


@pytest.fixture
def server() -> PrefectAutomations:
    return PrefectAutomations()


def list_triggers(server: PrefectAutomations, installation: str) -> dict[str, EventTrigger]:
    """The triggers of what an installation wants, as Prefect's server reads them."""
    install_on(server, installation=installation, alarm_block="slack-webhook/alarms")
    found: dict[str, EventTrigger] = {}
    for name in (*install.INSTALLED, *install.WITH_BLOCK):
        own = yaml.safe_load((install.FOLDER / f"{name}.yaml").read_text("utf-8"))["name"]
        held = server.find(name_trigger(own, installation))
        definition = {key: held[key] for key in held.keys() - {"id", "created"}}
        trigger = AutomationCreate.model_validate(definition).trigger
        assert isinstance(trigger, EventTrigger)
        found[name] = trigger
    return found


def describe_run(flow: str, installation: str, state: str) -> ReceivedEvent:
    """A run's event as Prefect's server tells it."""
    [known] = [one for one in DEPLOYMENTS if one.startswith(f"{flow}/")]
    deployment = name_deployment(known, installation).partition("/")[2]
    related = [
        {"prefect.resource.role": "flow", "prefect.resource.name": flow},
        {"prefect.resource.role": "deployment", "prefect.resource.name": deployment},
        {"prefect.resource.role": "tag"},
    ]
    names = (f"prefect.flow.{uuid4()}", f"prefect.deployment.{uuid4()}", "prefect.tag.facepass")
    return tell(
        f"prefect.flow-run.{state}",
        {"prefect.resource.id": f"prefect.flow-run.{uuid4()}"},
        [{"prefect.resource.id": n, **r} for n, r in zip(names, related, strict=True)],
    )


def tell(
    event: str, resource: dict[str, str], related: Sequence[dict[str, str]] = ()
) -> ReceivedEvent:
    content = {"event": event, "id": uuid4(), "occurred": datetime.now(UTC)}
    return ReceivedEvent.model_validate(content | {"resource": resource, "related": related})


def install_on(server: PrefectAutomations, **settings: Any) -> None:
    with server.open() as client:
        install.install_automations(client, Settings(**settings))


@pytest.mark.parametrize("name", [*install.INSTALLED, *install.WITH_BLOCK])
def test_prefect_takes_every_definition(name: str) -> None:
    text = (install.FOLDER / f"{name}.yaml").read_text("utf-8")
    definition = yaml.safe_load(text.replace(install.BLOCK, str(uuid4())))
    for actions in (definition["actions"], [{"type": "do-nothing"}]):
        AutomationCore.model_validate({**definition, "actions": actions})
        AutomationCreate.model_validate({**definition, "actions": actions})


def test_they_are_installed_once(server: PrefectAutomations) -> None:
    for _ in range(3):
        install_on(server)
    assert server.names == ALL
    assert server.changes.count("POST automations") == len(ALL)
    assert "PUT automations" not in server.changes
    for automation in server.automations.values():
        assert automation["actions"] == [{"type": "do-nothing"}]


def test_with_a_block_they_write_and_so_does_the_one_for_failed_runs(
    server: PrefectAutomations,
) -> None:
    install_on(server)
    install_on(server, alarm_block="slack-webhook/alarms")
    assert server.names == sorted([*ALL, "FacePass Sync failures"])
    actions = [item["actions"][0] for item in server.automations.values()]
    assert {action["block_document_id"] for action in actions} == {BLOCK_ID}
    install_on(server)  # without it again: quiet
    assert server.find(FAILED)["actions"] == [{"type": "do-nothing"}]


def test_what_a_person_did_stays(server: PrefectAutomations) -> None:
    install_on(server)
    server.find(ALL[0])["enabled"] = False
    server.find(ALL[1])["trigger"]["threshold"] = 5
    del server.automations[server.find(ALL[2])["id"]]
    install_on(server, alarm_block="slack-webhook/alarms")
    install_on(server)
    assert server.find(ALL[0])["enabled"] is False
    assert server.find(ALL[1])["trigger"]["threshold"] == 5
    assert server.find(ALL[1])["actions"] == [{"type": "do-nothing"}]
    assert ALL[2] not in server.names


def test_one_of_a_persons_own_of_the_same_name_stays(server: PrefectAutomations) -> None:
    with server.open() as client:
        own = {"name": FAILED, "trigger": {"type": "event"}, "actions": []}
        client.post("automations/", json=own).raise_for_status()
    install_on(server)
    install_on(server, automations=False)
    assert server.names == [FAILED]
    assert server.find(FAILED)["actions"] == []


def test_all_can_be_switched_off_and_on_again(server: PrefectAutomations) -> None:
    install_on(server)
    server.find(ALL[1])["trigger"]["threshold"] = 5
    install_on(server, automations=False)
    assert server.names == [ALL[1]]  # a person's, by now
    install_on(server)
    assert server.names == ALL
    assert server.find(ALL[1])["trigger"]["threshold"] == 5


def test_a_new_release_renews_what_nobody_changed(
    server: PrefectAutomations, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install_on(server)
    server.find(FAILED)["enabled"] = False
    for file in install.FOLDER.glob("*.yaml"):
        text = file.read_text("utf-8").replace("threshold: 1", "threshold: 2")
        (tmp_path / file.name).write_text(text, "utf-8")
    monkeypatch.setattr(install, "FOLDER", tmp_path)
    install_on(server)
    assert {item["trigger"]["threshold"] for item in server.automations.values()} == {2}
    assert server.find(FAILED)["enabled"] is False


def test_installations_on_one_server_have_automations_of_their_own(
    server: PrefectAutomations,
) -> None:
    others = sorted(f"{name} (studio-b)" for name in ALL)
    for _ in range(2):
        install_on(server)
        install_on(server, installation="studio-b")
    assert server.names == sorted([*ALL, *others])
    assert server.changes.count("POST automations") == len(ALL) + len(others)
    assert server.variables.keys() == {"facepass_automations", "facepass_automations_studio_b"}
    install_on(server, installation="studio-b", automations=False)
    assert server.names == ALL
    install_on(server, installation="studio-b")
    install_on(server, automations=False)
    assert server.names == others


def test_a_block_of_one_installation_is_not_anothers(server: PrefectAutomations) -> None:
    install_on(server, alarm_block="slack-webhook/alarms")
    install_on(server, installation="studio-b")
    assert server.find(FAILED)["actions"][0]["block_document_id"] == BLOCK_ID
    assert server.find(f"{FAILED} (studio-b)")["actions"] == [{"type": "do-nothing"}]


@pytest.mark.parametrize("installation", ["default", "studio-b"])
def test_an_installations_automations_hear_of_its_own_runs_and_events_alone(
    server: PrefectAutomations, installation: str
) -> None:
    triggers = list_triggers(server, installation)
    for known in ("default", "studio-b"):
        resource = describe_resource(uuid4(), "A wedding", known)
        many = {"facepass.failed": "many", "facepass.no-face": "many"}
        told = {
            "many_failed": tell(PrefectEvent.FAILED, resource | many),
            "many_faceless": tell(PrefectEvent.SYNCED, resource | many),
            "resync_silent": describe_run("resync_events", known, "Completed: 1 started"),
            "run_late": describe_run("sync_event_photos", known, "Late"),
            "sync_failures": describe_run("sync_event_photos", known, "Crashed"),
        }
        hears = {name: triggers[name].covers(event) for name, event in told.items()}
        assert hears == dict.fromkeys(triggers, known == installation)
    assert not triggers["resync_silent"].covers(describe_run("make_views", installation, "x"))


@pytest.mark.parametrize("state", [STOPPED, "Completed", "Completed: 3 new, 0 skipped", "Running"])
def test_a_run_that_has_begun_or_waits_for_its_stack_is_not_late(
    server: PrefectAutomations, state: str
) -> None:
    late = list_triggers(server, "default")["run_late"]
    event = describe_run("sync_event_photos", "default", state)
    assert late.covers(event)
    assert late.expects(event.event)


@pytest.mark.parametrize("state", ["Completed", "Completed: 0 started"])
def test_a_resync_that_has_ended_well_is_not_silent(server: PrefectAutomations, state: str) -> None:
    silent = list_triggers(server, "default")["resync_silent"]
    assert silent.covers(describe_run("resync_events", "default", state))


def test_what_an_error_cut_short_is_taken_up(server: PrefectAutomations) -> None:
    server.refused = ALL[2]
    with pytest.raises(OrchestratorUnavailableError, match="could not be installed"):
        install_on(server)
    made = server.names
    assert made  # before the one that was refused
    server.refused = ""
    install_on(server)
    install_on(server, automations=False)
    assert server.names == []  # none of them was taken for a person's


def test_an_unknown_block_and_a_broken_server_are_told(server: PrefectAutomations) -> None:
    with pytest.raises(OrchestratorUnavailableError, match="has no such block"):
        install_on(server, alarm_block="slack-webhook/other")
    server.broken = True
    with pytest.raises(OrchestratorUnavailableError, match="could not be installed"):
        install_on(server)


def test_the_switch_of_the_deployments_trigger_is_kept(server: PrefectAutomations) -> None:
    with server.open() as client:
        assert install.read_switch(client, "default") is None
        install.restore_switch(client, "default", None)
        trigger = {"name": install.TRIGGERED, "trigger": {"type": "event"}, "actions": []}
        client.post("automations/", json={**trigger, "enabled": False}).raise_for_status()
        assert install.read_switch(client, "studio-b") is None
        before = install.read_switch(client, "default")
        server.find(install.TRIGGERED)["enabled"] = True  # `prefect deploy`
        install.restore_switch(client, "studio-b", before)
        assert server.find(install.TRIGGERED)["enabled"] is True
        install.restore_switch(client, "default", before)
    assert server.find(install.TRIGGERED)["enabled"] is False


def test_the_sync_has_a_trigger_that_the_apis_own_events_do_not_pull() -> None:
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text("utf-8"))["deployments"]
    [trigger] = deployments[0]["triggers"]
    assert (trigger["name"], trigger["expect"]) == (install.TRIGGERED, [PrefectEvent.UPLOADED])
    specification = ResourceSpecification.model_validate(trigger["match"])
    ours = {"prefect.resource.id": f"facepass.event.{uuid4()}"}
    answers = {
        word: specification.matches(Resource.model_validate(ours | {"facepass.sync": word}))
        for word in ("wanted", "asked", "")
    }
    assert answers == {"wanted": True, "asked": False, "": False}
    assert not specification.matches(Resource.model_validate(ours))
