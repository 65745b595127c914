"""Ports: a taken one is named before anything starts."""

import socket
from collections.abc import Iterator

import pytest

from deployments.stack.ports import PublicPort, is_port_free, pick_free_ports, settle_ports
from models.errors import StackError


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def name_port(port: int, label: str = "Prefect") -> PublicPort:
    return PublicPort(label, f"FACEPASS_{label.upper()}_PORT", "127.0.0.1", port)


def test_a_taken_port_gets_one_sentence_with_the_way_out(taken: int) -> None:
    with pytest.raises(StackError) as caught:
        settle_ports([name_port(taken)])
    assert str(caught.value) == (
        f"Port {taken} (Prefect) is taken: stop what uses it, or set FACEPASS_PREFECT_PORT."
    )


def test_a_port_set_twice_is_refused() -> None:
    free = pick_free_ports(1)[0]
    with pytest.raises(StackError, match="set twice"):
        settle_ports([name_port(free), name_port(free, "S3")])


def test_a_foreign_address_is_refused_with_its_setting() -> None:
    with pytest.raises(StackError, match=r"no address 203\.0\.113\.1: correct FACEPASS_API_HOST"):
        settle_ports([PublicPort("API", "FACEPASS_API_PORT", "203.0.113.1", 8000)])


def test_zero_takes_free_ports_that_differ() -> None:
    settled = settle_ports([name_port(0), name_port(0, "S3"), name_port(0, "API")])
    assert len(set(settled.values())) == 3
    assert all(is_port_free(port) for port in settled.values())


def test_offset_ports_are_free_as_well() -> None:
    port = pick_free_ports(1, among=range(12_000, 20_000), also_at=10_000)[0]
    assert is_port_free(port)
    assert is_port_free(port + 10_000)
