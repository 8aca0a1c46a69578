"""What the tests of `hakika.http1` share: both event loops, an application that tells what reached it, a client.

`serving` also sees to it that nothing is logged that the test does not take away, and that no connection stays.
"""

import asyncio
import functools
import inspect
import json
import logging
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop

from hakika.http1.arrived import Arrived, Gone, Headers
from hakika.http1.connection import App
from hakika.http1.server import Server, listen

HOST = "127.0.0.1"
TEST_S = 5.0
TIMER_S = 0.02  # timers of a loop count in milliseconds, of a time that it reads once a turn
KEEP_MAX = 1_000_000
PASS_MAX = 100_000_000

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def on_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on asyncio's own event loop and on uvloop, which is production's."""

    @functools.wraps(test)
    def run(loop_name: str, **given: Any) -> None:
        async def within() -> None:
            async with asyncio.timeout(TEST_S):
                await test(**given)

        with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
            runner.run(within())

    loop = inspect.Parameter("loop_name", inspect.Parameter.KEYWORD_ONLY)
    run.__dict__["__signature__"] = inspect.Signature([*inspect.signature(test).parameters.values(), loop])
    parametrized: Callable[..., None] = pytest.mark.parametrize("loop_name", LOOPS)(run)
    return parametrized


async def until(true: Callable[[], bool]) -> None:
    """Return once it is; the test's own time ends a wait for what never comes."""
    while not true():  # noqa: ASYNC110 - a condition of somebody else's
        await asyncio.sleep(0.002)


def now_s() -> float:
    """The event loop's time."""
    return asyncio.get_running_loop().time()


def ask(target: str = "/", *lines: str, method: str = "GET", version: str = "1.1", body: bytes = b"") -> bytes:
    """A request with a Host and these header lines, and with a Content-Length where there is a body."""
    length = [f"Content-Length: {len(body)}"] if body else []
    head = "\r\n".join([f"{method} {target} HTTP/{version}", "Host: a", *lines, *length, "", ""])
    return head.encode("latin-1") + body


def ask_chunked(target: str, *chunks: bytes, trailer: str = "") -> bytes:
    """A POST whose body comes in these chunks."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return ask(target, "Transfer-Encoding: chunked", method="POST") + body + b"0\r\n" + trailer.encode() + b"\r\n"


@dataclass(frozen=True)
class Answer:
    """One answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        """What the application saw of the request."""
        content: dict[str, Any] = json.loads(self.body)
        return content


