"""A time limit for many short waits, with one timer for all of them.

`asyncio.timeout` makes a timer for each wait and cancels it. Where nearly every wait is over at once, as for a body
that came with its head, that costs more than the wait.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from hakika.domain.reasons import InvariantBroken
from hakika.expiry import Expiry

T = TypeVar("T")


class TimeLimit:
    """Waits that end with TimeoutError when they take longer than `seconds`; for one event loop."""

    def __init__(self, seconds: float) -> None:
        self._expiry: Expiry[asyncio.Task[Any]] = Expiry(seconds, self._cancel)
        self._waiting: set[asyncio.Task[Any]] = set()
        self._late: set[asyncio.Task[Any]] = set()

    async def wait(self, what: Awaitable[T]) -> T:
        """What `what` gives. Raises TimeoutError when it is late; one wait at a time in a task."""
        task = asyncio.current_task()
        if task is None or task in self._waiting:
            raise InvariantBroken("one wait at a time, in a task")
        self._waiting.add(task)
        self._expiry.begin(task)
        try:
            return await what
        except asyncio.CancelledError:
            if task in self._late and task.uncancel() == 0:
                raise TimeoutError from None
            raise
        finally:
            self._expiry.end(task)
            self._waiting.discard(task)
            self._late.discard(task)

    def _cancel(self, task: asyncio.Task[Any]) -> None:
        self._late.add(task)
        task.cancel()
