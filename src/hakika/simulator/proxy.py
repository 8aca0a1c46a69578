"""One link between two processes: a proxy that passes HTTP messages on, or fails to, as it is told.

It stands for the network and for whatever stands in it. What a client has written is on its way: it is passed
on even when the client has gone meanwhile, late or twice if so drawn. Each client connection has its own
connection to the far side, and when that ends the client's ends too. Which instructions' bytes were handed to
the far side, and which were swallowed here, is recorded: that is the evidence for what may have been in doubt.
"""

import asyncio
import logging
import random
import re
import socket
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from hakika import clock
from hakika.simulator.faults import QUIET, Drawn, FaultsRefused, Mode, Noise, checked, dice_for, draw
from hakika.simulator.http_units import HEAD_MAX, FramingBroken, Unit, read_answer, read_request

HOST = "127.0.0.1"
BACKLOG = 512
CONNECT_S = 2.0
EXCHANGE_S = 60.0  # a far side that never answers is given up after this; its client has gone long before
OVER_S = 0.5  # in which a client that has not heard of the end may still send
REORDER_WAIT_S = 1.0  # a message held back with none behind it goes on after this
SLOW_STEP_S = 0.1
STOP_S = 1.0

BUSY_BODY = b"busy, please wait\n"
BUSY_ANSWER = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s" % (
    len(BUSY_BODY),
    BUSY_BODY,
)
TOLD_FROM = 400  # statuses from here on are counted one by one

INSTRUCTION_PATHS = frozenset({"/internal/instructions", "/internal/redrive"})
_INSTRUCTION_ID = re.compile(rb'"id":\s*"([0-9a-f]{32})"')

log = logging.getLogger(__name__)


class Lost(Exception):
    """The exchange ends here without an answer; the connection is reset."""


