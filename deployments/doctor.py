"""The command `facepass doctor`, which tries what the product needs, part by part.

Each line says what works, or what is wrong and what to set. Nothing is changed: the one object that
is written to S3 is deleted at once.
"""

import difflib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from deployments.command_line.parts import explain_missing
from models.errors import ConfigurationError, FacePassError, S3AccessError, StackError
from models.settings import Settings, get_settings

if TYPE_CHECKING:
    from tasks.s3.bucket import Bucket

logger = logging.getLogger(__name__)

PATIENCE_S = 10.0  # for each answer of PostgreSQL's and Prefect's
# Beside the folders of events, whose numbers begin with 1; always the same, so that at most one is
# left where deleting is denied.
PROBE_KEY, PROBE = "events/0/doctor.txt", b"facepass doctor"
# Variables of the stack's and of the command push, which are no settings.
NO_SETTINGS = {"FACEPASS_API_URL", "FACEPASS_API_KEY", "FACEPASS_STACK_MARK"}


class Verdict(StrEnum):
    """The state of a part."""

    OK = "ok"
    WARNING = "warning"  # it works, and there is something to know
    WRONG = "wrong"


class Finding(NamedTuple):
    """A line of the report."""

    part: str
    verdict: Verdict
    sentence: str


Check = Callable[[], Iterator[tuple[Verdict, str]]]


def examine() -> Iterator[Finding]:
    """Try one part after the other; what fails ends its own part only."""
    for part, check in CHECKS.items():
        try:
            for verdict, sentence in check():
                yield Finding(part, verdict, sentence)
        except FacePassError as error:
            yield Finding(part, Verdict.WRONG, str(error))
        except ModuleNotFoundError as error:
            told = explain_missing("doctor", error.name)
            if told is None:
                raise
            yield Finding(part, Verdict.WRONG, str(told))
        except Exception as error:
            logger.exception("The examination of %s failed.", part)
            yield Finding(part, Verdict.WRONG, f"Unexpected {type(error).__name__}: see above.")


def main(*, as_json: bool) -> int:
    """Print a line a finding, and a last one of JSON if wanted; 1 where anything is wrong."""
    findings = []
    for finding in examine():
        findings.append(finding)
        sys.stdout.write(f"{finding.part:<9} {finding.verdict:<8} {finding.sentence}\n")
        sys.stdout.flush()
    is_well = all(finding.verdict is not Verdict.WRONG for finding in findings)
    if as_json:
        report = {"ok": is_well, "findings": [finding._asdict() for finding in findings]}
        sys.stdout.write(json.dumps(report, ensure_ascii=False) + "\n")
    return int(not is_well)


def check_stack() -> Iterator[tuple[Verdict, str]]:
    """Take what is not set from the embedded stack of this home, if it runs."""
    from deployments.command_line.running_stack import read_stack
    from deployments.stack.home import StackHome
    from deployments.stack.plan import describe_model

    settings = get_settings()
    home = StackHome(settings.home).path
    try:
        found = read_stack(home)
    except StackError:
        embedded = not settings.database_url or not settings.s3_bucket
        if not embedded and os.environ.get("PREFECT_API_URL"):
            yield Verdict.OK, "All parts are configured: no embedded stack is needed."
            return
        yield Verdict.WARNING, f"No stack runs in {home}, so what is not set is not there."
        found = describe_model(settings, home) if not settings.database_url else {}
    else:
        yield Verdict.OK, f"A stack runs in {home}: what is not set is taken from it."
    # Another bucket or store has keys, a region and addresses of its own.
    others = ("FACEPASS_S3_", "AWS_") if settings.s3_bucket or settings.s3_endpoint_url else ()
    for name, value in found.items():
        if not name.startswith(others):
            os.environ.setdefault(name, value)
    get_settings.cache_clear()


def check_settings() -> Iterator[tuple[Verdict, str]]:
    """Values are checked when they are read; names that nobody reads are told."""
    settings = get_settings()
    known = {f"FACEPASS_{name.upper()}" for name in Settings.model_fields}
    own = {name for name in os.environ if name.startswith("FACEPASS_")} - NO_SETTINGS
    yield Verdict.OK, f"{len(settings.model_fields_set)} settings are read from the environment."
    for name in sorted(own - known):
        near = difflib.get_close_matches(name, known, 1)
        hint = f": is {near[0]} meant?" if near else "."
        yield Verdict.WARNING, f"{name} is no setting{hint}"


