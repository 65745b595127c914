"""`make demo-event` where it cannot work: a sentence that says what to do."""

from pathlib import Path

import pytest

from deployments import demo
from deployments.demo import add_demo_event
from deployments.push.client import RestApi
from deployments.stack.home import read_stack
from models.errors import PushRefusedError, StackError


def test_without_a_stack_it_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="make up"):
        read_stack(tmp_path)


def test_it_joins_the_stack_that_runs(tmp_path: Path) -> None:
    (tmp_path / "stack.env").write_text("FACEPASS_S3_BUCKET='a b'\nFACEPASS_API_URL=http://x\n")
    assert read_stack(tmp_path) == {"FACEPASS_S3_BUCKET": "a b", "FACEPASS_API_URL": "http://x"}


def test_an_api_with_keys_asks_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(api: RestApi) -> None:
        raise PushRefusedError("The API asks for a key.")

    monkeypatch.setattr(demo, "make_event", refuse)
    with pytest.raises(StackError, match="FACEPASS_API_KEY="):
        add_demo_event({"FACEPASS_API_URL": "http://127.0.0.1:9"})