class Proxy:
    """Listens on `port` of 127.0.0.1 and passes messages to `upstream_port`; 0 picks a free port."""

    def __init__(self, name: str, upstream_port: int, *, port: int = 0, seed: int = 1) -> None:
        self.name = name
        self.upstream_port = upstream_port
        self.port = port
        self.seed = seed
        self.mode = Mode.OPEN
        self.noise: Noise = QUIET
        self.counts: Counter[str] = Counter()  # messages by what happened to them
        self.crossed: dict[str, int] = {}  # instruction id -> when its first byte went to the far side
        self.swallowed: dict[str, int] = {}  # instruction id -> when a message with it was lost in here
        self._connections = 0
        self._open: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: dict[str, list[asyncio.Event]] = {"request": [], "answer": []}
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; OSError where the port is taken."""
        self._socket = _bound(self.port)
        self.port = self._socket.getsockname()[1]
        if self.mode is not Mode.REFUSE:
            await self._listen()

    async def stop(self) -> None:
        """Close everything."""
        await self._unlisten()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._reset_all()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_S)

    async def set_mode(self, mode: Mode) -> None:
        """From now on; messages that are under way are caught by it as well. FaultsRefused for what HTTP has not."""
        if mode is Mode.SLOW:
            raise FaultsRefused(f"{self.name}: only a database's link can be slow; give its messages a delay")
        before, self.mode = self.mode, mode
        if mode is Mode.REFUSE and before is not Mode.REFUSE:
            await self._unlisten()
            self._socket = _bound(self.port)  # the port stays ours; without listen() it refuses
            self._reset_all()
        elif before is Mode.REFUSE and mode is not Mode.REFUSE:
            await self._listen()

    def set_noise(self, noise: Noise) -> None:
        """Faults by chance from now on; FaultsRefused leaves the present ones."""
        self.noise = checked(noise)

    @property
    def connections(self) -> int:
        """Client connections that stand now."""
        return len(self._open)

    async def _listen(self) -> None:
        if self._socket is None:
            self._socket = _bound(self.port)
        self._server = await asyncio.start_server(self._accept, sock=self._socket, backlog=BACKLOG, limit=HEAD_MAX)

    async def _unlisten(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            self._socket = None

    def _reset_all(self) -> None:
        for connection in list(self._open):
            connection.reset()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        connection = _Connection(self, reader, writer, dice_for(self.seed, self.name, self._connections))
        self._open.add(connection)
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
        try:
            await connection.run()
        finally:
            self._open.discard(connection)
            if task is not None:
                self._tasks.discard(task)

    def note(self, unit: Unit, forwarded: int) -> None:
        """Record which instructions of a request were in its first `forwarded` bytes, and which were not."""
        method, path = unit.start
        if method != "POST" or path.split("?", 1)[0] not in INSTRUCTION_PATHS:
            return
        now_ms = clock.now_ms()
        for found in _INSTRUCTION_ID.finditer(unit.body):
            # The instruction's object begins one byte before its "id".
            passed = len(unit.head) + found.start() - 1 < forwarded
            where = self.crossed if passed else self.swallowed
            where.setdefault(found.group(1).decode("ascii"), now_ms)

    async def hold(self, direction: str) -> None:
        """Wait until a later message of this direction has passed, or a while."""
        passed = asyncio.Event()
        self._held[direction].append(passed)
        with suppress(TimeoutError):
            async with asyncio.timeout(REORDER_WAIT_S):
                await passed.wait()
        if passed in self._held[direction]:
            self._held[direction].remove(passed)

    def passed(self, direction: str) -> None:
        """A message of this direction has gone on: those held back for it may follow."""
        held, self._held[direction] = self._held[direction], []
        for event in held:
            event.set()


class _Connection:
    """One client's connection: one exchange at a time."""

    def __init__(
        self, link: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dice: random.Random
    ) -> None:
        self._link = link
        self._reader = reader
        self._writer = writer
        self._dice = dice
        self._far: _Far | None = None
        self._busy = False
        self._over = False  # the far side has ended between two exchanges

    def reset(self) -> None:
        """End it now, on both sides, as a reset."""
        _reset(self._writer)
        if self._far is not None:
            self._far.close()

    async def run(self) -> None:
        """Exchange after exchange until either side ends."""
        try:
            if self._link.mode in (Mode.OPEN, Mode.DEAF):
                await self._meet_far()
            while True:
                request = await read_request(self._reader)
                if request is None:
                    break
                if self._over:
                    self._link.note(request, 0)
                    raise Lost
                self._busy = True
                await self._exchange(request)
                self._busy = False
                if request.closes:
                    break
        except Lost:
            _reset(self._writer)
        except (OSError, FramingBroken, TimeoutError) as error:
            log.debug("%s: %s", self._link.name, error)
            _reset(self._writer)
        finally:
            self._writer.close()
            if self._far is not None:
                self._far.close()

    async def _exchange(self, request: Unit) -> None:
        """One request and its answer, or what becomes of them."""
        link = self._link
        drawn, back = draw(link.noise.request, self._dice), draw(link.noise.answer, self._dice)
        if link.mode is Mode.BUSY or (drawn.busy and link.mode is Mode.OPEN):
            await self._turn_away(request)
            return
        answer = await self._forward(request, drawn)
        self._count("answer", back)
        self._count_status(answer)
        if back.delay_s:
            await asyncio.sleep(back.delay_s)
        if back.reorder:
            await link.hold("answer")
        if link.mode in (Mode.DEAF, Mode.BLACKHOLE):
            link.counts[f"answer.{link.mode}"] += 1
            await self._mute()
        if back.drop:
            await self._mute()
        if back.cut or link.mode is Mode.REFUSE:
            raise Lost
        await _write(self._writer, answer.raw, back)
        if back.kept_share is not None:
            raise Lost
        link.passed("answer")

    async def _turn_away(self, request: Unit) -> None:
        """Answer 503 in the far side's place; it never hears of the request."""
        link = self._link
        link.counts["request.messages"] += 1
        link.counts["request.busy"] += 1
        link.note(request, 0)
        await _write(self._writer, BUSY_ANSWER, Drawn())

    async def _forward(self, request: Unit, drawn: Drawn) -> Unit:
        """The far side's answer; Lost where the request or its connection does not survive."""
        link = self._link
        self._count("request", drawn)
        if link.mode is not Mode.BLACKHOLE:
            if drawn.delay_s:
                await asyncio.sleep(drawn.delay_s)
            if drawn.reorder:
                await link.hold("request")
        if link.mode is Mode.BLACKHOLE:
            link.counts["request.blackhole"] += 1
        if link.mode is Mode.BLACKHOLE or drawn.drop:
            link.note(request, 0)
            await self._mute()
        if drawn.cut or link.mode is Mode.REFUSE:
            link.note(request, 0)
            raise Lost
        try:
            return await self._ask_far(request, drawn)
        except (OSError, FramingBroken, TimeoutError) as error:
            raise Lost from error

    async def _ask_far(self, request: Unit, drawn: Drawn) -> Unit:
        link = self._link
        try:
            far = await self._connected()
        except (OSError, TimeoutError):
            link.note(request, 0)
            raise
        if drawn.kept_share is not None:
            kept = int(len(request.raw) * drawn.kept_share)
            link.note(request, kept)
            await _write(far.writer, request.raw[:kept], drawn)
            far.close()
            raise Lost
        link.note(request, len(request.raw))
        first = asyncio.ensure_future(self._once(far, request, drawn))
        twin = asyncio.ensure_future(self._twin(request, drawn)) if drawn.double else None
        link.passed("request")
        if twin is None:
            return await first
        answer = await _earlier(first, twin)
        if not first.done():  # its answer is still to come and is nobody's: the connection is not used again
            far.on_end = _nothing
            first.add_done_callback(lambda _: far.close())
            self._far = None
        return answer

    async def _once(self, far: "_Far", request: Unit, drawn: Drawn) -> Unit:
        async with asyncio.timeout(EXCHANGE_S):
            await _write(far.writer, request.raw, Drawn(bytes_per_s=drawn.bytes_per_s))
            return await read_answer(far.reader)

    async def _twin(self, request: Unit, drawn: Drawn) -> Unit:
        """The same request on a connection of its own."""
        far = await _connect(self._link.upstream_port)
        try:
            return await self._once(far, request, drawn)
        finally:
            far.close()

    async def _meet_far(self) -> None:
        """Connect before anything is asked; a client that was accepted may have sent before it hears of a failure."""
        try:
            await self._connected()
        except (OSError, TimeoutError) as error:
            log.debug("%s: %s", self._link.name, error)
            self._far_ended()

    async def _connected(self) -> "_Far":
        """The connection to the far side; when it ends between two exchanges the client's ends too."""
        if self._far is None or self._far.reader.at_eof():
            self._far = await _connect(self._link.upstream_port)
            self._far.on_end = self._far_ended
        return self._far

    def _far_ended(self) -> None:
        """As the far side's own system would: an end first, a reset for what had been sent before it was heard."""
        if self._busy:
            return
        self._over = True
        with suppress(OSError):
            self._writer.write_eof()
        asyncio.get_running_loop().call_later(OVER_S, _reset, self._writer)

    async def _mute(self) -> None:
        """Read and forget what the client still sends, answer nothing, until it goes away."""
        while await self._reader.read(HEAD_MAX):
            pass
        raise Lost

    def _count_status(self, answer: Unit) -> None:
        """What the far side itself refuses is told apart by status: a leash is seen here, by neither of the two."""
        status = answer.start[1]
        if status.isdecimal() and int(status) >= TOLD_FROM:
            self._link.counts[f"answer.{status}"] += 1

    def _count(self, direction: str, drawn: Drawn) -> None:
        self._link.counts[f"{direction}.messages"] += 1
        for name in drawn.names:
            self._link.counts[f"{direction}.{name}"] += 1