def check_database() -> Iterator[tuple[Verdict, str]]:
    """PostgreSQL, pgvector, the tables, writing, and what stands in between."""
    from models.migrate import NO_VECTOR, check_rights, read_heads, read_versions
    from models.session import Pooling, check_tables, find_pooling

    get_settings().require_database_url()
    server, vector, revision = read_versions()
    yield Verdict.OK, f"PostgreSQL {server} answers."
    if vector is None:
        raise ConfigurationError(NO_VECTOR)
    yield Verdict.OK, f"pgvector {vector} is there."
    check_tables(PATIENCE_S)
    if revision not in read_heads():
        raise ConfigurationError(
            f"The tables are those of revision {revision}, not of {', '.join(read_heads())}: run "
            "`facepass migrate`."
        )
    yield Verdict.OK, f"The tables are those of this release ({revision})."
    check_rights()
    yield Verdict.OK, "They can be written to."
    match find_pooling():
        case Pooling.NONE:
            yield Verdict.OK, "No pooler stands before PostgreSQL."
        case Pooling.SESSIONS:
            yield Verdict.OK, "A pooler stands before PostgreSQL and lends connections by sessions."
        case Pooling.TRANSACTIONS:
            yield (
                Verdict.WARNING,
                "A pooler before PostgreSQL lends connections by transactions. That is enough for "
                "the API. A worker's lock of an event stays behind with it, and a later sync of "
                "the event may end that connection, whoever uses it: give workers PostgreSQL's own "
                "address, or sessions (docs/operations.md).",
            )


def check_s3() -> Iterator[tuple[Verdict, str]]:
    """Listing, reading, writing where it is allowed, and links."""
    from tasks.s3.bucket import get_guests_bucket

    bucket = get_guests_bucket()
    bucket.check()
    yield Verdict.OK, f"The bucket {bucket.name} can be listed."
    yield from S3Trial(bucket).run()


def check_prefect() -> Iterator[tuple[Verdict, str]]:
    """The server, the work pool, a worker, and every deployment."""
    import anyio

    from deployments.orchestrator import Orchestrator, open_orchestrator

    async def ask() -> tuple[str, list[str], str | None]:
        async with open_orchestrator(PATIENCE_S) as orchestrator:
            return await examine_server(orchestrator)

    async def examine_server(server: Orchestrator) -> tuple[str, list[str], str | None]:
        version = await server.read_version()
        return version, await server.list_missing_deployments(), await server.find_worker_fault()

    version, missing, fault = anyio.run(ask)
    yield Verdict.OK, f"Prefect {version} answers, and lets us in."
    if missing:
        yield Verdict.WRONG, f"Not deployed: {', '.join(missing)}. Run `facepass register`."
    else:
        yield Verdict.OK, "Everything of prefect.yaml is deployed."
    if fault:
        yield Verdict.WRONG, f"{fault[0].upper()}{fault[1:]}."
    else:
        yield Verdict.OK, "A worker of the work pool is online."


def check_models() -> Iterator[tuple[Verdict, str]]:
    """The model pack, if it is there: nothing is downloaded or built."""
    from tasks.packs.folder import find_models
    from tasks.packs.loading import load_analysis
    from tasks.packs.registry import FIGURES_BY_NAME, describe_pack, is_pack_known, resolve_pack

    settings = get_settings()
    name = settings.model_pack
    folder = settings.model_root.expanduser() / "models" / name
    figures = FIGURES_BY_NAME.get(name)
    may_be_used = settings.accept_noncommercial or (figures is not None and figures.commercial)
    # Of a pack whose licence is not accepted, none is fetched: the refusal says what to do.
    if is_pack_known(settings, name) and find_models(folder) is None and may_be_used:
        yield Verdict.WARNING, f"The model pack {name} is not there yet: the first sync brings it."
        return
    pack = resolve_pack(settings)
    yield Verdict.OK, f"{describe_pack(pack)}."
    load_analysis(pack, settings.inference)
    yield Verdict.OK, f"It loads (FACEPASS_INFERENCE={settings.inference})."


