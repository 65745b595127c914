"""`facepass accuracy` with the real models, on people of the product's own sample photos."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from deployments.facepass import main
from models.packs import PROFILES
from models.settings import get_settings
from tasks.packs.registry import resolve_pack
from tests.support.photos import encode_jpeg, read_group, read_sample

NAME = "Иван Незнакомый"
# Shares of the group's width in which one person stands.
STANDING = {"second": (0.30, 0.50), "third": (0.82, 1.0)}
DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people with three photos each, one who has one, a broken file and an empty folder."""
    root = tmp_path_factory.mktemp("people")
    group = read_group()
    images = {NAME: read_sample("astronaut.png")}
    for name, (left, right) in STANDING.items():
        place = (int(left * group.width), 0, int(right * group.width), group.height)
        images[name] = group.crop(place)
    for name, image in images.items():
        (root / name).mkdir()
        for number, quality in enumerate((95, 80, 60) if name != "third" else (90,)):
            photo = image.crop((0, 0, image.width - 9 * number, image.height - 9 * number))
            (root / name / f"{number}.jpg").write_bytes(encode_jpeg(photo, quality=quality))
    (root / "third" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    (root / "nobody").mkdir()
    return root


@pytest.fixture(autouse=True)
def settings(models_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pack that needs no download; two turns only, which show the same."""
    monkeypatch.setenv("FACEPASS_MODEL_ROOT", str(models_root))
    monkeypatch.setenv("FACEPASS_MODEL_PACK", "opencv_zoo")
    monkeypatch.setattr("tasks.accuracy.samples.TURNS", (0, 180))
    get_settings.cache_clear()


def read_last_line(capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    shown = capsys.readouterr()
    return json.loads(shown.out.splitlines()[-1]), shown.out + shown.err


def test_a_folder_is_measured_and_told_in_tables_a_page_and_a_line(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").mkdir()
    shutil.copy(DOCS / "accuracy.md", tmp_path)
    assert main(["accuracy", str(people), "--docs", str(tmp_path)]) == 0
    found, shown = read_last_line(capsys)
    page = (tmp_path / "accuracy.md").read_text("utf-8")

    counts = ("photos", "unreadable", "people", "guests", "searches", "photos_with_face")
    assert [found[name] for name in counts] == [7, 1, 3, 2, 6, 7]
    assert {name: rates["recall"] for name, rates in found["marks"].items()} == {
        "search": 1.0,
        "surely": 1.0,
        "expanded search": 1.0,
        "expanded surely": 1.0,
    }
    assert {rates["wrong"] for rates in found["marks"].values()} == {0.0}
    upright, _ = found["turned_photos"]
    assert (upright["photos"], upright["pairs"], upright["expanded"]) == (2, 4, 1.0)
    assert {view["detected"] for view in found["close_ups"]["standard"]} == {1.0}
    assert found["chosen"] is None
    assert "more people" in found["not_chosen"]
    assert "7 photos of 3 people" in shown
    assert "7 photos of 3 people" in page
    assert (tmp_path / "images" / "accuracy.svg").read_text("utf-8").startswith("<svg")
    for text in (shown, page):
        assert NAME not in text
        assert str(people) not in text


@pytest.fixture
def own_pack(models_root: Path, tmp_path: Path) -> Path:
    """A photographer's copy of a pack, at both detector sizes."""
    for profile in PROFILES.values():
        pack = resolve_pack(get_settings(), "opencv_zoo", profile.det_size)
        folder = pack.folder.name.replace("opencv_zoo", "own")
        shutil.copytree(pack.folder, tmp_path / folder)
    return tmp_path / "own"


def test_thresholds_are_not_chosen_from_a_few_people(
    people: Path, own_pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (own_pack / "manifest.json").read_bytes()
    words = ["accuracy", str(people), "--photos", "6", "--json", "--model-pack", str(own_pack)]
    assert main([*words, "--write"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "measure with more people, and nothing is written" in shown.err
    assert (own_pack / "manifest.json").read_bytes() == before


def test_chosen_thresholds_are_written_into_the_pack_and_say_where_they_come_from(
    people: Path,
    own_pack: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tasks.accuracy.rates.LEAST_PEOPLE", 2)
    monkeypatch.setattr("tasks.accuracy.rates.LEAST_COMPARISONS", 1)
    before = resolve_pack(get_settings(), str(own_pack))
    words = ["accuracy", str(people), "--json", "--model-pack", str(own_pack), "--write"]
    assert main(words) == 0
    chosen = read_last_line(capsys)[0]["chosen"]
    after = resolve_pack(get_settings(), str(own_pack))
    assert after.identity == before.identity
    assert after.figures.source == "measured by `facepass accuracy` on 7 photos of 3 people"
    assert asdict(after.figures) == chosen
    assert after.figures.search <= after.figures.surely
    assert after.figures != before.figures


def test_a_folder_that_does_not_do_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["accuracy", str(tmp_path)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert shown.err.startswith("There are no photos in ")
