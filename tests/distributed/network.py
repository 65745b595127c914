"""Machines made of Linux namespaces: networks of their own on one switch, processes of their own.

No name is given to anything, so the kernel takes all of it away with the last process in it: also
after a kill of the tests. The network of the machine underneath stays as it is.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from deployments.stack.process import collect_descendants, die_with_parent
from tests.support.waiting import wait_until

SUBNET = "10.211.97"
SWITCH_ADDRESS = f"{SUBNET}.1"
CLONE_NEWNET = 0x40000000
GONE_S = 30  # the kernel needs milliseconds, and more of them where cores are few
_LIBC = ctypes.CDLL(None, use_errno=True)


def explain_absence() -> str | None:
    """Why there can be no namespaces here, in words; None where there can."""
    if sys.platform != "linux":
        return "machines of namespaces need Linux"
    if os.geteuid() != 0:
        return "machines of namespaces need root"
    for program, package in (("ip", "iproute2"), ("unshare", "util-linux")):
        if shutil.which(program) is None:
            return f"`{program}` is missing: apt-get install {package}"
    tried = subprocess.run(
        ["unshare", "--net", "--pid", "--fork", "--mount-proc", "ip", "link", "set", "lo", "up"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no namespaces here: {tried.stderr.strip()}" if tried.returncode else None


@contextmanager
def enter_network(pid: int) -> Iterator[None]:
    """This thread in the network of a process: what it opens or starts meanwhile stays there."""
    with (
        Path("/proc/thread-self/ns/net").open("rb") as own,
        Path(f"/proc/{pid}/ns/net").open("rb") as other,
    ):
        _set_network(other.fileno())
        try:
            yield
        finally:
            _set_network(own.fileno())


def _set_network(descriptor: int) -> None:
    if _LIBC.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns failed")


class Network:
    """A network namespace, there as long as the process that holds it."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sleep", "infinity"], preexec_fn=_die_with_tests
        )
        self.pid = self._holder.pid
        own = Path("/proc/self/ns/net").readlink()
        deadline = time.monotonic() + 30
        while Path(f"/proc/{self.pid}/ns/net").readlink() == own:
            assert time.monotonic() < deadline, "unshare made no network"
            time.sleep(0.01)
        self.run_ip("link", "set", "lo", "up")

    def run_ip(self, *words: str) -> None:
        """Run `ip` inside."""
        with enter_network(self.pid):
            subprocess.run(["ip", *words], check=True)

    def close(self) -> None:
        """End it; its links go with it."""
        self._holder.kill()
        self._holder.wait()


class Switch(Network):
    """The network in which machines meet; this machine's servers are reached at its address."""

    def __init__(self) -> None:
        super().__init__()
        self.run_ip("link", "add", "switch", "type", "bridge")
        self.run_ip("address", "add", f"{SWITCH_ADDRESS}/24", "dev", "switch")
        self.run_ip("link", "set", "switch", "up")


class Machine(Network):
    """A machine: an address, a cable to the switch, and processes that die together."""

    def __init__(self, switch: Switch, number: int, folder: Path) -> None:
        super().__init__()
        self.name = f"machine-{number}"
        self.address = f"{SUBNET}.{number + 10}"
        self.folder = folder / self.name
        self.folder.mkdir()
        self.log = self.folder / "log"
        self._switch, self._cable = switch, f"cable{number}"
        self._processes: list[subprocess.Popen[bytes]] = []
        peer = ("peer", "name", "eth0", "netns", str(self.pid))
        switch.run_ip("link", "add", self._cable, "type", "veth", *peer)
        switch.run_ip("link", "set", self._cable, "master", "switch")
        self.run_ip("address", "add", f"{self.address}/24", "dev", "eth0")
        self.run_ip("link", "set", "eth0", "up")
        self.plug()

    def start(self, command: Sequence[str], env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        """Start a program; all that it starts dies with it, whatever session that is in."""
        alone = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
        with enter_network(self.pid), self.log.open("ab") as log:
            process = subprocess.Popen(
                [*alone, *command],
                cwd=Path(__file__).parents[2],
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_tests,
            )
        self._processes.append(process)
        return process

    def unplug(self) -> None:
        """Pull the cable: nothing arrives and nothing is refused, packets are lost."""
        self._switch.run_ip("link", "set", self._cable, "down")

    def plug(self) -> None:
        """Put the cable back."""
        self._switch.run_ip("link", "set", self._cable, "up")

    def power_off(self) -> None:
        """Every process is killed, none says goodbye to anybody, and none is left at the return."""
        self.unplug()
        below = [child for own in self._processes for child in collect_descendants(own.pid)]
        for process in self._processes:
            process.kill()
            process.wait()
        # `unshare` ends first, and the kernel kills what is below it only then.
        wait_until(lambda: not any(map(_is_alive, below)), GONE_S)

    def close(self) -> None:
        """End everything."""
        self.power_off()
        super().close()


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _die_with_tests() -> None:
    die_with_parent(signal.SIGKILL)
