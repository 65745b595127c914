"""The home folder: its lock, its files' modes, and leftovers of a killed stack."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.stack.home import StackHome
from deployments.stack.process import MARK, Part, die_with_parent
from models.errors import StackError


def test_values_survive_a_shell(tmp_path: Path) -> None:
    home = StackHome(tmp_path / "a folder")
    home.hold()
    hard = 'it\'s a "value" with $HOME, spaces & ünïcode'
    home.write_environment(
        {"FACEPASS_HARD": hard, "FACEPASS_PLAIN": "http://127.0.0.1:1/api"}, {"PUSH": "only"}
    )
    command = 'set -a; . "$1"; printenv FACEPASS_HARD FACEPASS_PLAIN'
    shown = subprocess.run(
        ["bash", "-c", command, "bash", home.env_file], capture_output=True, text=True, check=True
    )
    assert shown.stdout.splitlines() == [hard, "http://127.0.0.1:1/api"]
    files = (home.env_file, home.push_env_file)
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]
    assert home.push_env_file.read_text() == "PUSH=only\n"
    home.clear()
    assert [file for file in files if file.exists()] == []
    home.release()


def test_a_home_has_one_stack_at_a_time(tmp_path: Path) -> None:
    first, second = StackHome(tmp_path), StackHome(tmp_path)
    first.hold()
    with pytest.raises(StackError, match=r"^A stack already runs in .*: stop it, or set"):
        second.hold()
    first.release()
    second.hold()
    second.release()


def test_leftovers_are_ended_and_named_and_strangers_are_not(tmp_path: Path) -> None:
    killed = StackHome(tmp_path)
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    part = Part("worker", sleeper, {MARK: killed.mark}, tmp_path / "worker.log")
    part.start()
    flow_run = subprocess.Popen(sleeper, env={MARK: killed.mark}, preexec_fn=die_with_parent)
    stranger = subprocess.Popen(sleeper, env={MARK: "other"}, preexec_fn=die_with_parent)
    killed.record([part])
    try:
        ended = StackHome(tmp_path).sweep()
        assert len(ended) == 2
        assert ended[0].startswith("worker (pid ")
        assert not part.is_running
        assert flow_run.poll() is not None
        assert stranger.poll() is None
        assert StackHome(tmp_path).sweep() == []
    finally:
        stranger.kill()
        stranger.wait()


def test_a_reused_pid_is_let_alone(tmp_path: Path) -> None:
    home = StackHome(tmp_path)
    stranger = subprocess.Popen(["sleep", "60"], preexec_fn=die_with_parent)
    entry = f'{{"name": "worker", "pid": {stranger.pid}, "created": 1.0}}'
    home.process_file.write_text(f'{{"mark": "{home.mark}", "processes": [{entry}]}}')
    try:
        assert home.sweep() == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_dead_that_nobody_reaped_yet_are_not_called_leftovers(tmp_path: Path) -> None:
    home = StackHome(tmp_path)
    part = Part("worker", ["sleep", "60"], {MARK: home.mark}, tmp_path / "worker.log")
    part.start()
    home.record([part])
    assert part.process is not None
    os.kill(part.process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, part.process.pid, os.WEXITED | os.WNOWAIT)  # it ended, and stays a zombie
    assert StackHome(tmp_path).sweep() == []
    assert part.exit_code == -signal.SIGKILL
