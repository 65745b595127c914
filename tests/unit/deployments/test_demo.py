"""`make demo-event` where it cannot work, and the selfie that the demo gives."""

import stat
from pathlib import Path

import pytest
from PIL import Image

from deployments import demo
from deployments.command_line.running_stack import read_stack
from deployments.demo import add_demo_event, write_selfie
from deployments.push.client import RestApi
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


def test_the_selfie_is_for_this_user_alone(tmp_path: Path) -> None:
    selfie = write_selfie(tmp_path)
    assert selfie == tmp_path / "selfie.jpg"
    assert stat.S_IMODE(selfie.stat().st_mode) == 0o600
    with Image.open(selfie) as picture:
        picture.load()
        assert (picture.format, min(picture.size) > 200) == ("JPEG", True)
    assert write_selfie(tmp_path) == selfie  # again
    with pytest.raises(StackError, match="cannot be used"):
        write_selfie(tmp_path / "nothing")
