"""Functions that bring a link to a phone: its QR code in a terminal, and this machine's address.

`is_local` tells a link that only this computer can open from one that other devices can.
"""

import io
import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

QUIET_ZONE = 2  # modules; the standard asks for 4 on paper, cameras read a screen with 2
# Networks that routers give out; other addresses belong to a VPN or to the public Internet.
HOME_NETWORKS = tuple(map(ipaddress.ip_network, ("192.168.0.0/16", "10.0.0.0/8", "172.16.0.0/12")))
# Interfaces of containers, virtual machines and tunnels: no phone is in their networks.
VIRTUAL = ("br-", "docker", "lxc", "lxdbr", "podman", "tailscale", "tun", "utun", "veth", "virbr")


def draw_qr(text: str) -> str:
    """A QR code of the text for a terminal, two rows of it in a line.

    Light modules are drawn and dark ones are left out: right on a dark background, inverted on a
    light one, and today's cameras read both.
    """
    import segno

    drawn = io.StringIO()
    # UTF-8 is what phones take for granted; for a Cyrillic host segno would choose another.
    code = segno.make_qr(text, error="l", boost_error=False, encoding="utf-8")
    code.terminal(drawn, border=QUIET_ZONE, compact=True)
    return drawn.getvalue().rstrip("\n")


def is_local(url: str) -> bool:
    """Whether a link works on this computer only."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)


def find_lan_address() -> str | None:
    """The IPv4 address under which devices of the same network reach this machine; None: none."""
    import psutil

    states = psutil.net_if_stats()
    found = [
        address.address
        for name, addresses in psutil.net_if_addrs().items()
        if name in states and states[name].isup and not name.startswith(VIRTUAL)
        for address in addresses
        if address.family is socket.AF_INET
    ]
    return choose_address(found, find_outgoing_address())


def choose_address(found: Iterable[str], outgoing: str | None) -> str | None:
    """The address to show: the default route's, then a home network's, then any other."""
    usable = [one for one in found if not is_local(f"http://{one}")]
    # 169.254.x.x: an address that the machine gave itself, for want of a router.
    usable.sort(key=lambda one: (ipaddress.ip_address(one).is_link_local, _rank(one)))
    return outgoing if outgoing in usable else next(iter(usable), None)


def find_outgoing_address() -> str | None:
    """The address from which this machine reaches the Internet, if it has a way there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: the system only chooses a route
        except OSError:
            return None
        return str(probe.getsockname()[0])


def _rank(address: str) -> int:
    parsed = ipaddress.ip_address(address)
    inside = (place for place, network in enumerate(HOME_NETWORKS) if parsed in network)
    return next(inside, len(HOME_NETWORKS))
