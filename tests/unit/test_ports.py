"""Ports are kept from choosers and callers until their server listens, and between its lives."""

import socket
from pathlib import Path

import pytest

from hakika.store import ports
from hakika.store.ports import HOST, PORTS, HeldPorts, NoPort, is_free


def listen(port: int) -> socket.socket:
    """As a server does that sets SO_REUSEADDR."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((HOST, port))
    server.listen()
    return server


def test_ports_are_not_those_of_callers() -> None:
    """A port of the system's own range may be some connection's while the server is down."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert PORTS.stop <= lowest or lowest < 32_768, "this machine changed its range"
    held = HeldPorts()
    assert held.take() in PORTS
    held.release()


def test_a_held_port_is_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = HeldPorts(), HeldPorts()
    port = first.take()
    monkeypatch.setattr(ports, "PORTS", range(port, port + 1))
    with pytest.raises(NoPort, match=f"between {port} and {port}"):
        second.take()
    with pytest.raises(NoPort):
        first.take()  # nor ours twice
    first.release()
    assert second.take() == port
    second.release()


def test_its_server_listens_beside_and_again() -> None:
    held = HeldPorts()
    port = held.take()
    for _ in range(2):
        server = listen(port)
        with socket.create_connection((HOST, port)):
            assert not is_free(port)
        server.close()
    held.release()


def test_no_caller_gets_a_held_port() -> None:
    """Callers take even a port of their own range only where nobody is bound to it."""
    held = HeldPorts()
    port = held.take()
    with socket.socket() as caller, pytest.raises(OSError, match="in use"):
        caller.bind((HOST, port))
    held.release()


def test_a_known_port_is_taken_again_unless_someone_listens() -> None:
    held, other = HeldPorts(), HeldPorts()
    port = held.take()
    held.release()
    assert held.take(port) == port
    held.release()
    stranger = listen(port)
    assert other.take(port) != port
    stranger.close()
    other.release()
    held.release()


def test_two_names_that_knew_one_port_get_two() -> None:
    held = HeldPorts()
    port = held.take()
    assert held.take(port) != port
    held.release()
