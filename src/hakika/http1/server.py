"""Listens, and knows every connection.

When there are too many, the one that has asked nothing whole for longest makes room, so whoever asks is answered beside
a thousand who only connect (F9: slow heads and a small limit of descriptors).
"""

import asyncio
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus

from hakika import clock
from hakika.http1.arrived import Headers
from hakika.http1.connection import BODILESS, App, Connection

SWEEP_S = 0.5
CONNECTIONS_MAX = 4096
DESCRIPTORS_KEPT = 256  # for the database, files and calls of our own
CONNECTIONS_LEAST = 64
HEADS_KEPT = 64
BACKLOG = 1024


class Server:
    """Listens, and knows every connection. `listen` makes one."""

    def __init__(self, app: App, connections_max: int) -> None:
        self.app = app
        self._loop = asyncio.get_running_loop()
        self.now_s: Callable[[], float] = self._loop.time
        self.waiting: dict[Connection, None] = {}  # those of which nothing whole is asked, longest first
        self.closing = False
        self._connections: set[Connection] = set()
        self._connections_max = connections_max
        self._heads: dict[tuple[int, str], bytes] = {}
        self._dated_ms = 0
        self._date = b""
        self._listener: asyncio.Server | None = None
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._connections)

    async def start(self, listening: socket.socket) -> None:
        """Accept connections on a bound socket."""
        self._listener = await self._loop.create_server(lambda: Connection(self), sock=listening, backlog=BACKLOG)
        self._sweep = self._loop.call_later(SWEEP_S, self._look)

    async def stop(self, within_s: float) -> None:
        """Accept no more, close what asks nothing, and after `within_s` everything."""
        self.closing = True
        if self._listener is not None:
            self._listener.close()
        for one in list(self._connections):
            one.close()
        ends_s = self.now_s() + within_s
        while self._connections and self.now_s() < ends_s:  # noqa: ASYNC110 - a few milliseconds, once
            await asyncio.sleep(0.005)
        if self._sweep is not None:
            self._sweep.cancel()
        for one in list(self._connections):
            one.abort()
        await asyncio.sleep(0)

    def opened(self, one: Connection) -> None:
        """A connection came."""
        self._connections.add(one)
        self.waiting[one] = None
        if len(self._connections) > self._connections_max:
            longest = next(iter(self.waiting))
            del self.waiting[longest]
            longest.abort()

    def closed(self, one: Connection) -> None:
        """A connection has gone."""
        self._connections.discard(one)
        self.waiting.pop(one, None)

    def head(self, status: int, content_type: str, headers: Headers, length: int) -> bytes:
        """The head of an answer, with Date (RFC 9110, 6.6.1). Raises ValueError for a header of several lines."""
        begin = self._heads.get((status, content_type))
        if begin is None:
            _one_line(content_type)
            line = f"HTTP/1.1 {status} {_phrase(status)}\r\n"
            begin = (line + (f"content-type: {content_type}\r\n" if status not in BODILESS else "")).encode("latin-1")
            if len(self._heads) < HEADS_KEPT:
                self._heads[status, content_type] = begin
        more = "".join([f"{_one_line(name)}: {_one_line(value)}\r\n" for name, value in headers]) if headers else ""
        size = b"" if status in BODILESS else b"content-length: %d\r\n" % length
        return b"".join((begin, size, self._dated(), more.encode("latin-1"), b"\r\n"))

    def _dated(self) -> bytes:
        now_ms = clock.now_ms()
        if now_ms // 1000 != self._dated_ms // 1000:
            self._dated_ms = now_ms
            self._date = f"date: {formatdate(now_ms // 1000, usegmt=True)}\r\n".encode()
        return self._date

    def _look(self) -> None:
        self._sweep = self._loop.call_later(SWEEP_S, self._look)
        now_s = self.now_s()
        for one in list(self._connections):
            one.look(now_s)


def _phrase(status: int) -> str:
    with suppress(ValueError):
        return HTTPStatus(status).phrase
    return ""


def _one_line(text: str) -> str:
    if "\r" in text or "\n" in text or "\0" in text:
        raise ValueError("a header is one line")
    return text


def _most_connections() -> int:
    """As many as there are descriptors for, beside those that are our own."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS_MAX if soft < 0 else max(CONNECTIONS_LEAST, min(CONNECTIONS_MAX, soft - DESCRIPTORS_KEPT))


async def listen(app: App, host: str, port: int, *, connections_max: int | None = None) -> tuple[Server, int]:
    """Serve `app` on the current event loop, and on which port (0 picks a free one). OSError when it is taken."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        server = Server(app, _most_connections() if connections_max is None else connections_max)
        await server.start(listening)
    except BaseException:
        listening.close()
        raise
    return server, int(listening.getsockname()[1])