class _Far(asyncio.StreamReaderProtocol):
    """A connection to the far side; `on_end` is called when it ends."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self.reader = reader
        self.writer: asyncio.StreamWriter
        self.on_end: Callable[[], None] = _nothing

    def close(self) -> None:
        """End it without waiting."""
        self.writer.transport.abort()

    def eof_received(self) -> bool | None:
        self.on_end()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.on_end()


def _nothing() -> None:
    """Nobody waits for the end of this connection."""


async def _connect(port: int) -> _Far:
    loop = asyncio.get_running_loop()
    far = _Far(asyncio.StreamReader(limit=HEAD_MAX, loop=loop))
    async with asyncio.timeout(CONNECT_S):
        transport, _ = await loop.create_connection(lambda: far, HOST, port)
    far.writer = asyncio.StreamWriter(transport, far, far.reader, loop)
    return far


async def _earlier(first: "asyncio.Future[Unit]", second: "asyncio.Future[Unit]") -> Unit:
    """The answer that comes first; the other one is read when it comes, and forgotten."""
    for copy in (first, second):
        copy.add_done_callback(_seen)
    waiting = {first, second}
    while True:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for copy in done:
            if copy.exception() is None or not waiting:
                return copy.result()


def _seen(copy: "asyncio.Future[Unit]") -> None:
    if not copy.cancelled():
        copy.exception()


async def _write(writer: asyncio.StreamWriter, raw: bytes, drawn: Drawn) -> None:
    """Write all of it, or the share that is kept, at the pace that is drawn."""
    if drawn.kept_share is not None:
        raw = raw[: int(len(raw) * drawn.kept_share)]
    step = int(drawn.bytes_per_s * SLOW_STEP_S) or len(raw)
    for start in range(0, len(raw), max(1, step)):
        writer.write(raw[start : start + step])
        await writer.drain()
        if drawn.bytes_per_s:
            await asyncio.sleep(SLOW_STEP_S)


def _bound(port: int) -> socket.socket:
    """A bound socket that does not listen yet: the port is ours, connections to it are refused."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((HOST, port))
    except OSError:
        made.close()
        raise
    return made


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST, as a network element does that forgets a connection."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
