"""The README against the code: commands, endpoints, settings, paths, recipes."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from models.settings import Settings
from tests.support.photos import encode_jpeg, read_sample

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def read_table(heading: str) -> list[list[str]]:
    section = README.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[1:]]


def read_code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_every_make_command_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = set(re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)", README, re.MULTILINE))
    names = {first or second for first, second in commands}
    assert {"demo", "up", "test", "lint"} <= names
    for name in names:
        assert re.search(rf"^{name}:", makefile, re.MULTILINE), f"make {name}"


def test_every_module_that_is_run_exists() -> None:
    modules = set(re.findall(r"python -m ([a-z_.]+)", README))
    assert {"api", "models.migrate"} <= modules
    for module in modules:
        assert importlib.util.find_spec(module), module


def test_the_api_table_is_the_openapi_document() -> None:
    from api.app import create_app

    paths = create_app().openapi()["paths"]
    served = {f"{method.upper()} {path}" for path, calls in paths.items() for method in calls}
    assert {row[0].strip("`") for row in read_table("The REST API")} == served


def test_the_settings_table_is_the_settings() -> None:
    rows = {row[0].strip("`"): row for row in read_table("Settings")}
    fields = {f"FACEPASS_{name.upper()}": field for name, field in Settings.model_fields.items()}
    assert rows.keys() == fields.keys()
    for name, field in fields.items():
        assert rows[name][2] == field.description, name
        if field.default is not None:
            assert rows[name][1] == f"`{field.default}`", name


def test_every_place_that_is_named_exists() -> None:
    for row in read_table("Where do I go to…?"):
        for path in re.findall(r"`([^`]+)`", row[1]):
            assert (ROOT / path).exists(), path


def make_originals(folder: Path) -> None:
    (folder / "originals").mkdir()
    image = read_sample("coffee.png").resize((900, 600))
    (folder / "originals" / "turned.jpg").write_bytes(encode_jpeg(image, orientation=6))


def check_preview(folder: Path) -> None:
    with Image.open(folder / "previews" / "turned.jpg") as preview:
        # Upright in its pixels: wide, though the original is stored tall.
        assert preview.size == (640, 427)
        assert preview.getexif().get(0x0112, 1) == 1


def test_the_pillow_recipe_makes_upright_previews(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_originals(tmp_path)
    monkeypatch.chdir(tmp_path)
    (recipe,) = [block for block in read_code_blocks("python") if "exif_transpose" in block]

    exec(compile(recipe, "README.md", "exec"), {})

    check_preview(tmp_path)


@pytest.mark.skipif(shutil.which("identify") is None, reason="ImageMagick is not installed")
def test_the_imagemagick_recipe_makes_upright_previews(tmp_path: Path) -> None:
    make_originals(tmp_path)
    (recipe,) = [block for block in read_code_blocks("bash") if "convert" in block]

    subprocess.run(["bash", "-euc", recipe], cwd=tmp_path, check=True)

    check_preview(tmp_path)
