"""Database tables, as SQLModel classes.

`Photo` is the ledger of syncs: one row for each preview key in S3, with its current status.
"""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from models.keys import build_previews_prefix, default_folder
from models.vocabulary import (
    ErrorKind,
    GuestRequestKind,
    PhotoReason,
    PhotoStatus,
    ProfileName,
    SubscriptionChannel,
    SyncState,
    Visibility,
)


def utc_now() -> datetime:
    """Now, with its time zone."""
    return datetime.now(UTC)


def _timestamp(*, nullable: bool = True) -> Column[datetime]:
    return Column(DateTime(timezone=True), nullable=nullable)


class Event(SQLModel, table=True):
    """A wedding, a race, a party: the border no face crosses."""

    id: int | None = Field(default=None, primary_key=True)
    uuid: UUID = Field(default_factory=uuid4, unique=True)
    name: str = Field(sa_column=Column(Text, nullable=False))
    # Its folder in S3, where it has one of its own; null: events/{id}/. None holds another's.
    s3_folder: str | None = Field(default=None, sa_column=Column(Text))
    gallery_token: str = Field(sa_column=Column(Text, nullable=False, unique=True))
    # The fencing token: raised by every attempt to sync; a store transaction that reads another
    # value must stop.
    sync_epoch: int = Field(default=0)
    # Prefixes asked for while a sync was running; that sync lists them before it ends.
    pending_prefixes: list[str] = Field(
        default_factory=list, sa_column=Column(ARRAY(Text), nullable=False)
    )
    # Until then the scheduled resync looks at its previews.
    active_until: datetime = Field(sa_column=_timestamp(nullable=False))
    # How previews are made and faces looked for: models/packs.py.
    profile: ProfileName = Field(
        default=ProfileName.STANDARD,
        sa_column=Column(Text, nullable=False, server_default=text("'standard'")),
    )
    # The pack its faces are found by; null: the one that the settings name.
    model_pack: str | None = Field(default=None, sa_column=Column(Text))
    # Since when the event has no faces and takes no syncs; null again once it is resumed.
    erased_at: datetime | None = Field(default=None, sa_column=_timestamp())
    # The newest erasure, of the event or of one photo: what was embedded before it must go.
    last_erasure_at: datetime | None = Field(default=None, sa_column=_timestamp())
    # Signs the event's cached results: no others are read. Each erasure draws a new one.
    result_key: UUID = Field(
        default_factory=uuid4,
        sa_column_kwargs={"server_default": text("gen_random_uuid()")},
    )
    # The zone of its clock, minutes from UTC: the one that most of its photos' times name.
    utc_offset: int | None = Field(default=None, sa_type=SmallInteger)
    # Camera -> seconds by which its clock was wrong: added to its photos' times.
    camera_shifts: dict[str, int] = Field(
        default_factory=dict,
        sa_column=Column(JSONB, nullable=False, server_default=text("'{}'")),
    )
    # Who sees which photos, and until when.
    visibility: Visibility = Field(
        default=Visibility.EVERYONE,
        sa_column=Column(Text, nullable=False, server_default=text("'everyone'")),
    )
    pin_hash: str | None = Field(default=None, sa_column=Column(Text))
    closes_at: datetime | None = Field(default=None, sa_column=_timestamp())
    # Guests may take all photos at once.
    download_all: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    # How its gallery looks; null: without it. accent: #rrggbb.
    held_on: date | None = None
    place: str | None = Field(default=None, sa_column=Column(Text))
    studio: str | None = Field(default=None, sa_column=Column(Text))
    accent: str | None = Field(default=None, sa_column=Column(Text))
    cover_photo_id: int | None = Field(default=None, sa_type=BigInteger)
    # Signs what its guests hold: passes to photos, the PIN's cookie, selfies' vectors. A new link
    # draws a new one.
    guest_key: UUID = Field(
        default_factory=uuid4,
        sa_column_kwargs={"server_default": text("gen_random_uuid()")},
    )
    # Its own instead of FACEPASS_RETENTION_DAYS.
    retention_days: int | None = Field(default=None, sa_type=SmallInteger)
    # Guests may ask to be told of new photos of them.
    notices: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    created_at: datetime = Field(default_factory=utc_now, sa_column=_timestamp(nullable=False))

    @property
    def folder(self) -> str:
        """The folder in S3 that holds everything of the event."""
        return self.s3_folder or default_folder(self.id or 0)

    @property
    def s3_prefix(self) -> str:
        """The prefix of its previews."""
        return build_previews_prefix(self.folder)


