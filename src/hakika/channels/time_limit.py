"""One time limit for many short waits, with one timer for all of them.

`asyncio.timeout` makes a timer for each wait and cancels it. Where nearly every wait is over at once, as for a body
that came with its head, that costs more than the wait. All waits here have one limit: what began first is late first.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from hakika.domain.reasons import InvariantBroken

T = TypeVar("T")


class TimeLimit:
    """Waits that end with TimeoutError when they take longer than `seconds`; for one event loop."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, what: Awaitable[T]) -> T:
        """What `what` gives. Raises TimeoutError when it is late; one wait at a time in a task."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is None or task in self._begun:
            raise InvariantBroken("one wait at a time, in a task")
        self._begun[task] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._look, loop)
        try:
            return await what
        except asyncio.CancelledError:
            if task in self._late and task.uncancel() == 0:
                raise TimeoutError from None
            raise
        finally:
            del self._begun[task]
            self._late.discard(task)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel those that are late; come back when the next one would be."""
        self._timer = None
        for task, begun in self._begun.items():
            if task in self._late:
                continue
            left = begun + self._seconds - loop.time()
            if left > 0:
                self._timer = loop.call_later(left, self._look, loop)
                return
            self._late.add(task)
            task.cancel()
