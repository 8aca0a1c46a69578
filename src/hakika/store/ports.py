"""Ports for servers of ours, kept from everybody else from the moment they are chosen.

A server listens seconds after its port was chosen, and again after each of its deaths. Meanwhile another server, or
a caller's connection, could be given the port. So whoever chooses a port keeps a socket bound to it that does not
listen: Linux then gives the port to no caller and to no other chooser, and still lets a server with SO_REUSEADDR
(PostgreSQL and asyncio set it) listen there.
"""

import os
import socket
import weakref

from hakika import clock

HOST = "127.0.0.1"
PORTS = range(20_000, 30_000)  # outside the range from which most systems take callers' ports
TRIES = 50


class NoPort(Exception):
    """No free port was found; the message says where."""


class HeldPorts:
    """Ports held by us until `release`, or until nobody has this object any more."""

    def __init__(self) -> None:
        self._held: dict[int, int] = {}  # port -> descriptor of the socket bound to it
        weakref.finalize(self, _close, self._held)

    def take(self, known: int | None = None) -> int:
        """`known` where a server could listen there now, else another port; never one of those held. Raises NoPort."""
        if known is not None and self._hold(known, exclusive=False):
            return known
        for _ in range(TRIES):
            port = PORTS[int.from_bytes(clock.secret_bytes(4), "big") % len(PORTS)]
            if self._hold(port, exclusive=True):
                return port
        between = f"{PORTS.start} and {PORTS.stop - 1}"
        raise NoPort(f"no free port between {between}: stop what listens there, then start again")

    def release(self) -> None:
        """Let every port go; idempotent."""
        _close(self._held)

    def _hold(self, port: int, *, exclusive: bool) -> bool:
        """Bind to it. `exclusive`: not where another one holds it, nor where connections linger."""
        if port in self._held:
            return False
        keeper = socket.socket()
        try:
            if not exclusive:  # connections of the server before us may linger in TIME_WAIT
                keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            keeper.bind((HOST, port))
            keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the server itself may
        except OSError:
            keeper.close()
            return False
        self._held[port] = keeper.detach()
        return True


def _close(held: dict[int, int]) -> None:
    while held:
        os.close(held.popitem()[1])


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
        except OSError:
            return False
    return True
