"""Migrations: one line of revisions, however many people add to it."""

import re
from pathlib import Path

from alembic.script import ScriptDirectory

from models.migrate import build_alembic_config, read_heads


def test_there_is_exactly_one_head() -> None:
    assert len(read_heads()) == 1


def test_every_revision_follows_one_other_down_to_a_single_base() -> None:
    script = ScriptDirectory.from_config(build_alembic_config())
    revisions = list(script.walk_revisions())
    assert len(script.get_bases()) == 1
    assert all(isinstance(item.down_revision, str | None) for item in revisions)
    assert all(item.doc for item in revisions)


def test_a_file_is_named_by_its_revision() -> None:
    script = ScriptDirectory.from_config(build_alembic_config())
    for item in script.walk_revisions():
        assert re.fullmatch(rf"{item.revision}_[a-z0-9_]+", Path(item.path).stem)
