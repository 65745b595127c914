"""The documents against the code: commands, endpoints, settings, paths, links, recipes."""

import importlib.util
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
import typer
import yaml
from PIL import Image
from starlette.routing import BaseRoute, Route

from deployments.doctor import NO_SETTINGS
from models.settings import Settings
from tests.support.photos import encode_jpeg, read_sample

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
LANGUAGES = (ROOT / "README.md", ROOT / "README.ru.md")
RUSSIAN_PAGES = sorted((DOCS / "ru").glob("[a-z]*.md"))
SCREEN_CHARACTERS = 2200  # 2,018 of them take 1,011 of a screen's 1,080 pixels, as GitHub sets them
MADE_BY_HAND = "deployments/.env"  # by whoever starts the containers
each_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


def read_page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def read_table(page: str, heading: str) -> list[list[str]]:
    """The rows below a heading, without the first."""
    section = read_page(page).split(f"# {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[1:]]


def read_code_blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", read_page(page), re.DOTALL)


def list_links(text: str) -> list[str]:
    """Where a document's links and pictures lead, but for those that leave the project."""
    addresses = re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", text)
    named = [link or picture for link, picture in addresses]
    return [address for address in named if not address.startswith(("http:", "https:"))]


def list_make_commands(text: str) -> set[str]:
    return {*re.findall(r"(?:^|`|&& )make ([a-z][a-z-]*)", text, re.MULTILINE)}


@each_document
def test_every_make_command_exists(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in list_make_commands(document.read_text(encoding="utf-8")):
        assert re.search(rf"^{name}:", makefile, re.MULTILINE), f"make {name}"


@pytest.mark.parametrize("readme", LANGUAGES, ids=lambda path: path.name)
def test_the_first_page_says_how_to_begin_and_is_short(readme: Path) -> None:
    text = readme.read_text(encoding="utf-8")
    assert {"demo", "up", "demo-event", "test"} <= list_make_commands(text)
    assert "facepass push" in text
    assert "selfie.jpg" in text
    assert "LAN=1" in text
    assert "docs/images/gallery-phone.png" in list_links(text)
    seen = re.sub(r"\]\([^)]*\)|<img[^>]*>", "]", text)
    assert len(seen) <= SCREEN_CHARACTERS


def test_the_first_page_says_the_same_in_both_languages() -> None:
    english, russian = (path.read_text(encoding="utf-8") for path in LANGUAGES)
    assert list_levels(russian) == list_levels(english)
    assert list_commands(russian) == list_commands(english)
    assert sorted(name_in_english(list_links(russian))) == sorted(
        name_in_english(list_links(english))
    )


def list_levels(text: str) -> list[int]:
    return [len(mark) for mark in re.findall(r"^(#+) ", text, re.MULTILINE)]


def list_commands(text: str) -> list[str]:
    """The lines of the blocks for a shell, without their comments."""
    lines = "".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL)).splitlines()
    return [line.split(" #")[0].strip() for line in lines]


def name_in_english(links: list[str]) -> list[str]:
    """The links with every Russian page called as the English one; each README names the other."""
    called = [link.replace("docs/ru/", "docs/") for link in links]
    return [link.replace("README.ru.md", "README.md") for link in called]


def test_the_russian_first_page_leads_to_russian_pages_where_there_are_any() -> None:
    links = list_links((ROOT / "README.ru.md").read_text(encoding="utf-8"))
    for page in RUSSIAN_PAGES:
        assert f"docs/ru/{page.name}" in links
        assert f"docs/{page.name}" not in links


@pytest.mark.parametrize("page", RUSSIAN_PAGES, ids=lambda path: path.name)
def test_a_russian_page_names_its_english_one_and_stands_in_the_index(page: Path) -> None:
    assert f"](../{page.name})" in page.read_text(encoding="utf-8")
    assert f"]({page.name})" in read_page("ru/README.md")


def test_how_to_run_the_parts_names_the_modules_that_are_run() -> None:
    modules = {*re.findall(r"python -m ([a-z_.]+)", read_page("running.md"))}
    assert {"api", "models.migrate", "deployments.register"} <= modules


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
    assert {row[0].strip("`") for row in read_table("api.md", "Calls")} == served


