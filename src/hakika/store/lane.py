"""A lane: one PostgreSQL connection, used by one caller at a time, that keeps no caller past its deadline.

psycopg goes on waiting when a peer still acknowledges packets but never answers, and on cancellation it
asks the same silent server to cancel. So a lane runs the work on a task of its own and, at the deadline or
when the caller is cancelled, shuts the socket down itself: the work fails at once, the connection is thrown
away. The outcome is then unknown (`NoAnswer`), like a lost commit reply: it is settled by executing the same
idempotent statements again, never by a look-up. A connection is used again only when known to be idle.
Deadlines here are machine timers; retrying is left to the caller, who knows how long anybody waits.
"""

import asyncio
import os
import select
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus

from hakika import clock
from hakika.domain.reasons import InvariantBroken
from hakika.store.exchange import Connection

T = TypeVar("T")

CONNECT_S = 3.0
GRACE_S = 0.2
KEEPALIVE = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
# The server lets go of a caller that has gone: locks of a cut-off transaction are free within seconds.
SESSION: LiteralString = "SET client_connection_check_interval = '1s'; SET idle_in_transaction_session_timeout = '10s'"
# For connections that look rows up by key and in the order of an index, and do nothing else. The planner's statistics
# lag behind a table that grows from nothing, and a plan that was good for 100 rows walks over all of a million: what
# cannot be wanted is taken from it, and what is left is planned once.
BY_KEY: tuple[LiteralString, ...] = (
    "SET enable_seqscan = off",
    "SET enable_hashjoin = off",
    "SET enable_mergejoin = off",
    "SET enable_material = off",
    "SET enable_bitmapscan = off",  # it reads all that an index has, and sorts, where a few in its order are wanted
    "SET plan_cache_mode = force_generic_plan",
)

_inside: ContextVar[bool] = ContextVar("hakika_in_transaction", default=False)


class StoreFault(Exception):
    """The database could not be asked (no connection in time): nothing was sent, nothing happened."""


class NoAnswer(StoreFault):
    """Something was sent and no answer came: it may or may not have happened; execute the same ids again."""


def in_transaction() -> bool:
    """True inside work that a lane runs on this task; no network call may be made then."""
    return _inside.get()


class _Live:
    """An open connection and whether a commit on it was reported without its replica."""

    __slots__ = ("connection", "unreplicated")

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.connection = connection
        self.unreplicated = False
        connection.add_notice_handler(self._notice)

    def _notice(self, notice: psycopg.errors.Diagnostic) -> None:
        # The wait for a synchronous replica was cancelled: committed here, perhaps nowhere else.
        if notice.source_function == "SyncRepWaitForLSN":
            self.unreplicated = True

    def stale(self) -> bool:
        """True when an idle connection has something to read: the server closed it or is about to."""
        try:
            poll = select.poll()
            poll.register(self.connection.pgconn.socket, select.POLLIN | select.POLLRDHUP)
            return bool(poll.poll(0))
        except (OSError, psycopg.Error):
            return True

    def idle(self) -> bool:
        pgconn = self.connection.pgconn
        return pgconn.transaction_status == TransactionStatus.IDLE and pgconn.pipeline_status == PipelineStatus.OFF

    def shut(self) -> None:
        """Shut the socket down without closing it: psycopg, waiting on it, sees its end at once."""
        with (
            suppress(OSError, psycopg.Error),
            socket.socket(fileno=os.dup(self.connection.pgconn.socket)) as held,
        ):
            held.shutdown(socket.SHUT_RDWR)


