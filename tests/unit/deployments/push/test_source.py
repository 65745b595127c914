"""A folder's source: its own, kept in the folder, whatever the folder is called later."""

import json
from pathlib import Path

import pytest

from deployments.push import folder as module
from deployments.push.folder import MARKER, Source, find_source
from models.errors import PushRefusedError


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def test_two_cards_of_one_name_are_two_sources(tmp_path: Path) -> None:
    first, second = make(tmp_path / "a" / "DCIM"), make(tmp_path / "b" / "DCIM")
    sources = find_source(first, None), find_source(second, None)
    assert sources[0] != sources[1]
    assert all(source.name.startswith("DCIM-") for source in sources)
    # The next push of each is the same source again, and nothing else was written.
    assert (find_source(first, None), find_source(second, None)) == sources
    assert [path.name for path in first.iterdir()] == [MARKER]


def test_a_folder_that_is_called_something_else_now_is_known_and_says_so(tmp_path: Path) -> None:
    folder = make(tmp_path / "Карта Анны")
    before = find_source(folder, None)
    moved = folder.rename(tmp_path / "Отобранное")
    assert find_source(moved, None) == Source(before.name, called_before="Карта Анны")


def test_of_two_first_pushes_at_once_both_have_one_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = module.os.link

    def be_late(new: Path, marker: Path) -> None:
        marker.write_text(json.dumps({"id": "0123abcd", "label": tmp_path.name}))
        link(new, marker)

    monkeypatch.setattr(module.os, "link", be_late)
    assert find_source(tmp_path, None).name == f"{tmp_path.name}-0123abcd"
    assert [path.name for path in tmp_path.iterdir()] == [MARKER]


def test_a_card_whose_file_system_knows_no_links_gets_its_marker_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(module.os, "link", refuse)
    assert find_source(tmp_path, None) == find_source(tmp_path, None)


def test_a_folder_that_cannot_be_written_to_asks_for_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(PushRefusedError, match=r"Read-only file system.*--source NAME"):
        find_source(tmp_path, None)
    assert find_source(tmp_path, "камера-2") == Source("камера-2")


@pytest.mark.parametrize("content", ["", "[]", '{"id": "x/../y", "label": "a"}', '{"id": "0a"}'])
def test_a_damaged_marker_is_told_not_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / MARKER).write_text(content)
    with pytest.raises(PushRefusedError, match="is damaged"):
        find_source(tmp_path, None)
    assert (tmp_path / MARKER).read_text() == content


@pytest.mark.parametrize("name", ["", " ", "a/b", "..", ".", "a\nb", "ж" * 51])
def test_a_source_is_one_short_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(PushRefusedError, match="--source must be one short name"):
        find_source(tmp_path, name)


def test_a_folders_long_or_strange_name_is_still_a_name(tmp_path: Path) -> None:
    for name in ("ж" * 120, "день\n2", "е\u0308лка"):
        source = find_source(make(tmp_path / name), None).name
        assert source.isprintable()
        assert len(source.encode()) <= 109
    assert source.startswith("ёлка-")