class S3Trial:
    """What the bucket allows besides listing, tried with one small object."""

    def __init__(self, bucket: "Bucket") -> None:
        self._bucket, self._client, self._name = bucket, bucket.client, bucket.name
        self._written = False  # or perhaps: a write may arrive whose answer does not

    def run(self) -> Iterator[tuple[Verdict, str]]:
        """Write, read, open links, and delete again, whatever comes in between."""
        fault: FacePassError | None = None
        try:
            yield from self._write()
            yield from self._read()
        except FacePassError as error:
            fault = error
        finally:
            left = self._delete() if self._written else None
        if left:
            yield Verdict.WARNING, left
        if fault:
            raise fault

    def _write(self) -> Iterator[tuple[Verdict, str]]:
        self._written = True
        if not self._put():
            self._written = False
            yield (
                Verdict.OK,
                "Its objects cannot be written: that is enough for syncs and the gallery. "
                "Previews made here, and `facepass push`, need s3:PutObject and s3:DeleteObject.",
            )
            return
        yield Verdict.OK, "Its objects can be written."
        yield self._try_condition()

    def _read(self) -> Iterator[tuple[Verdict, str]]:
        from tasks.s3.errors import map_s3_errors

        key = PROBE_KEY if self._written else self._bucket.find_key()
        if key is None:
            yield Verdict.WARNING, "The bucket is empty, so reading cannot be tried yet."
            return
        with map_s3_errors(self._name):
            self._client.get_object(Bucket=self._name, Key=key)["Body"].close()
        yield Verdict.OK, "Its objects can be read."
        public = get_settings().s3_public_endpoint_url
        if public:
            yield self._open_link(public, "FACEPASS_S3_PUBLIC_ENDPOINT_URL")
        yield self._open_link(None, "FACEPASS_S3_ENDPOINT_URL")

    def _open_link(self, public: str | None, variable: str) -> tuple[Verdict, str]:
        """Open a signed link as a guest's browser does; `variable` names the address it leads to.

        Raises S3AccessError or S3DownloadError where it is refused and guests need it.
        """
        from tasks.s3.links import open_link_signer

        settings = get_settings().model_copy(update={"s3_public_endpoint_url": public})
        signer = open_link_signer(settings)
        host = urlsplit(signer.client.meta.endpoint_url).hostname
        try:
            is_reached = signer.check(self._bucket)
        except FacePassError as error:
            if settings.photo_delivery == "s3":
                raise
            return (
                Verdict.WARNING,
                f"{error} Guests need none; links in the API's answers do not open.",
            )
        if is_reached:
            return Verdict.OK, f"A signed link to {host} opens."
        return (
            Verdict.WARNING,
            f"Links lead to {host}, which cannot be reached from here: check {variable}, or open "
            "one from outside.",
        )

    def _put(self) -> bool:
        """Write the probe; False where that is denied, and not for another reason."""
        from tasks.s3.errors import explain_write_error, is_denial, map_s3_errors

        try:
            with map_s3_errors(self._name, explain_write_error):
                self._client.put_object(Bucket=self._name, Key=PROBE_KEY, Body=PROBE)
        except S3AccessError as error:
            if is_denial(error.__cause__):
                return False
            raise
        return True

    def _try_condition(self) -> tuple[Verdict, str]:
        """Write the probe once more, unless it is there: a store may refuse, heed or ignore that.

        Raises S3AccessError or S3DownloadError where it is refused for another reason.
        """
        from botocore.exceptions import ClientError

        from tasks.s3.errors import explain_write_error, is_refused_form, map_s3_errors

        with map_s3_errors(self._name, explain_write_error):
            try:
                self._client.put_object(
                    Bucket=self._name, Key=PROBE_KEY, Body=PROBE, IfNoneMatch="*"
                )
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] in {409, 412}:
                    return Verdict.OK, "It has conditional writes."
                if not is_refused_form(error):
                    raise
                return (
                    Verdict.WARNING,
                    "It has no conditional writes (If-None-Match): each write asks first what is "
                    "there (docs/stores.md).",
                )
        return (
            Verdict.WARNING,
            "It ignores conditional writes (If-None-Match): a preview that the photographer puts "
            "there at the same moment may be overwritten (docs/stores.md).",
        )

    def _delete(self) -> str | None:
        from tasks.s3.errors import is_denial, map_s3_errors

        try:
            with map_s3_errors(self._name):
                self._client.delete_object(Bucket=self._name, Key=PROBE_KEY)
        except FacePassError as error:
            if is_denial(error.__cause__):
                return f"Objects cannot be deleted, so {PROBE_KEY} is left: allow s3:DeleteObject."
            return f"{PROBE_KEY} was not deleted and may be left. {error}"
        return None


CHECKS: dict[str, Check] = {
    "stack": check_stack,
    "settings": check_settings,
    "database": check_database,
    "S3": check_s3,
    "Prefect": check_prefect,
    "models": check_models,
}