def head_of(data: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers; no header twice."""
    first, *lines = data.decode("ascii").split("\r\n")
    assert first.startswith("HTTP/1.1 "), first
    headers = dict(line.split(": ", 1) for line in lines)
    assert len(headers) == len(lines)
    return int(first[9:12]), headers


def answers_in(data: bytes) -> list[Answer]:
    """Every answer of a connection, whole, and nothing beside them."""
    found = []
    while data:
        head, ended, rest = data.partition(b"\r\n\r\n")
        assert ended, data
        status, headers = head_of(head)
        size = int(headers.get("content-length", 0))
        assert len(rest) >= size, "an answer broke off"
        found.append(Answer(status, headers, rest[:size]))
        data = rest[size:]
    return found


class Echo:
    """Tells each caller what arrived of its request, unless `handlers` has another for the path."""

    def __init__(self) -> None:
        self.handlers: dict[str, App] = {}
        self.began: list[str] = []  # paths
        self.saw: list[tuple[str, str, bytes | None]] = []  # method, path and body of those that arrived whole
        self.gone: list[str] = []  # paths
        self.inside = self.most = 0

    async def __call__(self, arrived: Arrived) -> None:
        self.began.append(arrived.path)
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.handlers.get(arrived.path, self.echo)(arrived)
        except Gone:
            self.gone.append(arrived.path)
        finally:
            self.inside -= 1

    async def echo(self, arrived: Arrived) -> None:
        body = await arrived.body(KEEP_MAX, PASS_MAX)
        await asyncio.sleep(0)
        self.saw.append((arrived.method, arrived.path, body))
        content = {
            "method": arrived.method,
            "path": arrived.path,
            "query": arrived.query,
            "headers": arrived.headers,
            "size": None if body is None else len(body),
            "client": arrived.client,
        }
        arrived.respond(200, "application/json", (), json.dumps(content).encode())


def answering(status: int = 200, body: bytes = b"", headers: Headers = ()) -> App:
    """A handler that answers at once, whatever of the body is there."""

    async def handler(arrived: Arrived) -> None:
        arrived.respond(status, "text/plain", headers, body)

    return handler


class Gate:
    """A handler that answers once it is opened; `held` are those who wait."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.held = 0

    async def __call__(self, arrived: Arrived) -> None:
        self.held += 1
        await self.opened.wait()
        arrived.respond(200, "text/plain", (), b"opened")


class Client:
    """One connection, seen from the other side."""

    def __init__(self, sock: socket.socket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._sock = sock
        self.reader = reader
        self.writer = writer
        self.left = False

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def send_apart(self, *parts: bytes) -> None:
        """Write each by itself, with time for the server to read it by itself."""
        for part in parts:
            self.writer.write(part)
            for _ in range(3):
                await asyncio.sleep(0)

    async def answer(self) -> Answer:
        """The next answer."""
        status, headers = head_of((await self.reader.readuntil(b"\r\n\r\n"))[:-4])
        return Answer(status, headers, await self.reader.readexactly(int(headers.get("content-length", 0))))

    async def rest(self) -> bytes:
        """What still arrives until the server sends no more; ConnectionError where it broke off instead."""
        return await self.reader.read(-1)

    async def cut(self) -> bytes:
        """What still arrives until the connection ends, in whichever way."""
        got = b""
        with suppress(ConnectionError):
            while part := await self.reader.read(1_000_000):
                got += part
        return got

    def half_close(self) -> None:
        """Send no more, and go on reading."""
        self.writer.write_eof()

    def reset(self) -> None:
        """Leave without a word, as a process does that is killed with something unread."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        """Leave."""
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()
        self.left = True


class Logged(logging.Handler):
    """Everything logged as a warning or worse."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@dataclass
class Served:
    """A server that listens, its application and its clients."""

    server: Server
    port: int
    app: Echo
    logged: list[str]
    clients: list[Client] = field(default_factory=list)

    async def client(self, *, receive_bytes: int | None = None) -> Client:
        """A new connection; with `receive_bytes` it takes little of what it does not read."""
        sock = socket.socket()
        sock.setblocking(False)
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        await asyncio.get_running_loop().sock_connect(sock, (HOST, self.port))
        client = Client(sock, *await asyncio.open_connection(sock=sock))
        self.clients.append(client)
        return client

    async def exchange(self, *parts: bytes) -> list[Answer]:
        """All answers on a connection of its own, which the server must close."""
        client = await self.client()
        await client.send_apart(*parts)
        answers = answers_in(await client.rest())
        await client.close()
        return answers


@asynccontextmanager
async def serving(connections_max: int = 1000) -> AsyncIterator[Served]:
    """A server for one test."""
    app, logged = Echo(), Logged()
    server, port = await listen(app, HOST, 0, connections_max=connections_max)
    served = Served(server, port, app, logged.lines)
    logging.getLogger().addHandler(logged)
    try:
        yield served
        for client in served.clients:
            await client.close()
        await server.stop(0.05)
        await until(lambda: not server.connections)
    finally:
        logging.getLogger().removeHandler(logged)
        await server.stop(0)
        open_still = [client for client in served.clients if not client.left]
        for client in open_still:
            with suppress(AttributeError):  # asyncio's, where it has ended by itself
                client.writer.transport.abort()
        if open_still:
            await asyncio.sleep(0.01)
    assert not served.logged
