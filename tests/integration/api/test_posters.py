"""Posters through the REST API: what is printed leads to the event's gallery."""

from io import BytesIO
from uuid import uuid4

import httpx
import pytest
from PIL import Image

from tests.support.posters import read_pdf_code, read_pdf_lines, read_svg_code
from tests.support.public_api import PublicApi


def make_picture() -> bytes:
    file = BytesIO()
    Image.new("RGBA", (900, 300), (120, 60, 30, 128)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("size", ["a4", "card"])
@pytest.mark.parametrize("language", ["ru", "en"])
def test_a_poster_leads_to_the_gallery(public_api: PublicApi, size: str, language: str) -> None:
    looks = {"name": "Анна и Иван", "held_on": "2026-06-20", "place": "Усадьба", "pin": "2580"}
    asked = {"size": size, "language": language}
    with public_api.open() as anna:
        event = anna.post("/api/v1/events", json=looks).json()
        path = f"/api/v1/events/{event['event_uuid']}"
        assert anna.put(f"{path}/logo", content=make_picture()).status_code == 204
        svg, pdf = (anna.get(f"{path}/poster.{form}", params=asked) for form in ("svg", "pdf"))
    assert [(one.status_code, one.headers["content-type"]) for one in (svg, pdf)] == [
        (200, "image/svg+xml"),
        (200, "application/pdf"),
    ]
    assert svg.headers["cache-control"] == "no-store"
    assert f"poster-{size}-{language}.pdf" in pdf.headers["content-disposition"]
    assert read_svg_code(svg.text) == event["gallery_url"]
    assert read_pdf_code(pdf.content) == event["gallery_url"]
    assert "Анна и Иван" in read_pdf_lines(pdf.content)
    assert "data:image/webp;base64," in svg.text
    assert "img-src data:" in svg.headers["content-security-policy"]
    assert "2580" not in svg.text + " ".join(read_pdf_lines(pdf.content))


def test_what_cannot_be_printed_is_said(public_api: PublicApi) -> None:
    with public_api.open() as anna, public_api.open(key=None) as stranger:
        event = anna.post("/api/v1/events", json={"name": "🎉"}).json()
        path = f"/api/v1/events/{event['event_uuid']}"
        in_russian = {"Accept-Language": "ru"}
        told = anna.get(f"{path}/poster.pdf", headers=in_russian).content
        assert "Фотографии события" in " ".join(read_pdf_lines(told))
        answers: list[httpx.Response] = [
            stranger.get(f"{path}/poster.pdf"),
            anna.get(f"/api/v1/events/{uuid4()}/poster.pdf"),
            anna.get("/api/v1/events/x/poster.pdf"),
            anna.get(f"{path}/poster.png"),
            anna.get(f"{path}/poster.pdf", params={"size": "a3"}),
            anna.get(f"{path}/poster.pdf", params={"language": "de"}),
        ]
    assert [answer.status_code for answer in answers] == [401, 404, 400, 422, 422, 422]
    assert all(answer.json()["detail"] for answer in answers)
