"""Functions that choose free ports and report ports that are taken, before anything starts."""

import errno
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from models.errors import StackError

# Below the range from which systems take outgoing connections' ports, so that a port chosen
# today is not by chance in use tomorrow.
INTERNAL_PORTS = range(20_000, 32_000)


@dataclass(frozen=True)
class PublicPort:
    """A port that people use; 0 means a free one."""

    label: str
    setting: str
    host: str
    port: int


def is_port_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether nobody listens there. Raises OSError for anything but a taken port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Without it a port counts as taken for a minute after its last connection.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def pick_free_ports(
    count: int, taken: Sequence[int] = (), among: range = INTERNAL_PORTS, also_at: int = 0
) -> list[int]:
    """`count` different free ports of 127.0.0.1; with `also_at`, port + also_at is free as well."""
    # No secret is made here: ports only have to differ between stacks.
    candidates = random.sample(among, min(len(among), 2000))
    chosen: list[int] = []
    for port in candidates:
        if len(chosen) == count:
            break
        wanted = {port, port + also_at}
        if not wanted & set(taken) and all(is_port_free(one) for one in wanted):
            chosen.append(port)
    if len(chosen) < count:
        raise StackError(f"No {count} free ports between {among.start} and {among.stop}.")
    return chosen


def settle_ports(wanted: Sequence[PublicPort]) -> dict[str, int]:
    """The port for each setting. Raises StackError with one sentence for a port that is taken."""
    settled: dict[str, int] = {}
    for one in wanted:
        if one.port:
            _require_free(one, settled)
            settled[one.setting] = one.port
    for one in wanted:
        if not one.port:
            settled[one.setting] = pick_free_ports(1, taken=list(settled.values()))[0]
    return settled


def _require_free(one: PublicPort, settled: dict[str, int]) -> None:
    if one.port in settled.values():
        raise StackError(f"Port {one.port} ({one.label}) is set twice: change {one.setting}.")
    try:
        free = is_port_free(one.port, one.host)
    except (OSError, OverflowError) as error:
        raise StackError(
            f"Port {one.port} ({one.label}) cannot be used on {one.host} ({error}): "
            f"set {one.setting}."
        ) from error
    if not free:
        raise StackError(
            f"Port {one.port} ({one.label}) is taken: stop what uses it, or set {one.setting}."
        )
