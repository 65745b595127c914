"""A preview that was uploaded as a web page, opened by the gallery's links in a real browser."""

from collections.abc import Iterator
from dataclasses import dataclass

import boto3
import httpx
import pytest
from playwright.sync_api import Browser

from tests.support.photos import encode_jpeg, read_sample
from tests.support.waiting import wait_until

SCRIPT = b"<html><body><script>document.title = 'it ran'</script></body></html>"


@dataclass(frozen=True)
class HostileEvent:
    """An event whose only preview and original are pictures and pages at once."""

    gallery: str
    photo_id: int


@pytest.fixture(scope="module")
def hostile(stack_environment: dict[str, str]) -> Iterator[HostileEvent]:
    """The event, synced."""
    env = stack_environment
    photo = encode_jpeg(read_sample("astronaut.png"))
    comment = b"\xff\xfe" + (len(SCRIPT) + 2).to_bytes(2, "big") + SCRIPT
    s3 = boto3.client(
        "s3",
        endpoint_url=env["FACEPASS_S3_ENDPOINT_URL"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        region_name=env["AWS_DEFAULT_REGION"],
    )
    with httpx.Client(base_url=env["FACEPASS_API_URL"], timeout=60, trust_env=False) as api:
        event = api.post("/api/v1/events", json={"name": "Чужие файлы"}).raise_for_status().json()
        for folder in ("previews", "originals"):
            s3.put_object(
                Bucket=env["FACEPASS_S3_BUCKET"],
                Key=f"events/{event['event_id']}/{folder}/page.jpg",
                Body=photo[:2] + comment + photo[2:],
                ContentType="text/html",
            )
        body = {"event_uuid": event["event_uuid"], "s3_prefix": event["s3_prefix"]}
        task = api.post("/api/v1/faces/sync-s3", json=body).raise_for_status().json()["task_id"]
        wait_until(lambda: api.get(f"/api/v1/faces/sync-s3/{task}").json()["state"] == "completed")
        photos = api.get(f"/api/v1/events/{event['event_uuid']}/photos").json()["photos"]
        yield HostileEvent(event["gallery_url"], photos[0]["photo_id"])


def test_a_preview_that_is_a_page_is_shown_as_a_picture_and_runs_nothing(
    browser: Browser, hostile: HostileEvent
) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        answer = page.goto(f"{hostile.gallery}/photos/{hostile.photo_id}/preview")
        assert answer is not None
        assert answer.status == 200
        assert "it ran" not in page.title()
        assert page.locator("img").count() == 1  # the browser's own page around a picture
        assert answer.header_value("content-type") == "image/jpeg"
        assert answer.header_value("x-content-type-options") == "nosniff"


def test_an_original_that_is_a_page_is_saved_as_a_picture(hostile: HostileEvent) -> None:
    saved = httpx.get(
        f"{hostile.gallery}/photos/{hostile.photo_id}/original",
        follow_redirects=True,
        trust_env=False,
    )
    assert SCRIPT in saved.content
    assert saved.headers["content-type"] == "image/jpeg"
    assert saved.headers["content-disposition"].startswith("attachment")
