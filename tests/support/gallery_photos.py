"""An event's gallery made ready for a browser: views in S3, and rows without any."""

from io import BytesIO
from typing import Any

import boto3
from botocore.config import Config
from PIL import Image, ImageOps
from sqlalchemy import make_url, text
from sqlmodel import Session, col, create_engine, select

from models.keys import derive_original_key, derive_view_key
from models.tables import Event, Photo
from models.vocabulary import PhotoStatus, ViewKind

# Of each kind: the longer side in pixels, the format, its quality.
_RECIPES = {
    ViewKind.THUMB: (400, "WEBP", 70),
    ViewKind.VIEW: (2048, "WEBP", 82),
    ViewKind.VIEW_JPEG: (2048, "JPEG", 85),
}
_MANY = text("""
INSERT INTO photo (event_id, s3_key, etag, size, image_url, original_missing, status, confidence,
  attempts, change, created_at, views_etag, views_source, width, height, colour, view_bytes)
SELECT :event, :prefix || lpad(n::text, 5, '0') || '.jpg', 'e' || n, 1, '', false, 'no_face', 0,
  1, 'new', now(), 'e' || n, 'o', CASE WHEN n % 3 = 0 THEN 1365 ELSE 2048 END,
  CASE WHEN n % 3 = 0 THEN 2048 ELSE 1365 END, 'a08060', 1
FROM generate_series(CAST(:first AS int), CAST(:last AS int)) n
""")


class GalleryBox:
    """The event of a gallery, changed behind the API's back."""

    def __init__(self, stack: dict[str, str], gallery_url: str) -> None:
        self.stack, self.url = stack, gallery_url
        url = make_url(stack["FACEPASS_DATABASE_URL"])
        # Named, because SQLAlchemy 2.1 takes another driver for an address without one.
        self.engine = create_engine(url.set(drivername="postgresql+psycopg2"))

    def change(self, **values: Any) -> None:
        """Set columns of the event."""
        with Session(self.engine) as session:
            event = self._find(session)
            for name, value in values.items():
                setattr(event, name, value)
            session.add(event)
            session.commit()

    def list_ids(self) -> list[int]:
        """Ids of the photos that guests see, by key: the gallery's order where no time is known."""
        seen = (PhotoStatus.INDEXED, PhotoStatus.NO_FACE)
        with Session(self.engine) as session:
            query = select(Photo.id).where(Photo.event_id == self._find(session).id)
            query = query.where(col(Photo.status).in_(seen)).order_by(
                col(Photo.sort_name), col(Photo.s3_key), col(Photo.id)
            )
            return [number or 0 for number in session.exec(query)]

    def add_rows(self, first: int, last: int) -> None:
        """Add photos that have no object in S3."""
        with Session(self.engine) as session:
            event = self._find(session)
            values = {"event": event.id, "prefix": event.s3_prefix, "first": first, "last": last}
            session.execute(_MANY, values)
            session.commit()

    def put_views(self) -> None:
        """Make every photo's views of its original."""
        client = boto3.client(
            "s3",
            endpoint_url=self.stack["FACEPASS_S3_ENDPOINT_URL"],
            aws_access_key_id=self.stack["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.stack["AWS_SECRET_ACCESS_KEY"],
            region_name=self.stack["AWS_DEFAULT_REGION"],
            config=Config(proxies={}),
        )
        place = {"Bucket": self.stack["FACEPASS_S3_BUCKET"]}
        with Session(self.engine) as session:
            event = self._find(session)
            seen = (PhotoStatus.INDEXED, PhotoStatus.NO_FACE)
            query = select(Photo).where(Photo.event_id == event.id, col(Photo.status).in_(seen))
            for photo in session.exec(query).all():
                key = derive_original_key(photo.s3_key, event.folder)
                original = client.get_object(Key=key, **place)["Body"].read()
                image = ImageOps.exif_transpose(Image.open(BytesIO(original))).convert("RGB")
                for kind, (side, kind_name, quality) in _RECIPES.items():
                    view = image.copy()
                    view.thumbnail((side, side))
                    buffer = BytesIO()
                    view.save(buffer, kind_name, quality=quality)
                    key = derive_view_key(photo.s3_key, event.folder, kind)
                    client.put_object(
                        Key=key,
                        Body=buffer.getvalue(),
                        ContentType=f"image/{kind_name.lower()}",
                        **place,
                    )
                    photo.width, photo.height, photo.view_bytes = *view.size, buffer.tell()
                photo.colour = image.resize((1, 1)).tobytes().hex()
                photo.original_bytes = len(original)
                photo.views_etag, photo.views_source = photo.etag, "test"
                session.add(photo)
            session.commit()

    def _find(self, session: Session) -> Event:
        token = self.url.rpartition("/")[2]
        return session.exec(select(Event).where(Event.gallery_token == token)).one()