class Pack(SQLModel, table=True):
    """A model pack that made vectors; vectors of different packs are never compared."""

    id: int | None = Field(default=None, sa_column=Column(SmallInteger, primary_key=True))
    identity: str = Field(sa_column=Column(Text, nullable=False, unique=True))
    licence: str = Field(sa_column=Column(Text, nullable=False))


class SyncRun(SQLModel, table=True):
    """One flow run's record: what the status call reads."""

    __tablename__ = "sync_run"

    flow_run_id: UUID = Field(primary_key=True)
    event_id: int = Field(foreign_key="event.id", index=True, ondelete="CASCADE")
    s3_prefix: str = Field(sa_column=Column(Text, nullable=False))
    state: SyncState = Field(sa_column=Column(Text, nullable=False))
    detail: str | None = Field(default=None, sa_column=Column(Text))
    # Whose fault `detail` tells of, where an attempt failed.
    error_kind: ErrorKind | None = Field(default=None, sa_column=Column(Text))
    # The run that holds the event, where this one ended as skipped.
    held_by: UUID | None = None
    # The asked prefix has been listed and its work written into the ledger ...
    planned: bool = False
    # ... for this pack; an attempt under another one plans anew.
    pack_id: int | None = Field(default=None, foreign_key="pack.id", sa_type=SmallInteger)
    batches: int = 0
    processed: int = 0
    gone: int = 0
    # Prefix -> counts of photos that needed no work, from its latest listing.
    tallies: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))
    # json, not jsonb: keeps the order of its fields.
    result: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))
    created_at: datetime = Field(default_factory=utc_now, sa_column=_timestamp(nullable=False))
    started_at: datetime | None = Field(default=None, sa_column=_timestamp())
    heartbeat_at: datetime | None = Field(default=None, sa_column=_timestamp())
    next_try_at: datetime | None = Field(default=None, sa_column=_timestamp())
    finished_at: datetime | None = Field(default=None, sa_column=_timestamp())


