"""The link between a role and its PostgreSQL: passes bytes on, or makes the database many times slower.

A slow database works and takes its time. So nothing is lost here: each exchange (what a client sends, until the
server says that it is ready for more) is timed, and the word that it is over is held back until `times` as long has
passed. Locks are held the longer for it, because the client's next statement comes so much later. There is one
database: what all connections owe is served one after the other, so its capacity falls as its speed does, and a
queue grows where more is wanted. It speaks to servers of ours, which are asked without TLS.
"""

import asyncio
import logging
import struct
from collections import Counter
from contextlib import suppress

from hakika import clock
from hakika.simulator.faults import FaultsRefused, Mode, Noise

HOST = "127.0.0.1"
CHUNK = 64 * 1024
CONNECT_S = 2.0
STOP_S = 1.0
HEAD = struct.Struct("!cI")  # a message of the server: its type, and its length without the type
READY = b"Z"  # ReadyForQuery: the exchange is over
TIMES_MAX = 1_000.0
# What is multiplied is what was measured, within bounds, so that the story is the same on every machine: at least the
# mean of a healthy core's exchanges on two cores; what takes longer than the most is a hiccup.
HEALTHY_MIN_S, HEALTHY_MAX_S = 0.0025, 0.05

log = logging.getLogger(__name__)


class Relay:
    """Listens on `port` of 127.0.0.1 (0 picks a free one) for a PostgreSQL that listens on `upstream_port`."""

    def __init__(self, name: str, upstream_port: int, *, port: int = 0) -> None:
        self.name = name
        self.upstream_port = upstream_port
        self.port = port
        self.mode = Mode.OPEN
        self.times = 1.0
        self.counts: Counter[str] = Counter()
        self.owed_s = 0.0  # how long answers have been held back in all
        self.crossed: dict[str, int] = {}  # as a proxy has them; no instruction is on this link
        self.swallowed: dict[str, int] = {}
        self._turn = asyncio.Lock()
        self._open: set[_Session] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; OSError where the port is taken."""
        self._server = await asyncio.start_server(self._accept, HOST, self.port, limit=CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for session in list(self._open):
            session.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_S)

    async def set_mode(self, mode: Mode) -> None:
        """Open, or slow with `times` as it was set. FaultsRefused for what happens to messages of HTTP alone."""
        if mode not in (Mode.OPEN, Mode.SLOW):
            raise FaultsRefused(f"{self.name}: a database's link is open or slow, not {mode.value}")
        self.mode = mode

    def set_noise(self, noise: Noise) -> None:
        """Faults by chance are of messages; there are none on this link."""

    @property
    def connections(self) -> int:
        """Client connections that stand now."""
        return len(self._open)

    async def owe(self, took_s: float) -> None:
        """Wait for what an exchange of `took_s` seconds owes, after everybody who came earlier."""
        if self.mode is not Mode.SLOW:
            return
        self.counts["answer.slow"] += 1
        async with self._turn:
            if self.mode is Mode.SLOW:  # else it was mended while this one waited
                owed_s = min(max(took_s, HEALTHY_MIN_S), HEALTHY_MAX_S) * (self.times - 1.0)
                self.owed_s += owed_s
                await asyncio.sleep(owed_s)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = _Session(self, reader, writer)
        self._open.add(session)
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        try:
            await session.run()
        finally:
            session.close()
            self._open.discard(session)
            if task is not None:
                self._tasks.discard(task)


class _Session:
    """One client's connection: bytes up as they come, messages down, the last of each exchange in its time."""

    def __init__(self, link: Relay, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._link = link
        self._reader = reader
        self._writer = writer
        self._far: asyncio.StreamWriter | None = None
        self._since_s: float | None = None  # when the exchange under way began

    def close(self) -> None:
        """End both sides."""
        self._writer.transport.abort()
        if self._far is not None:
            self._far.transport.abort()

    async def run(self) -> None:
        """Until either side ends."""
        try:
            async with asyncio.timeout(CONNECT_S):
                far_reader, self._far = await asyncio.open_connection(HOST, self._link.upstream_port, limit=CHUNK)
        except (OSError, TimeoutError) as error:
            log.debug("%s: %s", self._link.name, error)
            return
        ways = {asyncio.create_task(self._up(self._far)), asyncio.create_task(self._down(far_reader))}
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _up(self, far: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await self._reader.read(CHUNK):
                if self._since_s is None:
                    self._since_s = clock.monotonic_s()
                far.write(data)
                await far.drain()

    async def _down(self, far: asyncio.StreamReader) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await far.readexactly(HEAD.size)
                kind, length = HEAD.unpack(head)
                body = await far.readexactly(length - 4)
                if kind == READY:
                    await self._over()
                self._writer.write(head + body)
                await self._writer.drain()

    async def _over(self) -> None:
        """The server is ready: the exchange ends when it has taken its time. Several sent as one are timed as one."""
        since_s, self._since_s = self._since_s, None
        self._link.counts["request.messages"] += 1
        if since_s is not None:
            await self._link.owe(clock.monotonic_s() - since_s)
