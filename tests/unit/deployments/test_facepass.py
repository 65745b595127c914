"""The command: every subcommand explains itself and does nothing; help costs no heavy import."""

import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from typer.main import get_command

from deployments import facepass
from deployments.facepass import app, main
from deployments.push.push import Options
from models.vocabulary import ProfileName

ROOT = Path(__file__).parents[3]
SUBCOMMANDS = sorted(get_command(app).commands)
# Everything that is started by `python -m`.
MODULES = [
    "api",
    "deployments.demo",
    "deployments.facepass",
    "deployments.probe",
    "deployments.push",
    "deployments.register",
    "deployments.result_storage",
    "deployments.stack",
    "models.migrate",
    "tasks.accuracy",
]
HEAVY = ("prefect", "sqlalchemy", "boto3", "numpy", "PIL", "fastapi", "rich", "pydantic")


def run_python(*words: str, home: Path) -> "subprocess.CompletedProcess[str]":
    """A fresh process in which any work would fail or leave something in `home`."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=os.environ
        | {
            "FACEPASS_HOME": str(home / "stack"),
            "FACEPASS_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nothing",
            "PREFECT_API_URL": "http://127.0.0.1:9/api",
            "TMPDIR": str(home),
            "COLUMNS": "100",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_console_command_is_the_one_that_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    module, _, function = project["project"]["scripts"]["facepass"].partition(":")
    assert getattr(import_module(module), function) is facepass.run


def test_the_subcommands_are_those_that_people_run() -> None:
    work = ["accuracy", "api", "migrate", "pack", "push", "register", "result-storage"]
    told = ["events", "status", "link", "qr", "report", "watch"]
    assert (
        sorted([*work, *told, "demo", "demo-event", "doctor", "ui-password", "up"]) == SUBCOMMANDS
    )


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in SUBCOMMANDS)])
def test_every_subcommand_explains_itself_without_doing_anything(
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FACEPASS_HOME", str(tmp_path / "stack"))
    assert main(words) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("Usage: facepass ")
    assert shown.err == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", MODULES)
def test_every_module_that_is_run_explains_itself_without_doing_anything(
    module: str, tmp_path: Path
) -> None:
    told = run_python("-m", module, "--help", home=tmp_path)
    assert (told.returncode, told.stderr) == (0, "")
    assert module.rpartition(".")[2] in told.stdout or "facepass" in told.stdout
    assert list(tmp_path.iterdir()) == []


def test_every_module_with_a_main_block_is_known_here() -> None:
    files = [
        file
        for room in ("api", "deployments", "models", "tasks", "flows")
        for file in (ROOT / room).rglob("*.py")
    ]
    runnable = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
        for file in files
        if 'if __name__ == "__main__":' in file.read_text("utf-8")
    }
    assert runnable == set(MODULES)


def test_the_version_is_the_projects(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("facepass 0.")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["pusch"], "No such command 'pusch'"),
        (["up", "--port", "1"], "No such option: --port"),
        (["push", "folder"], "Missing option '--event'"),
        (["push", "--event", "x"], "Missing argument 'PHOTOS_DIR'"),
        (["push", "folder", "--event", "x", "--profile", "crowd"], "'crowd' is not one of"),
        (["push", "folder", "--event", "x", "--keep", "--delete"], "exclude each other"),
    ],
)
def test_what_is_not_understood_is_a_sentence(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    shown = capsys.readouterr()
    assert (shown.out, says in shown.err) == ("", True)


def test_without_a_subcommand_it_shows_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr()
    assert "demo-event" in shown.out + shown.err


def test_the_options_of_a_push_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Options, bool]] = []

    def push_folder(options: Options, *, as_json: bool) -> int:
        seen.append((options, as_json))
        return 4

    monkeypatch.setattr("deployments.push.command.push_folder", push_folder)
    options = ["--profile=groups", "--source", "camera-2", "--keep", "--no-sync", "--json"]
    assert main(["push", "Карта A", "--event", "Свадьба", *options]) == 4
    assert main(["push", "--event", "Свадьба", "Карта A", "--delete", "--watch"]) == 4
    folder = Path("Карта A")
    assert seen == [
        (
            Options(
                folder, "Свадьба", ProfileName.GROUPS, "camera-2", False, keep=True, sync=False
            ),
            True,
        ),
        (Options(folder, "Свадьба", delete=True, watch=True), False),
    ]


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("api", "api.__main__.main"),
        ("demo", "deployments.demo.show_demo"),
        ("demo-event", "deployments.demo.show_demo_event"),
        ("migrate", "models.migrate.main"),
        ("register", "deployments.register.main"),
        ("result-storage", "deployments.result_storage.main"),
        ("up", "deployments.stack.__main__.main"),
    ],
)
def test_a_subcommand_ends_with_the_exit_code_of_what_it_calls(
    name: str, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(function, lambda *_, **__: 3)
    assert main([name]) == 3


@pytest.mark.parametrize("words", [["--help"], ["push", "--help"], ["demo-event", "--help"]])
def test_help_loads_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    # By modules and not by time, which belongs to the machine; here it took 0.2 s of processor.
    # Where a subcommand has options, Typer asks pydantic about their types.
    heavy = HEAVY if len(words) == 1 else tuple(name for name in HEAVY if name != "pydantic")
    program = (
        f"import sys; from deployments.facepass import main; main({words}); "
        f"print('loaded', *sorted(set({heavy}) & set(sys.modules)))"
    )
    told = run_python("-c", program, home=tmp_path)
    assert told.stdout.splitlines()[-1] == "loaded"


def test_the_shell_completes_subcommands(tmp_path: Path) -> None:
    completed = subprocess.run(
        [sys.executable, "-m", "deployments.facepass"],
        cwd=ROOT,
        env=os.environ
        | {
            "_FACEPASS_COMPLETE": "complete_bash",
            "COMP_WORDS": "facepass de",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert completed.stdout.split() == ["demo", "demo-event"]
