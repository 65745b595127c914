"""The configuration by which the stack's S3 tells of uploads: whatever the secret holds."""

import tomllib
from pathlib import Path

import pytest

from deployments.stack.s3 import Keys, S3Server, UploadHook, build_s3

SECRETS = [
    "plain secret of letters",
    'quoted "secret" \\ and #',
    "секрет из букв 🔑",
    "tab\tnew\nline",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_it_is_toml_that_holds_the_secret(secret: str) -> None:
    hook = UploadHook("http://127.0.0.1:8000/api/v1/hooks/s3", secret)
    webhook = tomllib.loads(hook.describe())["notification"]["webhook"]
    assert (webhook["enabled"], webhook["bearer_token"], webhook["endpoint"]) == (
        True,
        secret,
        hook.url,
    )
    assert secret not in repr(hook)


def test_it_is_private_and_goes_with_the_setting(tmp_path: Path) -> None:
    server = S3Server(1, {}, Keys("a", "b"), Keys("c", "d"))
    told = tmp_path / "notification.toml"
    options = {"data": tmp_path, "log": tmp_path / "log", "mark": "m"}
    part = build_s3(server, hook=UploadHook("http://127.0.0.1/", SECRETS[0]), **options)
    assert told.stat().st_mode & 0o777 == 0o600
    assert SECRETS[0] not in " ".join(part.argv)
    build_s3(server, **options)
    assert not told.exists()
