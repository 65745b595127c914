"""`facepass doctor` beside the real stack, and with each part broken in turn."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    temporary_settings,
)
from sqlalchemy import make_url

from deployments import doctor, orchestrator
from deployments.doctor import PROBE_KEY, Verdict, examine
from tasks.s3.bucket import get_guests_bucket
from tests.support.administrator import administrate, make_database, render, take_no_changes
from tests.support.refusals import refuse

PARTS = {"stack", "settings", "database", "S3", "Prefect", "models"}


def run_doctor(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own, without what this one has joined."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FACEPASS_", "PREFECT_", "AWS_"))
    }
    return subprocess.run(
        [sys.executable, "-m", "deployments.facepass", "doctor", *words],
        env={**own, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[tuple[str, str]]]:
    """The verdicts and sentences about one part."""

    def examine_part(part: str) -> list[tuple[str, str]]:
        with monkeypatch.context() as patch:
            patch.setattr(doctor, "CHECKS", {part: doctor.CHECKS[part]})
            return [(str(finding.verdict), finding.sentence) for finding in examine()]

    return examine_part


def list_probes() -> list[Any]:
    bucket = get_guests_bucket()
    return list(
        bucket.client.list_objects_v2(Bucket=bucket.name, Prefix=PROBE_KEY).get("Contents", [])
    )


def test_a_stack_that_runs_is_joined_and_all_of_it_is_well(joined_stack: dict[str, str]) -> None:
    ended = run_doctor("--json", FACEPASS_HOME=joined_stack["FACEPASS_HOME"])
    assert ended.returncode == 0, ended.stdout + ended.stderr
    *lines, last = ended.stdout.splitlines()
    report = json.loads(last)
    assert report["ok"] is True
    assert {finding["part"] for finding in report["findings"]} == PARTS
    assert {finding["verdict"] for finding in report["findings"]} == {"ok"}
    assert len(lines) == len(report["findings"])
    for secret in ("AWS_SECRET_ACCESS_KEY", "PREFECT_API_AUTH_STRING"):
        assert joined_stack[secret] not in ended.stdout + ended.stderr
    assert list_probes() == []


def test_without_a_stack_each_missing_part_says_what_to_set(tmp_path: Path) -> None:
    home = tmp_path / "home"
    ended = run_doctor(FACEPASS_HOME=str(home), FACEPASS_DATABSE_URL="x", HOME=str(tmp_path))
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    for words in (
        "No stack runs in",
        "FACEPASS_DATABSE_URL is no setting: is FACEPASS_DATABASE_URL meant?",
        "No database is configured: set FACEPASS_DATABASE_URL",
        "No bucket is configured: set FACEPASS_S3_BUCKET",
        "No Prefect server is configured: set PREFECT_API_URL",
        "The model pack opencv_zoo is not there yet",
    ):
        assert words in ended.stdout
    assert not home.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"host": "127.0.0.1", "port": 9}, "cannot be reached"),
        ({"username": "nobody"}, "refuses this user"),
        ({"database": "nothing"}, "no database of this name"),
        ({"database": "postgres"}, "has no pgvector"),
        ({"query": {"pgbouncer": "true"}}, "(pgbouncer)"),
    ],
)
def test_a_database_that_cannot_be_used_is_the_one_thing_said(
    joined_stack: dict[str, str],
    configure: Callable[..., None],
    look: Callable[[str], list[tuple[str, str]]],
    change: dict[str, Any],
    words: str,
) -> None:
    address = make_url(joined_stack["FACEPASS_DATABASE_URL"])
    if "host" in change:
        address = address.difference_update_query(["host"])
    configure(database_url=render(address.set(**change)))
    *_, (verdict, sentence) = look("database")
    assert (verdict, words in sentence) == ("wrong", True), sentence


def test_a_database_that_is_read_only_old_or_denied_is_told(
    joined_stack: dict[str, str],
    configure: Callable[..., None],
    look: Callable[[str], list[tuple[str, str]]],
) -> None:
    with take_no_changes(configure):
        assert "read-only" in look("database")[-1][1]
    with make_database() as address:
        configure(database_url=render(address))
        assert {verdict for verdict, _ in look("database")} == {"ok"}
        name = address.database
        administrate("REVOKE INSERT ON photo FROM facepass", name)
        assert "may not read and write photo" in look("database")[-1][1]
        administrate("UPDATE alembic_version SET version_num = '0001'", name)
        assert "run `facepass migrate`" in look("database")[-1][1]
        administrate("DROP TABLE event CASCADE", name)
        assert "models.migrate" in look("database")[-1][1]


def test_a_bucket_that_can_only_be_read_is_well(
    configure: Callable[..., None], look: Callable[[str], list[tuple[str, str]]]
) -> None:
    with refuse(get_guests_bucket(), "PutObject", 403, "AccessDenied"):
        findings = look("S3")
    assert "wrong" not in {verdict for verdict, _ in findings}
    assert any("enough for syncs" in sentence for _, sentence in findings)


def test_a_store_without_conditional_writes_is_told(
    configure: Callable[..., None], look: Callable[[str], list[tuple[str, str]]]
) -> None:
    def is_conditional(request: AWSRequest) -> bool:
        return "if-none-match" in {name.lower() for name in request.headers}

    with refuse(get_guests_bucket(), "PutObject", 501, "NotImplemented", is_conditional):
        findings = look("S3")
    assert [verdict for verdict, _ in findings].count("warning") == 1
    assert any("no conditional writes" in sentence for _, sentence in findings)
    assert list_probes() == []


def test_an_object_that_cannot_be_deleted_is_named(
    configure: Callable[..., None], look: Callable[[str], list[tuple[str, str]]]
) -> None:
    with refuse(get_guests_bucket(), "DeleteObject", 403, "AccessDenied"):
        assert look("S3")[-1] == (
            "warning",
            f"Objects cannot be deleted, so {PROBE_KEY} is left: allow s3:DeleteObject.",
        )
    assert look("S3")[-1][0] == "ok"  # and that one takes it away
    assert list_probes() == []


def test_a_wrong_bucket_key_or_address_of_links_is_told(
    joined_stack: dict[str, str],
    configure: Callable[..., None],
    look: Callable[[str], list[tuple[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configure(s3_public_endpoint_url="http://127.0.0.1:9")
    findings = look("S3")
    assert ("warning", True) in [
        (verdict, "FACEPASS_S3_PUBLIC_ENDPOINT_URL" in sentence) for verdict, sentence in findings
    ]
    assert findings[-1] == ("ok", "A signed link to 127.0.0.1 opens.")
    configure(s3_public_endpoint_url=joined_stack["FACEPASS_API_URL"])  # no S3 answers there
    assert "wrong" not in {verdict for verdict, _ in look("S3")}
    configure(photo_delivery="s3")
    assert "wrong" in {verdict for verdict, _ in look("S3")}
    configure(s3_bucket="no-such-bucket", s3_public_endpoint_url="")
    assert "There is no bucket no-such-bucket" in look("S3")[-1][1]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    configure(s3_bucket=joined_stack["FACEPASS_S3_BUCKET"])
    assert [verdict for verdict, _ in look("S3")] == ["wrong"]


def test_a_prefect_that_is_away_refuses_or_lacks_a_deployment_is_told(
    joined_stack: dict[str, str],
    look: Callable[[str], list[tuple[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away = {PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(away):
        [(verdict, sentence)] = look("Prefect")
    assert (verdict, "PREFECT_API_URL" in sentence) == ("wrong", True)
    with temporary_settings({PREFECT_API_AUTH_STRING: "facepass:wrong"}):
        [(verdict, sentence)] = look("Prefect")
    assert (verdict, "PREFECT_API_AUTH_STRING" in sentence) == ("wrong", True)
    monkeypatch.setattr(orchestrator, "DEPLOYMENTS", ("sync_event_photos/other",))
    assert ("wrong", "Not deployed: sync_event_photos/other. Run `facepass register`.") in look(
        "Prefect"
    )
    monkeypatch.setattr(orchestrator, "_name_pool", lambda: "nowhere")
    assert look("Prefect")[-1][1].startswith("The work pool nowhere is not there")


def test_a_model_pack_that_is_unknown_forbidden_damaged_or_not_there_yet_is_told(
    configure: Callable[..., None],
    look: Callable[[str], list[tuple[str, str]]],
    tmp_path: Path,
) -> None:
    configure(model_pack="nobody")
    assert "is unknown" in look("models")[-1][1]
    configure(model_pack="buffalo_l", model_root=tmp_path)
    [(verdict, sentence)] = look("models")
    assert (verdict, "FACEPASS_ACCEPT_NONCOMMERCIAL" in sentence) == ("wrong", True)
    configure(accept_noncommercial=1)
    assert [verdict for verdict, _ in look("models")] == [Verdict.WARNING]
    configure(model_pack="opencv_zoo")
    assert [verdict for verdict, _ in look("models")] == [Verdict.WARNING]
    assert list(tmp_path.iterdir()) == []  # nothing was fetched or built
    (tmp_path / "det.onnx").write_bytes(b"no model")
    (tmp_path / "rec.onnx").write_bytes(b"no model")
    configure(model_pack=tmp_path)
    assert look("models")[-1][0] == "wrong"
