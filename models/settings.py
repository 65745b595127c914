"""Settings, read from environment variables that begin with FACEPASS_, when first needed."""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.errors import ConfigurationError

_RATE = r"^[1-9][0-9]{0,8}/(second|minute|hour|day)$"
_ORIGIN = r"https?://[A-Za-z0-9.\-\[\]:]+"
_TOPIC = r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]+"
_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[\w.~%-]+)*/?")


def _check_public_url(url: str) -> str:
    """A URL that paths of the API can follow, without a slash at its end."""
    try:
        parts = urlsplit(url)
        # A port that is none raises, too.
        fits = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        fits = False
    is_plain = not re.search(r"[\s?#@\\]", url) and _PATH.fullmatch(parts.path) if fits else False
    if not is_plain:
        raise PydanticCustomError(
            "public_url",
            "write the address that guests open, with http:// or https:// and nothing after its "
            "path, as https://photos.example.com or https://example.com/facepass",
        )
    return url.rstrip("/")


class Settings(BaseSettings):
    """One field a setting; the description is what docs/settings.md says."""

    model_config = SettingsConfigDict(env_prefix="FACEPASS_", env_ignore_empty=True)

    database_url: str | None = Field(
        None, description="PostgreSQL with pgvector, as postgresql://user:password@host/db"
    )
    s3_bucket: str | None = Field(None, description="bucket that holds events/{event_id}/previews/")
    s3_endpoint_url: str | None = Field(None, description="S3 other than AWS; unset means AWS")
    s3_public_endpoint_url: str | None = Field(
        None, description="address of S3 in links for guests; unset means the endpoint above"
    )
    s3_addressing: Literal["path", "virtual"] = Field(
        "path", description="place of the bucket at an endpoint: its path, or virtual, its host"
    )
    aws_credentials_block: str | None = Field(
        None, description="prefect-aws AwsCredentials block; unset means AWS's usual chain"
    )
    s3_timeout_s: int = Field(
        30, ge=1, le=600, description="seconds without a byte before S3 is asked again"
    )
    installation: str = Field(
        "default",
        pattern=r"^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$",
        description="name of this installation, where its Prefect server serves others too",
    )
    result_storage: str | None = Field(
        None,
        pattern=r"^[^/]+/[^/]+$",
        description="Prefect block for results, shared by all workers; unset means a local folder",
    )
    public_url: Annotated[str, AfterValidator(_check_public_url)] | None = Field(
        None, description="address of the API in links for guests; unset means the API's own"
    )
    api_host: str = Field("127.0.0.1", description="address the API listens on")
    api_port: int = Field(
        8000, description="port of the API; 0: a free one, which `make up` prints"
    )
    api_keys: str | None = Field(
        None, description="photographers' keys as name:sha256 pairs, comma-separated"
    )
    rate_limit: str = Field(
        "1200/minute", pattern=_RATE, description="calls a photographer's key may make"
    )
    guest_rate_limit: str = Field(
        "600/minute",
        pattern=_RATE,
        description="calls a guest's address may make; a party behind one router has one",
    )
    cors_origins: str | None = Field(
        None,
        pattern=rf"^{_ORIGIN}(?:,{_ORIGIN})*$",
        description="sites whose pages may call the API, comma-separated, as https://example.com",
    )
    trusted_proxies: str | None = Field(
        None, description="addresses of proxies whose X-Forwarded-For is believed, comma-separated"
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="lines of the API's log: text, or json (one object a line)"
    )
    max_upload_bytes: int = Field(
        20_000_000, ge=1, description="largest upload that is read, bytes"
    )
    privacy_contact: str | None = Field(
        None, description="who is responsible and how to be erased; shown in the gallery"
    )
    webhook_url: str | None = Field(
        None,
        repr=False,  # many receivers tell their callers by a secret in the path
        description="where the end of a sync is told: https, or http on this machine; "
        "workers need it too",
    )
    webhook_secret: str | None = Field(
        None,
        repr=False,
        description="what the API signs notices with: whsec_ and 24 to 64 random bytes in base64",
    )
    hook_secret: str | None = Field(
        None,
        repr=False,
        min_length=16,
        description="what stores show when they tell of uploads; 16 characters or more",
    )
    hook_topics: str | None = Field(
        None,
        pattern=rf"^{_TOPIC}(?:,{_TOPIC})*$",
        description="ARNs of the SNS topics whose notifications are taken, comma-separated",
    )
    automations: bool = Field(
        True, description="0: no automations are installed in Prefect, and those there are removed"
    )
    alarm_block: str | None = Field(
        None,
        pattern=r"^[a-z0-9-]+/[a-z0-9-]+$",
        description="Prefect notification block that automations write to, as slack-webhook/alarms",
    )
    smtp_url: str | None = Field(
        None,
        repr=False,  # it holds a password
        description="mail server of guests' notices, as smtps://user:password@host:465, or smtp:// "
        "with STARTTLS; workers need it too",
    )
    mail_from: str | None = Field(
        None, description="address that guests' notices come from, as Studio <photos@example.com>"
    )
    notice_contact: str | None = Field(
        None,
        max_length=40,
        description="kind of address that guests leave for notices by the webhook, as Telegram; "
        "unset: none by webhook",
    )
    notice_delay_s: int = Field(
        600,
        ge=0,
        le=86_400,
        description="seconds after a sync until guests are told of its photos: one notice for all "
        "that come meanwhile",
    )
    traces: bool = Field(
        False,
        description="1: each call is told to the OpenTelemetry collector at "
        "OTEL_EXPORTER_OTLP_ENDPOINT; needs the extra otel",
    )
    prefect_port: int = Field(
        4200, description="port of the embedded Prefect server; 0: a free one"
    )
    s3_port: int = Field(8333, description="port of the embedded S3 server; 0: a free one")
    home: Path = Field(Path(".facepass"), description="folder of the embedded stack's data")
    model_pack: str = Field("buffalo_l", description="model pack: a name or a folder")
    model_root: Path = Field(
        Path("~/.insightface"), description="folder whose models/ holds the packs"
    )
    accept_noncommercial: bool = Field(
        False, description="1: the owner has read a pack's licence that forbids commercial use"
    )
    inference: Literal["cpu", "openvino", "openvino-bf16", "cuda", "cuda-tf32", "cuda-fp16"] = (
        Field("cpu", description="what runs the models; openvino and cuda need an extra")
    )
    engine_threads: int | None = Field(
        None, ge=1, le=256, description="photos computed at a time; unset: one a core"
    )
    batch_size: int = Field(100, ge=1, le=1000, description="photos a batch")
    task_runner: Literal["threads", "dask"] = Field(
        "threads", description="what does a sync's batches: this machine, or a Dask cluster"
    )
    dask_scheduler: str | None = Field(
        None,
        pattern=r"^(tcp|tls)://[^/\s]+:[0-9]+$",
        description="address of the cluster's scheduler, as tcp://10.0.0.1:8786",
    )
    retry_delay_s: int = Field(300, ge=0, description="seconds between a failed sync's attempts")
    event_active_days: int = Field(
        30, ge=0, description="days an event is resynced after it was added or a sync asked for"
    )
    retention_days: int | None = Field(
        None,
        ge=0,
        le=36_500,
        description="days an event's faces are kept after it ceased to be active; unset: for ever",
    )
    max_pixels: int = Field(50_000_000, ge=1, description="photos with more pixels are refused")
    max_photo_bytes: int = Field(50_000_000, ge=1, description="photos with more bytes are refused")
    max_original_bytes: int = Field(
        200_000_000, ge=1, description="originals with more bytes get no preview made"
    )
    make_views: bool = Field(
        True, description="0: no thumbs and views are made; guests see the previews"
    )
    photo_delivery: Literal["api", "s3"] = Field(
        "api",
        description="way of guests' pictures: through the API, one port, or by links to S3",
    )
    link_lifetime_s: int = Field(
        900,
        ge=1,
        le=604_800,
        description="seconds for which a signed link to a photo works; half of them at least",
    )

    def require_database_url(self) -> str:
        """The database's address in the form SQLAlchemy's psycopg2 dialect wants."""
        # Here and not above: whoever decodes pictures or reads S3 has settings and no database.
        from sqlalchemy import make_url
        from sqlalchemy.exc import ArgumentError

        if not self.database_url:
            raise ConfigurationError(
                "No database is configured: set FACEPASS_DATABASE_URL "
                "(or run `make up`, which brings one)."
            )
        scheme, separator, rest = self.database_url.partition("://")
        if not separator or scheme.split("+")[0] not in {"postgresql", "postgres"}:
            raise ConfigurationError("FACEPASS_DATABASE_URL must start with postgresql://.")
        address = f"postgresql+psycopg2://{rest}"
        try:
            url = make_url(address)
        except (ArgumentError, ValueError) as error:
            raise ConfigurationError(
                "FACEPASS_DATABASE_URL is no address: write postgresql://user:password@host/db, "
                "the password's special characters as %40 and the like."
            ) from error
        if wrong := _find_wrong_options({"port": url.port or "", **url.query}):
            raise ConfigurationError(
                f"FACEPASS_DATABASE_URL has options that PostgreSQL's client does not take "
                f"({', '.join(wrong)}): take them out of the address, or correct their values."
            )
        return address

    def read_public_path(self) -> str:
        """The path below which a proxy serves the API, as /facepass; empty for none."""
        return unquote(urlsplit(self.public_url or "").path)

    def list_hook_topics(self) -> list[str]:
        """The SNS topics whose notifications need no secret."""
        return self.hook_topics.split(",") if self.hook_topics else []

    def list_cors_origins(self) -> list[str]:
        """The sites whose pages may call the API."""
        return self.cors_origins.split(",") if self.cors_origins else []

    def require_s3_bucket(self) -> str:
        """The bucket's name."""
        if not self.s3_bucket:
            raise ConfigurationError(
                "No bucket is configured: set FACEPASS_S3_BUCKET (or run `make up`)."
            )
        return self.s3_bucket

    def require_dask_scheduler(self) -> str:
        """The address of the scheduler of a cluster that batches may be given to."""
        if not self.dask_scheduler:
            raise ConfigurationError(
                "FACEPASS_TASK_RUNNER=dask needs FACEPASS_DASK_SCHEDULER, the address of the "
                "cluster's scheduler, such as tcp://10.0.0.1:8786."
            )
        if not self.result_storage:
            # Faces kept on a disk of some machine would be out of an erasure's reach.
            raise ConfigurationError(
                "FACEPASS_TASK_RUNNER=dask needs FACEPASS_RESULT_STORAGE, which all machines "
                "share: run `python -m deployments.result_storage`."
            )
        return self.dask_scheduler


