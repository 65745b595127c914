"""`facepass doctor` about S3: what may be written, what is left behind, and whose store it asks."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from deployments import doctor
from deployments.doctor import PROBE_KEY, Finding, Verdict, check_stack
from models.errors import S3AccessError
from models.settings import Settings, get_settings
from tasks.s3 import links
from tests.support.fake_s3 import FakeClient, make_bucket, make_error

AWAY = EndpointConnectionError(endpoint_url="http://127.0.0.1:9")


class Store(FakeClient):
    """A store that answers some writes and all deletes with an error."""

    def __init__(
        self,
        plain: Exception | None = None,
        again: Exception | None = None,
        delete: Exception | None = None,
    ) -> None:
        super().__init__()
        self.plain, self.again, self.delete = plain, again, delete

    def put_object(self, **call: Any) -> dict[str, Any]:
        """Refuse, or keep it; a condition is heeded by refusing only."""
        error = self.again if "IfNoneMatch" in call else self.plain
        if error:
            raise error
        self.objects[call["Key"]] = call["Body"]
        return {}

    def delete_object(self, **call: Any) -> None:
        """Refuse, or forget it."""
        if self.delete:
            raise self.delete
        super().delete_object(**call)


@pytest.fixture
def try_store(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Finding]]:
    """What is found about S3; `link` is why a link for guests does not open."""

    def look(store: Store, link: Exception | None = None) -> list[Finding]:
        def check(*_: object) -> bool:
            if link:
                raise link
            return True

        monkeypatch.setattr(links.LinkSigner, "check", check)
        monkeypatch.setenv("FACEPASS_S3_BUCKET", "photos")
        monkeypatch.setattr(
            doctor, "CHECKS", {"S3": lambda: doctor.S3Trial(make_bucket(store)).run()}
        )
        get_settings.cache_clear()
        return list(doctor.examine())

    return look


def refuse_put(code: str, status: int, message: str = "refused") -> Exception:
    error = make_error(code, status, "PutObject")
    error.response["Error"]["Message"] = message
    return error


EXISTS = refuse_put("PreconditionFailed", 412)


@pytest.mark.parametrize(
    "denial", [refuse_put("AccessDenied", 403), refuse_put("403", 403), refuse_put("X", 403)]
)
def test_a_bucket_that_may_not_be_written_is_enough_for_syncs(
    try_store: Callable[..., list[Finding]], denial: Exception
) -> None:
    findings = try_store(Store(plain=denial))
    assert (findings[0].verdict, "enough for syncs" in findings[0].sentence) == (Verdict.OK, True)


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (refuse_put("AccessDenied", 403, "storage cap exceeded"), "console"),
        (refuse_put("QuotaExceeded", 403), "console"),
        (refuse_put("AccessDenied", 403, "not authorized to perform: kms:GenerateDataKey"), "kms:"),
        (refuse_put("RequestTimeTooSkewed", 403), "clock"),
        (refuse_put("SignatureDoesNotMatch", 403), "secret key"),
    ],
)
def test_a_write_that_is_refused_for_another_reason_is_wrong(
    try_store: Callable[..., list[Finding]], refusal: Exception, words: str
) -> None:
    *_, last = try_store(Store(plain=refusal))
    assert (last.verdict, words in last.sentence) == (Verdict.WRONG, True), last


@pytest.mark.parametrize(
    ("again", "verdict", "words"),
    [
        (EXISTS, "ok", "It has conditional writes."),
        (refuse_put("ConditionalRequestConflict", 409), "ok", "It has conditional writes."),
        (refuse_put("NotImplemented", 501), "warning", "It has no conditional writes"),
        (None, "warning", "It ignores conditional writes"),
        (refuse_put("SlowDown", 503), "wrong", "SlowDown"),
        (refuse_put("QuotaExceeded", 403), "wrong", "console"),
        (AWAY, "wrong", "S3 unreachable"),
    ],
)
def test_conditional_writes_are_heeded_refused_ignored_or_not_known(
    try_store: Callable[..., list[Finding]], again: Exception | None, verdict: str, words: str
) -> None:
    store = Store(again=again)
    findings = try_store(store)
    assert [(finding.verdict, words in finding.sentence) for finding in findings].count(
        (Verdict(verdict), True)
    ) == 1, findings
    assert PROBE_KEY not in store.objects


def test_what_is_left_is_told_also_where_links_do_not_work(
    try_store: Callable[..., list[Finding]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEPASS_PHOTO_DELIVERY", "s3")
    store = Store(again=EXISTS, delete=make_error("AccessDenied", 403, "DeleteObject"))
    *_, left, last = try_store(store, S3AccessError("Links for guests do not work."))
    assert (left.verdict, "s3:DeleteObject" in left.sentence) == (Verdict.WARNING, True)
    assert (last.verdict, last.sentence) == (Verdict.WRONG, "Links for guests do not work.")


def test_links_that_do_not_work_are_a_warning_where_guests_open_none(
    try_store: Callable[..., list[Finding]],
) -> None:
    found = try_store(Store(), S3AccessError("Links for guests do not work."))
    assert [finding.verdict for finding in found if "Guests need none" in finding.sentence] == [
        Verdict.WARNING
    ]
    assert Verdict.WRONG not in {finding.verdict for finding in found}


def test_a_write_without_an_answer_may_have_left_something(
    try_store: Callable[..., list[Finding]],
) -> None:
    *_, left, last = try_store(Store(plain=AWAY, delete=AWAY))
    assert (left.verdict, f"{PROBE_KEY} was not deleted" in left.sentence) == ("warning", True)
    assert last.verdict is Verdict.WRONG
    store = Store(plain=AWAY)
    assert try_store(store)[-1].verdict is Verdict.WRONG
    assert store.get_keys("delete_object") == [PROBE_KEY]


@pytest.mark.parametrize(
    "own", [{}, {"FACEPASS_S3_BUCKET": "own"}, {"FACEPASS_S3_ENDPOINT_URL": "https://s3.example"}]
)
def test_a_store_of_the_callers_own_gets_nothing_of_the_stacks(
    monkeypatch: pytest.MonkeyPatch, own: dict[str, str]
) -> None:
    stack = {
        "FACEPASS_DATABASE_URL": "postgresql://127.0.0.1/stack",
        "FACEPASS_S3_BUCKET": "stack",
        "FACEPASS_S3_ENDPOINT_URL": "http://127.0.0.1:8333",
        "AWS_ACCESS_KEY_ID": "stack",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name in stack:
        monkeypatch.setenv(name, "")  # so that it is as before afterwards
        monkeypatch.delenv(name)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("deployments.command_line.running_stack.read_stack", lambda _: stack)
    get_settings.cache_clear()
    list(check_stack())
    found = {name: os.environ[name] for name in stack if name in os.environ}
    expected = {"FACEPASS_DATABASE_URL": stack["FACEPASS_DATABASE_URL"], **own} if own else stack
    assert found == expected
    assert Settings().s3_bucket == expected.get("FACEPASS_S3_BUCKET")
