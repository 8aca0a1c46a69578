"""A lean HTTP/1.1 client for the two calls that every transfer makes: to the core, and to its bank (docs/adr/0014).

One address, a few kept connections, one exchange on each at a time; h11 speaks the protocol. What a caller of money has
to know is told apart by the type of failure: `NothingWritten` while not one byte of the request has been handed to a
connection, `Unanswered` from then on. No redirects, no proxies, no decompression; an answer has a largest size.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

import h11

from hakika import clock

KEPT_S = 4.0  # machine timer: a connection that idled for longer is not used again, its far side may be closing it
READ_BYTES = 65_536
BODY_MAX = 16_000_000


class NothingWritten(Exception):
    """Not one byte of the request left: no connection in time."""


class Unanswered(Exception):
    """Something was written, and no whole answer came."""


class Answer(NamedTuple):
    """A whole answer, whatever its status."""

    status: int
    body: bytes


class _Connection:
    """One connection, between exchanges or in one."""

    __slots__ = ("idle_since_s", "protocol", "reader", "writer")

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.protocol = h11.Connection(h11.CLIENT)
        self.idle_since_s = 0.0

    def usable(self) -> bool:
        """Kept, and as far as can be seen still open."""
        fresh = clock.monotonic_s() - self.idle_since_s <= KEPT_S
        return fresh and not self.reader.at_eof() and not self.writer.is_closing()

    def drop(self) -> None:
        """Close at once; what is not written yet is not written any more."""
        self.writer.transport.abort()


class LeanClient:
    """Exchanges with one address, at most `connections` at once; who waits for one in vain has written nothing."""

    def __init__(self, base_url: str, *, connections: int, headers: Sequence[tuple[str, str]] = ()) -> None:
        """`base_url` is http or https; a path in it goes before every path. `headers` go with each request."""
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not an address of a server: {base_url!r}")
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._prefix = parts.path.rstrip("/")
        self._query = f"?{parts.query}" if parts.query else ""
        self._headers = [("Host", parts.netloc.rpartition("@")[2]), *headers]
        self._permits = asyncio.Semaphore(connections)
        self._kept: deque[_Connection] = deque()

    async def close(self) -> None:
        """Close what is kept."""
        while self._kept:
            self._kept.pop().drop()

    async def exchange(
        self, method: str, path: str, body: bytes, *, deadline_s: float, headers: Sequence[tuple[str, str]] = ()
    ) -> Answer:
        """One request and its whole answer within `deadline_s` seconds. Raises NothingWritten or Unanswered."""
        connection: _Connection | None = None
        written = False
        try:
            async with asyncio.timeout(deadline_s), self._permits:
                connection = self._known() or await self._connected()
                request = self._request(connection.protocol, method, path, body, headers)
                written = True
                connection.writer.write(request)
                answer = await _answer(connection)
                self._keep(connection)
                connection = None
                return answer
        except (OSError, TimeoutError, h11.ProtocolError, EOFError) as error:
            kind = Unanswered if written else NothingWritten
            raise kind(f"{path}: {type(error).__name__}") from error
        finally:
            if connection is not None:
                connection.drop()

    def _known(self) -> _Connection | None:
        """The connection used last that is still good; others are closed on the way."""
        while self._kept:
            connection = self._kept.pop()
            if connection.usable():
                return connection
            connection.drop()
        return None

    async def _connected(self) -> _Connection:
        return _Connection(*await asyncio.open_connection(self._host, self._port, ssl=self._tls))

    def _request(
        self, protocol: h11.Connection, method: str, path: str, body: bytes, headers: Sequence[tuple[str, str]]
    ) -> bytes:
        sized = [*self._headers, *headers, ("Content-Length", str(len(body)))]
        target = f"{self._prefix}{path}{self._query}" or "/"
        head = protocol.send(h11.Request(method=method, target=target, headers=sized))
        data = protocol.send(h11.Data(body)) if body else b""
        end = protocol.send(h11.EndOfMessage())
        return b"".join((head or b"", data or b"", end or b""))

    def _keep(self, connection: _Connection) -> None:
        """For the next exchange, where both sides have said everything; else it is closed."""
        protocol = connection.protocol
        if protocol.our_state is not h11.DONE or protocol.their_state is not h11.DONE:
            connection.drop()
            return
        protocol.start_next_cycle()
        connection.idle_since_s = clock.monotonic_s()
        self._kept.append(connection)


async def _answer(connection: _Connection) -> Answer:
    """Read until the answer is whole; EOFError where it ends early, h11's own error where it is none."""
    protocol, status, parts, size = connection.protocol, 0, list[bytes](), 0
    while True:
        event = protocol.next_event()
        if event is h11.NEED_DATA:
            data = await connection.reader.read(READ_BYTES)
            if not data and protocol.their_state is h11.SEND_RESPONSE:
                raise EOFError("closed before an answer")
            protocol.receive_data(data)
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            parts.append(bytes(event.data))
            size += len(event.data)
            if size > BODY_MAX:
                raise h11.RemoteProtocolError("an answer without end")
        elif isinstance(event, h11.EndOfMessage):
            return Answer(status, b"".join(parts))
        elif not isinstance(event, h11.InformationalResponse):
            raise EOFError("closed before the answer was whole")