def _find_wrong_options(options: Mapping[str, object]) -> list[str]:
    """Names of the options of an address that libpq does not know, or not with these values."""
    import psycopg2
    from psycopg2.extensions import make_dsn

    def are_taken(some: Mapping[str, object]) -> bool:
        # libpq alone knows, and says so before it looks for a server: there is none here. Of
        # several hosts each has an address of its own.
        hosts = some.get("host", "")
        several = str(hosts).count(",") if isinstance(hosts, str) else 0
        nowhere = {"host": ",".join(["/nowhere"] * (several + 1)), "hostaddr": ""}
        try:
            psycopg2.connect(make_dsn(**{**some, **nowhere}))
        except psycopg2.Error as error:
            return str(error).startswith("connection to server")
        return True

    # What asks for encryption that the trial's own socket cannot have.
    known = options.get("gssencmode", "prefer") in {"disable", "prefer", "require"}
    wrong = [] if known else ["gssencmode"]
    options = {name: value for name, value in options.items() if name != "gssencmode"}
    if are_taken(options):
        return wrong
    found = [name for name, value in options.items() if not are_taken({name: value})]
    return wrong + found or ["host"]


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process; `get_settings.cache_clear()` reads the environment again.

    Raises ConfigurationError for a value that cannot be.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"FACEPASS_{name.upper()} is wrong: {first['msg']}.") from error
