"""Where a push goes to: the environment's word first, then the stack of this folder."""

from pathlib import Path

import pytest

from deployments.push.push import join_environment
from models.errors import ConfigurationError

STACK = (
    "FACEPASS_API_URL=http://127.0.0.1:8000\nFACEPASS_S3_BUCKET=photos\n"
    "FACEPASS_S3_ENDPOINT_URL=http://127.0.0.1:8333\n"
)


def test_a_running_stack_is_joined_with_its_own_keys(tmp_path: Path) -> None:
    (tmp_path / "push.env").write_text(f"{STACK}AWS_ACCESS_KEY_ID='the stack'\n")
    mine = {"AWS_PROFILE": "mine", "AWS_SESSION_TOKEN": "x", "PATH": "/bin", "no_proxy": "a.org"}
    joined = join_environment({**mine, "FACEPASS_API_KEY": "ключ"}, tmp_path)
    assert joined == {
        "PATH": "/bin",
        "FACEPASS_API_KEY": "ключ",
        "FACEPASS_API_URL": "http://127.0.0.1:8000",
        "FACEPASS_S3_BUCKET": "photos",
        "FACEPASS_S3_ENDPOINT_URL": "http://127.0.0.1:8333",
        "AWS_ACCESS_KEY_ID": "the stack",
        "NO_PROXY": "a.org,127.0.0.1,localhost",
        "no_proxy": "a.org,127.0.0.1,localhost",
    }


def test_a_stack_on_an_outside_s3_keeps_the_users_keys(tmp_path: Path) -> None:
    (tmp_path / "push.env").write_text(STACK)
    assert join_environment({"AWS_PROFILE": "mine"}, tmp_path)["AWS_PROFILE"] == "mine"


def test_an_address_in_the_environment_is_taken_before_a_stack(tmp_path: Path) -> None:
    (tmp_path / "push.env").write_text(STACK)
    mine = {"FACEPASS_API_URL": "https://faces.example.com", "AWS_PROFILE": "mine"}
    assert join_environment(mine, tmp_path) == mine


def test_without_either_a_sentence_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"start `make up`.*or set FACEPASS_API_URL"):
        join_environment({"FACEPASS_API_URL": ""}, tmp_path)
