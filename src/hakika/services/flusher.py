"""Group commit: many callers, one batch in flight, each answered after the commit that holds its command.

Whatever waits while a batch is being committed goes in the next one, so the batch size finds itself.
A lost commit reply is no answer: the same batch is executed again on a fresh connection. That is safe because
every command is idempotent by its id, and it is the only way to learn what happened; nothing is guessed from
a look-up. One command that makes the batch fail is found by halving and alone gets the exception.
The work given must bound itself in time (store/lane.py does); a caller never waits past its own deadline.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Generic, TypeVar

from hakika import clock
from hakika.domain.reasons import InvariantBroken
from hakika.expiry import Expiry
from hakika.store.lane import NoAnswer, StoreFault

C = TypeVar("C")
R = TypeVar("R")

DEADLINES_KEPT = 16  # kinds of them, beside those that somebody waits for
ANSWERS = 16  # callers that run before the event loop looks at its sockets again
RETRY_PAUSE_FIRST_S = 0.02
RETRY_PAUSE_MAX_S = 0.5
DRAIN_S = 10.0

log = logging.getLogger(__name__)


class Busy(Exception):
    """The queue is full or closed: the command was not taken, nothing is stored, ask again later."""


class _Waiting(Generic[C, R]):
    """One command and the caller who waits for its result."""

    __slots__ = ("command", "result")

    def __init__(self, command: C, result: asyncio.Future[R]) -> None:
        self.command = command
        self.result = result


class Flusher(Generic[C, R]):
    """Gathers commands into batches for `work`, which returns one result for each command, in order."""

    def __init__(
        self,
        work: Callable[[list[C]], Awaitable[list[R]]],
        *,
        name: str,
        batch_max: int,
        queue_max: int,
        gather_s: float = 0.0,
        gather_from: int = 0,
    ) -> None:
        """`gather_s` is how long the first command of a batch waits for company.

        It does so only while batches are of `gather_from` commands or more: where little arrives, nobody waits for
        nobody, and where much does, fewer and larger commits cost everybody less.
        """
        self._work = work
        self._name = name
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._gather_s = gather_s
        self._gather_from = gather_from
        self._last_size = 0
        self._queue: deque[_Waiting[C, R]] = deque()
        self._answers: deque[tuple[_Waiting[C, R], R]] = deque()  # committed, and their callers not told yet
        self._deadlines: dict[float, Expiry[tuple[asyncio.Future[R], ...]]] = {}  # by seconds
        self._wake = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to take batches, on the running event loop."""
        if self._task is not None:
            raise InvariantBroken(f"flusher {self._name} started twice")
        self._task = asyncio.get_running_loop().create_task(self._loop(), name=f"flusher {self._name}")

    async def stop(self, *, drain_s: float = DRAIN_S) -> None:
        """Refuse new commands, execute what waits, and end; after `drain_s` give up on the rest."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            done, _ = await asyncio.wait([self._task], timeout=drain_s)
            if not done:
                self._task.cancel()
                with suppress(asyncio.CancelledError):
                    await self._task
            self._task = None
        self._tell(len(self._answers))
        while self._queue:
            _fail(self._queue.popleft(), NoAnswer("stopped before it was executed"))

    @property
    def waiting(self) -> int:
        """Commands queued and not yet in a batch."""
        return len(self._queue)

    async def submit(self, command: C, *, deadline_s: float) -> R:
        """The result of `command` once committed.

        Raises Busy at once when it cannot be taken, NoAnswer after `deadline_s` seconds: then it may or may
        not have happened, and only the same command under the same id can tell.
        """
        results = self._enqueue((command,))
        deadline = self._deadline(deadline_s)
        deadline.begin(results)
        try:
            return await results[0]
        finally:
            deadline.end(results)

    async def submit_all(self, commands: Sequence[C], *, deadline_s: float) -> list[R | Exception]:
        """The results of many commands of one caller, in order; of one that failed alone, its exception.

        Raises Busy when they do not all fit in, NoAnswer when the deadline passes with any of them open.
        """
        if not commands:
            return []
        results = self._enqueue(commands)
        deadline = self._deadline(deadline_s)
        deadline.begin(results)
        kept: list[R | Exception] = []
        try:
            for result in results:
                try:
                    kept.append(await result)
                except NoAnswer:
                    raise
                except Exception as error:  # noqa: BLE001 - handed to the caller in its place
                    kept.append(error)
        finally:
            deadline.end(results)
            for result in results:
                if not result.cancel() and not result.cancelled():
                    result.exception()  # seen, so that asyncio does not report it
        return kept

    def _deadline(self, seconds: float) -> "Expiry[tuple[asyncio.Future[R], ...]]":
        """What ends a wait of so many seconds."""
        found = self._deadlines.get(seconds)
        if found is None:
            if len(self._deadlines) >= DEADLINES_KEPT:
                self._deadlines = {kept: one for kept, one in self._deadlines.items() if one.waits}
            found = self._deadlines[seconds] = Expiry(seconds, partial(_expire, seconds))
        return found

    def _enqueue(self, commands: Sequence[C]) -> "tuple[asyncio.Future[R], ...]":
        if self._closing or len(self._queue) + len(commands) > self._queue_max:
            raise Busy(f"{self._name}: {len(self._queue)} commands wait already")
        loop = asyncio.get_running_loop()
        results = tuple([loop.create_future() for _ in commands])
        self._queue.extend(map(_Waiting, commands, results))
        self._wake.set()
        return results

    async def _loop(self) -> None:
        while True:
            await self._wake.wait()
            busy = self._last_size >= self._gather_from
            if self._gather_s and busy and not self._closing and len(self._queue) < self._batch_max:
                await asyncio.sleep(self._gather_s)
            batch = self._take()
            self._last_size = len(batch)
            if batch:
                await self._settle(batch)
            if not self._queue:
                if self._closing:
                    return
                self._wake.clear()

    def _take(self) -> list[_Waiting[C, R]]:
        """The next batch; commands whose callers have gone are dropped, they were never sent."""
        batch: list[_Waiting[C, R]] = []
        while self._queue and len(batch) < self._batch_max:
            waiting = self._queue.popleft()
            if not waiting.result.done():
                batch.append(waiting)
        return batch

    async def _settle(self, batch: list[_Waiting[C, R]]) -> None:
        """Execute until there is an answer or nobody waits; halve a batch that fails by its own content."""
        try:
            results = await self._execute(batch)
        except NoAnswer:
            return  # every caller has been told so at its own deadline
        except asyncio.CancelledError:
            for waiting in batch:
                _fail(waiting, NoAnswer("stopped in the middle"))
            raise
        except Exception as error:  # noqa: BLE001 - handed to the caller whose command raised it
            if len(batch) == 1:
                log.error("%s: a command failed: %r", self._name, error)
                _fail(batch[0], error)
                return
            middle = len(batch) // 2
            await self._settle(batch[:middle])
            await self._settle(batch[middle:])
            return
        # Not now, and not all at once: a hundred callers would run before the next batch is sent, or before anybody
        # sees that the database has answered, and meanwhile it has nothing to do.
        if not self._answers:
            asyncio.get_running_loop().call_soon(self._answer)
        self._answers.extend(zip(batch, results, strict=True))

    def _answer(self) -> None:
        self._tell(min(ANSWERS, len(self._answers)))
        if self._answers:
            asyncio.get_running_loop().call_soon(self._answer)

    def _tell(self, count: int) -> None:
        for _ in range(count):
            waiting, result = self._answers.popleft()
            if not waiting.result.done():
                waiting.result.set_result(result)

    async def _execute(self, batch: list[_Waiting[C, R]]) -> list[R]:
        commands = [waiting.command for waiting in batch]
        pause_s = RETRY_PAUSE_FIRST_S
        while True:
            try:
                results = await self._work(commands)
            except StoreFault as fault:
                log.warning("%s: no answer for a batch of %d, again: %s", self._name, len(batch), fault)
                await asyncio.sleep(clock.jitter(pause_s))
                pause_s = min(pause_s * 2, RETRY_PAUSE_MAX_S)
                if all(waiting.result.done() for waiting in batch):
                    raise NoAnswer("nobody waits for this batch any more") from fault
                continue
            if len(results) != len(commands):
                raise InvariantBroken(f"{self._name}: {len(results)} results for {len(commands)} commands")
            return results


def _expire(deadline_s: float, results: "tuple[asyncio.Future[R], ...]") -> None:
    for result in results:
        if not result.done():
            result.set_exception(NoAnswer(f"no answer within {deadline_s:g} s"))


def _fail(waiting: _Waiting[C, R], error: BaseException) -> None:
    if not waiting.result.done():
        waiting.result.set_exception(error)