class Photo(SQLModel, table=True):
    """One preview in S3. (event_id, s3_key) is what deduplication rests on."""

    __table_args__ = (
        Index("photo_event_id_s3_key", "event_id", "s3_key", unique=True),
        Index("photo_sync_run_id_batch", "sync_run_id", "batch"),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True))
    event_id: int = Field(foreign_key="event.id", ondelete="CASCADE")
    s3_key: str = Field(sa_column=Column(Text(collation="C"), nullable=False))
    etag: str = Field(sa_column=Column(Text, nullable=False))
    size: int = Field(sa_column=Column(BigInteger, nullable=False))
    # Where the original is, percent-encoded: {endpoint}/{bucket}/{original key}.
    image_url: str = Field(sa_column=Column(Text, nullable=False))
    # The original that was found under another name; null: the one that its own name leads to.
    original_key: str | None = Field(default=None, sa_column=Column(Text))
    original_missing: bool = False
    status: PhotoStatus = Field(sa_column=Column(Text, nullable=False))
    reason: PhotoReason | None = Field(default=None, sa_column=Column(Text))
    # Erased by itself: no sync reads it, whatever its ETag, until it is restored.
    erased_alone: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    # Best detection's score, 0..1; 0.0 where there is no face.
    confidence: float = 0.0
    # Looks at it so far: part of the cache key, so that a second look is a real one.
    attempts: int = 0
    # `new` or `updated`: what the run that worked on it last counts it as.
    change: str = Field(sa_column=Column(Text, nullable=False))
    # How often it was replaced between a listing and its reading, in the run that has it.
    changes: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    # Degrees clockwise, 0 to 270, that its preview has to be turned by to stand upright.
    turned: int = Field(
        default=0,
        sa_column=Column(SmallInteger, nullable=False, server_default=text("0")),
    )
    # When and by which camera it was taken, as `Taking` says; null where its file does not tell.
    taken_at: datetime | None = Field(default=None, sa_column=Column(DateTime))
    utc_offset: int | None = Field(default=None, sa_type=SmallInteger)
    camera: str | None = Field(default=None, sa_column=Column(Text))
    camera_name: str | None = Field(default=None, sa_column=Column(Text))
    # Its key as people sort names, from models/keys.py; null where another release added it.
    sort_name: str | None = Field(default=None, sa_column=Column(Text(collation="C")))
    # Its views (thumb, view): of which preview, and of which original by which recipe. They are
    # shown while views_etag is its etag.
    views_etag: str | None = Field(default=None, sa_column=Column(Text))
    views_source: str | None = Field(default=None, sa_column=Column(Text))
    # Of the upright view, pixels; its mean colour as rrggbb.
    width: int | None = None
    height: int | None = None
    colour: str | None = Field(default=None, sa_column=Column(Text))
    # What a guest would take home; view_bytes: of the JPEG.
    original_bytes: int | None = Field(default=None, sa_type=BigInteger)
    original_etag: str | None = Field(default=None, sa_column=Column(Text))
    view_bytes: int | None = None
    pack_id: int | None = Field(default=None, foreign_key="pack.id", sa_type=SmallInteger)
    sync_run_id: UUID | None = None
    batch: int | None = None
    created_at: datetime = Field(default_factory=utc_now, sa_column=_timestamp(nullable=False))
    processed_at: datetime | None = Field(default=None, sa_column=_timestamp())


class Face(SQLModel, table=True):
    """One face of one photo. `embedding` is L2-normalised; its length is the pack's."""

    __table_args__ = (Index("face_event_id_pack_id", "event_id", "pack_id"),)

    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True))
    photo_id: int = Field(
        foreign_key="photo.id", ondelete="CASCADE", index=True, sa_type=BigInteger
    )
    event_id: int = Field(foreign_key="event.id", ondelete="CASCADE")
    pack_id: int = Field(foreign_key="pack.id", sa_type=SmallInteger)
    # Corners as shares of the upright photo's width and height, 0..1.
    x1: float
    y1: float
    x2: float
    y2: float
    confidence: float
    embedding: Any = Field(sa_column=Column(HALFVEC, nullable=False))


class SimilarityHistogram(SQLModel, table=True):
    """How similar different people of an event are: all pairs of faces that share a photo.

    Numbers only. counts: pairs by cosine similarity, from -1 to 1 in steps of 0.01.
    """

    __tablename__ = "similarity_histogram"

    event_id: int = Field(primary_key=True, foreign_key="event.id", ondelete="CASCADE")
    pack_id: int = Field(sa_column=Column(SmallInteger, ForeignKey("pack.id"), primary_key=True))
    counts: list[int] = Field(sa_column=Column(ARRAY(BigInteger), nullable=False))
    updated_at: datetime = Field(default_factory=utc_now, sa_column=_timestamp(nullable=False))


class EventLogo(SQLModel, table=True):
    """A studio's logo on an event's gallery: WebP, as we wrote it."""

    __tablename__ = "event_logo"

    event_id: int = Field(primary_key=True, foreign_key="event.id", ondelete="CASCADE")
    content: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    etag: str = Field(sa_column=Column(Text, nullable=False))


class Consent(SQLModel, table=True):
    """A guest's consent to be searched for: when, to which text. Nothing of who it was."""

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    event_id: int = Field(foreign_key="event.id", index=True, ondelete="CASCADE")
    given_at: datetime = Field(default_factory=utc_now, sa_column=_timestamp(nullable=False))
    text_version: str = Field(sa_column=Column(Text, nullable=False))
    language: str = Field(sa_column=Column(Text, nullable=False))


