"""PostgreSQL's surroundings: socket folder, ancestors, leftovers."""

import os
import stat
import tempfile
from pathlib import Path

import pytest

from deployments.stack import postgres
from deployments.stack.process import Identity
from models.errors import StackError


def test_socket_folders_differ_by_home_and_stay_short(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 200)
    first, second = (postgres.name_socket_folder(home, None) for home in (tmp_path, deep))
    assert first != second
    assert len(str(second / ".s.PGSQL.5432")) <= postgres.MAX_SOCKET_PATH


def test_a_long_temporary_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", "/" + "t" * 120)
    with pytest.raises(StackError, match="too long for PostgreSQL's socket: set TMPDIR"):
        postgres.name_socket_folder(tmp_path, None)


def test_a_runtime_folder_of_another_user_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = Path(tempfile.gettempdir(), "run")  # short, as the real one is; never made
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setattr(os, "access", lambda *_: True)
    assert postgres.name_socket_folder(tmp_path, None).parent == runtime
    # What `su` leaves behind: the name of a folder that this user may not write to.
    monkeypatch.setattr(os, "access", lambda *_: False)
    folder = postgres.name_socket_folder(tmp_path, None)
    assert folder.parent == Path(tempfile.gettempdir())


def test_ancestors_get_passage_and_nothing_else(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    open_one = closed / "open"
    open_one.mkdir(mode=0o755)
    stranger = Identity(uid=12_345, gid=12_345, name="stranger")
    before = {folder: folder.stat().st_mode for folder in closed.parents}
    try:
        said = postgres.open_ancestors(open_one / "postgres", stranger)
        assert stat.S_IMODE(closed.stat().st_mode) == 0o701
        assert stat.S_IMODE(open_one.stat().st_mode) == 0o755
        assert len(said) == 1
        assert "stranger" in said[0]
        assert str(closed) in said[0]
        assert postgres.open_ancestors(open_one / "postgres", stranger) == []
    finally:
        for folder, mode in before.items():
            if folder.stat().st_mode != mode:
                folder.chmod(stat.S_IMODE(mode))


def test_a_project_below_a_private_folder_lets_postgresqls_user_reach_its_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_require_runnable", lambda _cluster: None)
    monkeypatch.setattr(os, "chown", lambda *_, **__: None)  # for users that are not root
    programs = tmp_path / "private" / ".venv" / "bin"
    programs.mkdir(parents=True)
    (tmp_path / "private").chmod(0o700)
    modes = {folder: stat.S_IMODE(folder.stat().st_mode) for folder in tmp_path.parents}
    ours = {folder: mode for folder, mode in modes.items() if os.access(folder, os.W_OK)}
    stranger = Identity(uid=12_345, gid=12_345, name="stranger")
    cluster = postgres.PostgresCluster(tmp_path / "data", tmp_path / "sockets", programs, stranger)
    try:
        said = postgres.prepare_cluster(cluster)
    finally:
        for folder, mode in ours.items():
            folder.chmod(mode)
    assert str(tmp_path / "private") in " ".join(said)
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o701


def test_nothing_is_opened_for_a_normal_user(tmp_path: Path) -> None:
    assert postgres.open_ancestors(tmp_path / "closed" / "postgres", None) == []


def test_a_stale_pid_file_with_a_living_pid_does_not_stop_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_require_runnable", lambda _cluster: None)
    data = tmp_path / "postgres"
    data.mkdir()
    (data / "PG_VERSION").write_text("18\n")
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n")
    cluster = postgres.PostgresCluster(data, tmp_path / "sockets", tmp_path, None)
    assert postgres.prepare_cluster(cluster) == []
    assert not (data / "postmaster.pid").exists()
    assert stat.S_IMODE(cluster.sockets.stat().st_mode) == 0o700


def test_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_require_runnable", lambda _cluster: None)
    data = tmp_path / "postgres"
    data.mkdir()
    (data / "PG_VERSION").write_text("16\n")
    cluster = postgres.PostgresCluster(data, tmp_path / "sockets", tmp_path, None)
    with pytest.raises(StackError, match="made by PostgreSQL 16, this is 18"):
        postgres.prepare_cluster(cluster)


def test_a_symlink_in_the_place_of_the_socket_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_require_runnable", lambda _cluster: None)
    (tmp_path / "target").mkdir()
    (tmp_path / "sockets").symlink_to(tmp_path / "target")
    cluster = postgres.PostgresCluster(tmp_path / "postgres", tmp_path / "sockets", tmp_path, None)
    with pytest.raises(StackError, match="is not this stack's"):
        postgres.prepare_cluster(cluster)
