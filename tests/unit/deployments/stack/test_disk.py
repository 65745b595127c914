"""A full disk is said in one sentence that names the folder and the way out."""

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from deployments.stack import home
from deployments.stack.home import StackHome
from models.errors import StackError


def leave(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(home, "read_free", lambda _folder: free)


def test_a_start_is_refused_with_the_folder_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, home.MIB)
    with pytest.raises(home.DiskFullError) as caught:
        home.require_start(tmp_path)
    assert str(caught.value) == (
        f"The disk of {tmp_path} is full: 1.0 MiB are free, a start needs 48 MiB. "
        "Free some space there, or set FACEPASS_HOME to a folder on another disk."
    )


def test_who_must_delete_photos_to_make_room_can_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, 60 * home.MIB)
    home.require_database(tmp_path, tmp_path / "sockets", is_new=False)
    with pytest.raises(home.DiskFullError, match="needs 300 MiB"):
        home.require_database(tmp_path, tmp_path / "sockets", is_new=True)


def test_a_full_folder_for_sockets_has_its_own_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sockets = tmp_path / "tmp" / "sockets"
    monkeypatch.setattr(home, "read_free", lambda folder: 0 if folder == sockets.parent else 2**40)
    with pytest.raises(home.DiskFullError, match=r"tmp is full: .*, or set TMPDIR to a folder"):
        home.require_database(tmp_path, sockets, is_new=False)


def test_the_room_of_a_folder_that_is_not_there_is_that_above(tmp_path: Path) -> None:
    assert home.read_free(tmp_path / "not" / "there") > 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_refused_write_is_no_traceback(tmp_path: Path, number: int) -> None:
    said = pytest.raises(home.DiskFullError, match="or your share of it is used up")
    with said, home.explain_failures(tmp_path):
        raise OSError(number, "no", str(tmp_path / "file"))


def test_another_refusal_names_the_setting(tmp_path: Path) -> None:
    said = pytest.raises(StackError, match=r"^FACEPASS_HOME cannot be used: ")
    with said, home.explain_failures(tmp_path):
        raise PermissionError(errno.EACCES, "no", str(tmp_path / "logs"))


def test_what_is_no_files_error_passes(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), home.explain_failures(tmp_path):
        raise BrokenPipeError(errno.EPIPE, "closed")


@pytest.mark.parametrize(("free", "said"), [(0, "is full: 0.0 MiB"), (2**40, "ended with code 1")])
def test_a_death_on_a_full_disk_begins_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, said: str
) -> None:
    leave(monkeypatch, free)
    with pytest.raises(StackError) as caught, home.explain_failures(tmp_path):
        raise StackError("PostgreSQL ended with code 1.")
    first, *_rest = str(caught.value).splitlines()
    assert said in first
    assert str(caught.value).endswith("PostgreSQL ended with code 1.")


def test_a_running_stack_says_each_news_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "LOOK_EVERY_S", 0.0)
    watch = home.watch_disk(tmp_path)
    said = []
    for free in (500, 100, 90, 30, 20, 90, 500, 500):
        leave(monkeypatch, free * home.MIB)
        if news := next(watch):
            said.append(news)
    states = [" is nearly full: 100 MiB", " is full: 30 MiB", " has room again: 500 MiB"]
    assert len(said) == len(states)
    assert all(state in sentence for state, sentence in zip(states, said, strict=True))


def test_the_embedded_s3_counts_a_share_of_the_disk_as_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, 2000 * home.MIB)
    usage = SimpleNamespace(total=400_000 * home.MIB)
    monkeypatch.setattr(home.shutil, "disk_usage", lambda _folder: usage)
    assert home.measure_room(tmp_path) is home.Room.ENOUGH
    (tmp_path / "s3").mkdir()
    assert home.measure_room(tmp_path) is home.Room.NONE
    said = home.describe_shortage(tmp_path, home.Room.NONE)
    assert "2000 MiB are free. S3 takes no photos below 4000 MiB, and PostgreSQL" in said


def test_a_home_that_cannot_be_made_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(home.DiskFullError, match=f"The disk of {tmp_path}/home is full"):
        StackHome(tmp_path / "home").hold()
