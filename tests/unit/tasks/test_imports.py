"""Rooms of pictures, packs, faces and S3 load neither the ORM nor the orchestrator."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LIGHT_ROOMS = ("tasks/images", "tasks/packs", "tasks/faces", "tasks/s3")
PLAIN_MODULES = ("models.vocabulary", "models.errors", "models.keys", "models.packs")
UNWANTED = ("sqlalchemy", "sqlmodel", "prefect")


def name_modules(folder: str) -> list[str]:
    """The dotted names of a folder's modules."""
    return [f"{folder}/{file.stem}".replace("/", ".") for file in (ROOT / folder).glob("[!_]*.py")]


@pytest.mark.parametrize(
    "modules",
    [*map(name_modules, LIGHT_ROOMS), list(PLAIN_MODULES)],
    ids=[*LIGHT_ROOMS, "models"],
)
def test_neither_the_orm_nor_the_orchestrator_is_loaded(modules: list[str]) -> None:
    assert modules
    program = (
        f"import sys, {', '.join(modules)}; print(*sorted(set({UNWANTED}) & set(sys.modules)))"
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
