"""Signed links that guests open: to a photo's preview and its original, valid for a short time."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from botocore.config import Config

from models.settings import Settings, get_settings
from tasks.s3.bucket import open_s3_client
from tasks.s3.errors import map_s3_errors

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_IMAGE_TYPES = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
}


@dataclass(frozen=True)
class LinkSigner:
    """Signs links; nothing is asked of S3 for it.

    The client's endpoint is the public one: a signature is for one host, and moving it to another
    makes it void.
    """

    client: "S3Client"
    bucket: str
    lifetime_s: int

    def sign_download(self, key: str) -> str:
        """A link that saves the object under its own file name."""
        return self._sign(key, build_disposition(key.rpartition("/")[2]))

    def sign_view(self, key: str) -> str:
        """A link that shows the object, as a picture and as nothing else."""
        return self._sign(key, "inline")

    def _sign(self, key: str, disposition: str) -> str:
        """Who uploads chooses an object's Content-Type: a page would run its scripts at S3's host.

        The type of S3's answer is the key's own therefore; S3 cannot be asked for `nosniff`, and
        browsers take no picture's type for a page's.
        """
        parameters = {
            "Bucket": self.bucket,
            "Key": key,
            "ResponseContentDisposition": disposition,
            "ResponseContentType": name_image_type(key),
        }
        with map_s3_errors(self.bucket):
            return self.client.generate_presigned_url(
                "get_object", Params=parameters, ExpiresIn=self.lifetime_s
            )


def name_image_type(key: str) -> str:
    """The Content-Type of a picture, by its key's suffix; of anything else, bytes to be saved."""
    return _IMAGE_TYPES.get(key.rpartition(".")[2].lower(), "application/octet-stream")


def build_disposition(file_name: str) -> str:
    """Content-Disposition of a download: plain ASCII for old clients, RFC 5987 for the name."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._- ") else "_" for c in file_name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file_name, safe='')}"


def open_link_signer(settings: Settings) -> LinkSigner:
    """A signer for the configured bucket. Raises ConfigurationError or S3AccessError."""
    bucket = settings.require_s3_bucket()
    endpoint = settings.s3_public_endpoint_url or settings.s3_endpoint_url
    variable = "FACEPASS_S3_PUBLIC_ENDPOINT_URL"
    client = open_s3_client(settings, endpoint, variable, Config(signature_version="s3v4"))
    return LinkSigner(client, bucket, settings.link_lifetime_s)


@lru_cache(maxsize=1)
def get_link_signer() -> LinkSigner:
    """This process's signer."""
    return open_link_signer(get_settings())
