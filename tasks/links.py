"""Links to photos in S3, signed for a short time."""

from tasks.storage import get_bucket


def sign_link(key: str, disposition: str | None = None) -> str:
    bucket = get_bucket()
    params = {"Bucket": bucket.name, "Key": key}
    if disposition:
        params["ResponseContentDisposition"] = disposition
    return bucket.client.generate_presigned_url("get_object", Params=params, ExpiresIn=3600)
