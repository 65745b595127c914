"""The template of an automation: Prefect takes it once it names a block, and it means our runs."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect.events.schemas.automations import AutomationCore, EventTrigger
from prefect.states import Crashed
from pydantic import ValidationError

from models.vocabulary import SyncState
from tasks.sync.states import build_final_state

ROOT = Path(__file__).parents[3]
TEMPLATE = (ROOT / "deployments/automations/sync_failures.yaml").read_text("utf-8")


def read_trigger() -> EventTrigger:
    text = TEMPLATE.replace("BLOCK_DOCUMENT_ID", str(uuid4()))
    trigger = AutomationCore.model_validate(yaml.safe_load(text)).trigger
    assert isinstance(trigger, EventTrigger)
    return trigger


def test_a_template_without_its_block_is_refused() -> None:
    with pytest.raises(ValidationError, match="block_document_id"):
        AutomationCore.model_validate(yaml.safe_load(TEMPLATE))


def test_it_hears_of_both_ways_in_which_a_sync_ends_badly() -> None:
    final = build_final_state(SyncState.FAILED, "")
    names = {f"prefect.flow-run.{state.name}" for state in (final, Crashed())}
    assert read_trigger().expect == names


def test_it_hears_of_every_deployment() -> None:
    deployments: list[dict[str, Any]] = yaml.safe_load((ROOT / "prefect.yaml").read_text("utf-8"))[
        "deployments"
    ]
    tag = read_trigger().match_related
    assert not isinstance(tag, list)
    wanted = {"prefect.resource.id": ["prefect.tag.facepass"], "prefect.resource.role": ["tag"]}
    assert {name: tag.get(name) for name in wanted} == wanted
    assert all("facepass" in item["tags"] for item in deployments)