class GuestRequest(SQLModel, table=True):
    """A guest's wish about one photo, for the photographer to settle."""

    __tablename__ = "guest_request"
    __table_args__ = (
        Index(
            "guest_request_open",
            "photo_id",
            "kind",
            unique=True,
            postgresql_where=text("settled_at IS NULL"),
        ),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True))
    event_id: int = Field(foreign_key="event.id", index=True, ondelete="CASCADE")
    photo_id: int = Field(foreign_key="photo.id", ondelete="CASCADE", sa_type=BigInteger)
    kind: GuestRequestKind = Field(sa_column=Column(Text, nullable=False))
    created_at: datetime = Field(default_factory=utc_now, sa_column=_timestamp(nullable=False))
    settled_at: datetime | None = Field(default=None, sa_column=_timestamp())


class Subscription(SQLModel, table=True):
    """A guest's wish to be told of new photos: where to, and the face they are found by.

    The one place where a guest's vector is kept; withdrawal and every erasure delete the row.
    """

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    event_id: int = Field(foreign_key="event.id", index=True, ondelete="CASCADE")
    # The address of an e-mail, or the receiver's own name of the guest.
    channel: SubscriptionChannel = Field(sa_column=Column(Text, nullable=False))
    address: str = Field(sa_column=Column(Text, nullable=False))
    pack_id: int = Field(foreign_key="pack.id", sa_type=SmallInteger)
    embedding: Any = Field(sa_column=Column(HALFVEC, nullable=False))
    text_version: str = Field(sa_column=Column(Text, nullable=False))
    language: str = Field(sa_column=Column(Text, nullable=False))
    created_at: datetime = Field(default_factory=utc_now, sa_column=_timestamp(nullable=False))
    # Null until the address has answered; nothing is told before.
    confirmed_at: datetime | None = Field(default=None, sa_column=_timestamp())


class ToldPhoto(SQLModel, table=True):
    """A photo of which a subscription was told, or which its guest had already found."""

    __tablename__ = "told_photo"

    subscription_id: UUID = Field(
        primary_key=True, foreign_key="subscription.id", ondelete="CASCADE"
    )
    photo_id: int = Field(
        primary_key=True, foreign_key="photo.id", ondelete="CASCADE", index=True, sa_type=BigInteger
    )
    told_at: datetime = Field(default_factory=utc_now, sa_column=_timestamp(nullable=False))


class PhotoOpening(SQLModel, table=True):
    """Times that guests opened a photo on a day (UTC). Nothing of who they were."""

    __tablename__ = "photo_opening"

    photo_id: int = Field(
        primary_key=True, foreign_key="photo.id", ondelete="CASCADE", sa_type=BigInteger
    )
    day: date = Field(primary_key=True)
    opened: int = 0


class Installation(SQLModel, table=True):
    """This database's own name, one row: runs of a shared Prefect server carry it."""

    id: UUID = Field(default_factory=uuid4, primary_key=True)


class WebhookDelivery(SQLModel, table=True):
    """One notice: what is told, and how far its delivery has come."""

    __tablename__ = "webhook_delivery"

    id: int | None = Field(default=None, sa_column=Column(BigInteger, primary_key=True))
    # Null where the event was deleted before its receiver heard of all.
    event_id: int | None = Field(default=None, foreign_key="event.id", ondelete="CASCADE")
    flow_run_id: UUID
    payload: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    attempts: int = 0
    last_error: str | None = Field(default=None, sa_column=Column(Text))
    created_at: datetime = Field(default_factory=utc_now, sa_column=_timestamp(nullable=False))
    # Null once it is delivered or given up.
    next_try_at: datetime | None = Field(default=None, sa_column=_timestamp())
    delivered_at: datetime | None = Field(default=None, sa_column=_timestamp())

    @property
    def message_id(self) -> str:
        """What a receiver knows it by: the same in every attempt, unique over databases too."""
        return f"msg_{self.flow_run_id.hex}_{self.id}"