class Lane:
    """One lazily opened connection in autocommit mode, with a lock: callers take turns."""

    def __init__(self, url: str, *, name: str, setup: Iterable[LiteralString] = ()) -> None:
        """`name` is shown in pg_stat_activity; `setup` statements are executed on each new connection."""
        self._url = url
        self._name = name
        self._setup = tuple(setup)
        self._lock = asyncio.Lock()
        self._live: _Live | None = None
        self._stragglers: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def run(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]], *, deadline_s: float) -> T:
        """What `work` returns, within `deadline_s` seconds from now, queueing and connecting included.

        Work begins and ends its own transaction and must leave the connection idle, else InvariantBroken.
        Raises StoreFault when nothing was sent, NoAnswer when the outcome is unknown: every
        OperationalError counts as such. Other errors by which PostgreSQL refuses (IntegrityError and
        such, and class HK, raised by our own triggers) pass through, rolled back.
        """
        ends_s = clock.monotonic_s() + deadline_s
        try:
            async with asyncio.timeout(deadline_s):
                await self._lock.acquire()
        except TimeoutError:
            raise StoreFault(f"{self._name}: lane busy for {deadline_s:g} s") from None
        try:
            if self._closed:
                raise StoreFault(f"{self._name}: closed")
            return await self._watch(work, ends_s)
        finally:
            self._lock.release()

    async def close(self) -> None:
        """Close the connection once the work in progress has ended; later calls of run() raise StoreFault."""
        self._closed = True
        async with self._lock:
            if self._live is not None:
                await self._live.connection.close()
                self._live = None
        stragglers = tuple(self._stragglers)
        for straggler in stragglers:
            straggler.cancel()
        await asyncio.gather(*stragglers, return_exceptions=True)

    async def _watch(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]], ends_s: float) -> T:
        """Run the work on its own task, and cut it off at `ends_s` (monotonic seconds) or on cancellation."""
        sent: list[_Live] = []
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()
        attempt = loop.create_task(self._attempt(work, sent, over))
        timer = loop.call_later(max(0.0, ends_s - clock.monotonic_s()), _end, over)
        try:
            await over
            late = not attempt.done()
            if late:
                self._cut(attempt, sent)
                await asyncio.wait((attempt,), timeout=GRACE_S)
        except asyncio.CancelledError:
            self._cut(attempt, sent)
            with suppress(asyncio.CancelledError):
                await asyncio.wait((attempt,), timeout=GRACE_S)
            self._let_go(attempt)
            raise
        finally:
            timer.cancel()
        if not attempt.done():
            self._let_go(attempt)
            raise _fault(sent, f"{self._name}: deadline passed")
        try:
            return attempt.result()
        except (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError) as error:
            if isinstance(error, TimeoutError) and sent and not late:
                raise  # a timeout of the work's own
            if _refused(error):
                raise
            raise _fault(sent, f"{self._name}: {'deadline passed' if late else error}") from error
        except asyncio.CancelledError as error:
            raise _fault(sent, f"{self._name}: deadline passed") from error

    async def _attempt(
        self,
        work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]],
        sent: list[_Live],
        over: "asyncio.Future[None]",
    ) -> T:
        """The work, on the lane's connection; ends `over` with its last step, so that who waits is next to run."""
        try:
            return await self._connected(work, sent)
        finally:
            _end(over)

    async def _connected(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]], sent: list[_Live]) -> T:
        live = self._live
        if live is not None and live.stale():
            self._live = None
            await live.connection.close()
            live = None
        if live is None:
            live = self._live = await self._connect()
        sent.append(live)
        _inside.set(True)  # the context is this task's own
        try:
            result = await work(live.connection)
            if not live.idle():
                raise InvariantBroken(f"{self._name}: work left its transaction open")
        except BaseException as error:
            await self._after_failure(live, error)
            raise
        if self._live is not live:  # cut off in the last moment, with the answer already here
            await live.connection.close()
        if live.unreplicated:
            await self._drop(live)
            raise NoAnswer(f"{self._name}: committed without its replica")
        return result

    async def _connect(self) -> _Live:
        """A new connection with the session settings; raises psycopg.OperationalError or TimeoutError."""
        async with asyncio.timeout(CONNECT_S):
            connection = await Connection.connect(
                self._url,
                autocommit=True,
                application_name=self._name,
                connect_timeout=max(2, int(CONNECT_S)),
                **KEEPALIVE,  # type: ignore[arg-type]  # libpq parameters
            )
            try:
                await connection.execute(SESSION)
                for statement in self._setup:
                    await connection.execute(statement)
            except BaseException:
                await connection.close()
                raise
        return _Live(connection)

    async def _after_failure(self, live: _Live, error: BaseException) -> None:
        """Keep the connection only after a clean refusal by PostgreSQL; anything else drops it."""
        if _refused(error) and self._live is live and live.connection.pgconn.pipeline_status == PipelineStatus.OFF:
            with suppress(psycopg.Error):
                await live.connection.rollback()
                if live.idle():
                    return
        await self._drop(live)

    async def _drop(self, live: _Live) -> None:
        if self._live is live:
            self._live = None
        await live.connection.close()

    def _cut(self, attempt: "asyncio.Task[T]", sent: list[_Live]) -> None:
        """Make the attempt fail soon: by the end of its stream, or by cancellation while it connects."""
        if attempt.done():
            return
        if not sent:
            attempt.cancel()
            return
        self._live = None
        sent[0].shut()

    def _let_go(self, attempt: "asyncio.Task[T]") -> None:
        """Work that waits for something else than its connection is cancelled and forgotten."""
        if attempt.done():
            if not attempt.cancelled():
                attempt.exception()  # seen, so that asyncio does not report it
            return
        attempt.cancel()
        self._stragglers.add(attempt)
        attempt.add_done_callback(self._gone)

    def _gone(self, attempt: "asyncio.Task[Any]") -> None:
        self._stragglers.discard(attempt)
        if not attempt.cancelled():
            attempt.exception()


class Lanes:
    """A fixed number of lanes; run() takes a free one, the most recently used first."""

    def __init__(self, url: str, *, size: int, name: str, setup: Iterable[LiteralString] = ()) -> None:
        statements = tuple(setup)
        self._all = tuple(Lane(url, name=f"{name}/{number}", setup=statements) for number in range(size))
        self._free = list(self._all)
        self._permits = asyncio.Semaphore(size)
        self._name = name

    async def run(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]], *, deadline_s: float) -> T:
        """As Lane.run, on whichever lane is free first; waiting for one counts towards `deadline_s`."""
        ends_s = clock.monotonic_s() + deadline_s
        try:
            async with asyncio.timeout(deadline_s):
                await self._permits.acquire()
        except TimeoutError:
            raise StoreFault(f"{self._name}: all {len(self._all)} lanes busy for {deadline_s:g} s") from None
        lane = self._free.pop()
        try:
            return await lane.run(work, deadline_s=max(0.0, ends_s - clock.monotonic_s()))
        finally:
            self._free.append(lane)
            self._permits.release()

    async def close(self) -> None:
        """Close every lane once its work in progress has ended."""
        for lane in self._all:
            await lane.close()


def _refused(error: BaseException) -> bool:
    """PostgreSQL's clean no; class HK is our triggers' own, which psycopg takes for an OperationalError."""
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return (error.sqlstate or "").startswith("HK")
    return isinstance(error, psycopg.Error)


def _end(over: "asyncio.Future[None]") -> None:
    if not over.done():
        over.set_result(None)


def _fault(sent: list[_Live], text: str) -> StoreFault:
    return NoAnswer(text) if sent else StoreFault(text)
