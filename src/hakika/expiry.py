"""One timer for many waits with the same limit: what began first is late first.

A timer for each wait would be made and cancelled again a hundred thousand times, to fire once.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")


class Expiry(Generic[K]):
    """Calls `late(key)` for each wait that has not ended `seconds` after it began; for one event loop."""

    def __init__(self, seconds: float, late: Callable[[K], None]) -> None:
        self._seconds = seconds
        self._late = late
        self._begun: dict[K, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, key: K) -> None:
        """A wait begins; its key is not one that waits already."""
        loop = self._loop or asyncio.get_running_loop()
        self._loop = loop
        self._begun[key] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._look, loop)

    def end(self, key: K) -> None:
        """A wait has ended, late or not."""
        self._begun.pop(key, None)

    @property
    def waits(self) -> bool:
        """Whether any wait has not ended."""
        return bool(self._begun)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell what is late; come back when the next one would be."""
        self._timer = None
        now_s = loop.time()
        for key, begun_s in list(self._begun.items()):
            left_s = begun_s + self._seconds - now_s
            if left_s > 0:
                self._timer = loop.call_later(left_s, self._look, loop)
                return
            if self._begun.pop(key, None) is not None:
                self._late(key)
