"""Functions that choose free ports and report ports that are taken, before anything starts."""

import errno
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

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
    pairs = ((port, {port, port + also_at}) for port in candidates)
    free = (port for port, pair in pairs if pair.isdisjoint(taken) and all(map(is_port_free, pair)))
    chosen = list(islice(free, count))
    if len(chosen) < count:
        raise StackError(f"No {count} free ports between {among.start} and {among.stop}.")
    return chosen


def settle_ports(wanted: Sequence[PublicPort]) -> dict[str, int]:
    """The port for each setting. Raises StackError with one sentence for a port that is taken."""
    settled: dict[str, int] = {}
    for one in sorted(wanted, key=lambda one: not one.port):  # free ones are chosen last
        if not one.port:
            settled[one.setting] = pick_free_ports(1, taken=list(settled.values()))[0]
            continue
        title = f"Port {one.port} ({one.label})"
        if one.port in settled.values():
            raise StackError(f"{title} is set twice: change {one.setting}.")
        try:
            is_free = is_port_free(one.port, one.host)
        except (OSError, OverflowError) as error:
            if isinstance(error, OSError) and error.errno == errno.EADDRNOTAVAIL:
                raise StackError(
                    f"This machine has no address {one.host}: correct FACEPASS_API_HOST."
                ) from error
            raise StackError(
                f"{title} cannot be used on {one.host} ({error}): set {one.setting}."
            ) from error
        if not is_free:
            raise StackError(f"{title} is taken: stop what uses it, or set {one.setting}.")
        settled[one.setting] = one.port
    return settled