def test_the_settings_table_is_the_settings() -> None:
    rows = {row[0].strip("`"): row for row in read_table("settings.md", "Settings")}
    fields = {f"FACEPASS_{name.upper()}": field for name, field in Settings.model_fields.items()}
    assert rows.keys() == fields.keys()
    for name, field in fields.items():
        assert rows[name][2] == field.description, name
        if field.default is not None:
            assert rows[name][1] == f"`{field.default}`", name


@each_document
def test_every_setting_that_is_named_exists(document: Path) -> None:
    known = {f"FACEPASS_{name.upper()}" for name in Settings.model_fields} | NO_SETTINGS
    named = {*re.findall(r"FACEPASS_[A-Z0-9_]*[A-Z0-9]", document.read_text(encoding="utf-8"))}
    assert named <= known


@pytest.fixture(scope="module")
def served() -> set[str]:
    """Every call that the API answers, the gallery's pages too."""
    from api.app import create_app

    return {
        f"{method} {hide_names(re.sub('^/{gallery_token}', '/gallery/{}', route.path))}"
        for route in walk_routes(create_app().routes)
        for method in route.methods or ()
    }


def walk_routes(routes: Iterable[BaseRoute]) -> Iterator[Route]:
    for route in routes:
        if isinstance(route, Route):
            yield route
        # FastAPI keeps a router as it was, without the prefix that it is included with.
        router = getattr(route, "original_router", None)
        if router is not None:
            yield from walk_routes(router.routes)


@each_document
def test_every_call_that_is_named_is_served(document: Path, served: set[str]) -> None:
    text = document.read_text(encoding="utf-8")
    for method, path in re.findall(r"`(GET|HEAD|POST|PUT|PATCH|DELETE) ([/…][^\s`?]*)", text):
        ending = hide_names(path.replace("poster.pdf", "poster.{form}"))
        calls = [call for call in served if call.startswith(f"{method} ")]
        if ending.startswith("…"):
            assert any(call.endswith(ending[1:]) for call in calls), f"{method} {path}"
        else:
            assert f"{method} {ending}" in calls, f"{method} {path}"


def hide_names(path: str) -> str:
    """A route's path without the names of its parameters, which a document may call otherwise."""
    return re.sub(r"\{[^}]*\}", "{}", path)


def test_what_somebody_wants_to_change_is_found_by_a_folders_name() -> None:
    rows = read_table("architecture.md", "Where do I change…?")
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
    for link in list_links(text):
        address, _, mark = link.partition("#")
        target = document.parent / address if address else document
        assert target.exists(), address
        if mark:
            assert mark in list_marks(target), f"{address}#{mark}"


def list_marks(document: Path) -> list[str]:
    """The marks that GitHub gives a document's headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def test_every_test_that_the_page_about_security_names_is_there() -> None:
    page = read_page("security.md")
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
    page = read_page("security.md")
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
    index = read_page("README.md")
    for document in DOCS.glob("[a-z]*.md"):
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
    (recipe,) = re.findall(r"<<'UPLOAD'\n(.*?)UPLOAD\n", read_page("api.md"), re.DOTALL)

    exec(compile(recipe, "recipe", "exec"), {})

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
    (recipe,) = [block for block in read_code_blocks("previews.md", "python") if "iterdir" in block]

    exec(compile(recipe, "recipe", "exec"), {})

    check_previews(tmp_path)


@pytest.mark.parametrize("names", [JPEGS, ("a.JPEG",), ()])
def test_the_shell_recipe_takes_jpegs_and_skips_what_it_says(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    (tmp_path / "originals").mkdir()
    for name in (*names, "IMG_2.HEIC", "IMG_3.CR2"):
        (tmp_path / "originals" / name).touch()
    (recipe,) = [block for block in read_code_blocks("previews.md", "bash") if "convert" in block]

    copy = 'convert() { cp -- "$1" "${@: -1}"; }\n'
    subprocess.run(["bash", "-euc", copy + recipe], cwd=tmp_path, check=True)

    assert {path.name for path in (tmp_path / "previews").iterdir()} == set(names)


@pytest.mark.skipif(shutil.which("identify") is None, reason="ImageMagick is not installed")
def test_the_imagemagick_recipe_makes_upright_previews(tmp_path: Path) -> None:
    make_originals(tmp_path)
    (recipe,) = [block for block in read_code_blocks("previews.md", "bash") if "convert" in block]

    subprocess.run(["bash", "-euc", recipe], cwd=tmp_path, check=True)

    check_previews(tmp_path)
