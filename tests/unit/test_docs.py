"""The documents against the code: commands, endpoints, settings, paths, links, recipes."""

import importlib.util
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from unittest.mock import Mock

import pytest
import typer
import yaml
from PIL import Image

from models.settings import Settings
from tests.support.photos import encode_jpeg, read_sample

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
MADE_BY_HAND = "deployments/.env"  # by whoever starts the containers
each_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


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


def test_the_readme_names_the_modules_that_are_run() -> None:
    assert {"api", "models.migrate"} <= set(re.findall(r"python -m ([a-z_.]+)", README))


@each_document
def test_every_module_that_is_run_exists(document: Path) -> None:
    for module in re.findall(r"python -m ([a-z_.]+)", document.read_text(encoding="utf-8")):
        assert importlib.util.find_spec(module.rstrip(".")), module


@each_document
def test_every_subcommand_exists(document: Path) -> None:
    from deployments.facepass import app

    text = document.read_text(encoding="utf-8")
    named = re.findall(r"(?:^|`|bin/)facepass ([a-z]+(?:-[a-z]+)*)", text, re.MULTILINE)
    known = {*typer.main.get_command(app).commands}
    assert {*named} <= known


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


def test_what_somebody_wants_to_change_is_found_by_a_folders_name() -> None:
    rows = read_table("Where do I change…?")
    folders = [re.findall(r"`([^`]+)`", row[1])[0] for row in rows]
    assert len(set(folders)) == len(rows) >= 12
    assert [folder for folder in folders if not folder.endswith("/")] == []


@each_document
def test_every_place_that_is_named_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    rooms = "api|benchmarks|deployments|docs|flows|models|tasks|tests"
    named = re.findall(rf"(?<![\w/.-])(?:{rooms})/[\w./-]*[\w/]", text)
    assert [path for path in named if not (ROOT / path).exists() and path != MADE_BY_HAND] == []


@each_document
def test_every_link_leads_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for address, mark in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", text):
        target = document.parent / address if address else document
        assert target.exists(), address
        if mark:
            assert mark in list_marks(target), f"{address}#{mark}"


def list_marks(document: Path) -> list[str]:
    """The marks that GitHub gives a document's headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_every_test_that_the_page_about_security_names_is_there() -> None:
    page = (ROOT / "docs" / "security.md").read_text("utf-8")
    thefts = "tests/integration/api/test_stolen_secrets.py"
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page)
    named += [(thefts, test) for test in re.findall(r"`(test_\w+)`", page)]
    for file, test in named:
        text = (ROOT / file).read_text("utf-8") if (ROOT / file).is_file() else ""
        assert f"def {test or 'test_'}" in text, f"{file}::{test}"
        assert not test or f"def {test}(" in text, f"{file}::{test}"
    defined = re.findall(r"^def (test_\w+)", (ROOT / thefts).read_text("utf-8"), re.MULTILINE)
    assert {*defined} == {test for file, test in named if file == thefts and test}


def test_every_cell_about_stolen_secrets_names_a_test() -> None:
    page = (ROOT / "docs" / "security.md").read_text("utf-8")
    section = page.split("\n## What a stolen secret can do\n")[1].split("**When one is stolen**")[0]
    tests = {*re.findall(r"^- (\w\d) `", section, re.MULTILINE)}
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")]
    assert len(rows) > 15
    seen: set[str] = set()
    for _, *cells in rows[1:]:
        assert len(cells) == 4
        for cell in cells:
            verdict, *named = cell.split()
            assert verdict in {"yes", "no"}
            assert named
            assert {*named} <= tests, cell
            seen |= {*named}
    assert seen == tests


def test_the_index_names_every_document() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for document in (ROOT / "docs").glob("[a-z]*.md"):
        assert f"]({document.name})" in index, document.name


def test_the_version_has_its_place_in_the_changelog() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (newest, *_) = re.findall(r"^## (.+)$", changelog, re.MULTILINE)
    assert version in newest


def test_the_hooks_before_a_commit_are_what_make_lint_runs() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lint = makefile.split("\nlint:", 1)[1].split("\n\n", 1)[0].splitlines()[1:]
    assert [hook["entry"] for hook in hooks["hooks"]] == [
        f".venv/bin/{line.strip()}" for line in lint
    ]


ORIGINALS = ("turned.jpg", "DSC_0001.JPG")  # the second as every camera names them
JPEGS = (*ORIGINALS, "IMG_1.jpeg")


def test_the_upload_takes_what_cameras_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("previews", "originals"):
        (tmp_path / folder).mkdir()
        for name in (*JPEGS, "notes.txt"):
            (tmp_path / folder / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACEPASS_S3_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("FACEPASS_S3_BUCKET", "photos")
    client = Mock()
    monkeypatch.setattr("boto3.client", lambda *_, **__: client)
    (recipe,) = re.findall(r"<<'UPLOAD'\n(.*?)UPLOAD\n", README, re.DOTALL)

    exec(compile(recipe, "README.md", "exec"), {})

    keys = {call.args[2] for call in client.upload_file.call_args_list}
    assert keys == {
        f"events/1/{folder}/{name}" for folder in ("previews", "originals") for name in JPEGS
    }


def make_originals(folder: Path) -> None:
    (folder / "originals").mkdir()
    image = read_sample("coffee.png").resize((900, 600))
    for name in JPEGS:
        (folder / "originals" / name).write_bytes(encode_jpeg(image, orientation=6))


def check_previews(folder: Path) -> None:
    for name in JPEGS:
        with Image.open(folder / "previews" / name) as preview:
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

    check_previews(tmp_path)


@pytest.mark.parametrize("names", [JPEGS, ("a.JPEG",), ()])
def test_the_shell_recipe_takes_jpegs_and_skips_what_it_says(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    (tmp_path / "originals").mkdir()
    for name in (*names, "IMG_2.HEIC", "IMG_3.CR2"):
        (tmp_path / "originals" / name).touch()
    (recipe,) = [block for block in read_code_blocks("bash") if "convert" in block]

    copy = 'convert() { cp -- "$1" "${@: -1}"; }\n'
    subprocess.run(["bash", "-euc", copy + recipe], cwd=tmp_path, check=True)

    assert {path.name for path in (tmp_path / "previews").iterdir()} == set(names)


@pytest.mark.skipif(shutil.which("identify") is None, reason="ImageMagick is not installed")
def test_the_imagemagick_recipe_makes_upright_previews(tmp_path: Path) -> None:
    make_originals(tmp_path)
    (recipe,) = [block for block in read_code_blocks("bash") if "convert" in block]

    subprocess.run(["bash", "-euc", recipe], cwd=tmp_path, check=True)

    check_previews(tmp_path)
