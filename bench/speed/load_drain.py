"""The banks of D1: first a backlog that the gateway takes and cannot pass on, then live traffic while it drains.

The backlog goes in as fast as it is taken, 100 a message, while the core is down. At `go` the core is coming back;
from then on single live transfers are sent at an even rate, whatever the answers (an open loop: who waits for answers
would send less when they are slow), until every transfer of the backlog is final at its bank.
"""

import itertools
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from bench.speed.load_transfers import BankLoop, Message, written
from bench.speed.loader import tell
from bench.speed.loop import LoadFailed, Outcome

PER_MESSAGE = 100
STILL_S = 60.0  # without any news for so long the drain has stopped


def prepare(settings: dict[str, Any]) -> Callable[[], None]:
    """Give the backlog into custody now; the returned function sends live traffic until it has drained."""
    loop = _Drain(settings)
    loop.fill(written(settings, settings["held"] // PER_MESSAGE, PER_MESSAGE))

    def run() -> None:
        outcome, more = loop.drain()
        tell(outcome, settings["waits_file"], **more)

    return run


class _Drain(BankLoop):
    """A backlog and live traffic on one set of connections."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings, ())
        self._live_per_s = float(settings["live_per_s"])
        self._live = written({**settings, "seed": settings["seed"] + 1}, sys.maxsize, 1)
        self._backlog: set[bytes] = set()

    def fill(self, messages: Iterator[Message]) -> None:
        """Every message taken, none answered with an end."""
        self._ends = float("inf")
        for message in messages:
            while not self._free:
                self._wait()
            self._put(message, time.perf_counter())
            self._backlog.update(message[1])
        while self._sent_at:
            self._wait()

    def drain(self) -> tuple[Outcome, dict[str, Any]]:
        """Live traffic until the backlog is final, then until the live transfers are; waits are of live ones."""
        begun_cpu, begun = time.process_time(), time.perf_counter()
        held = len(self._backlog)
        drained_s = 0.0
        news = begun
        for number in itertools.count():
            due = begun + number / self._live_per_s
            while (now := time.perf_counter()) < due:
                news = now if self._turn(due - now) else news
            if now - news > STILL_S:
                raise LoadFailed(f"no news for {STILL_S:g} s, {self._left()} of {held} held")
            if not self._left():
                drained_s = time.perf_counter() - begun
                break
            if self._free:
                self._put(next(self._live), now)
        while self._under_way or self._sent_at:
            self._wait()
        self._close()
        cpu_s = time.process_time() - begun_cpu
        outcome = Outcome(held, drained_s, self._waits, cpu_s / (time.perf_counter() - begun), cpu_s, self._ended)
        return outcome, {"late": 0, "custody_ms": {}}

    def _left(self) -> int:
        return len(self._backlog)

    def _final(self, uetr: bytes, waited_s: float) -> None:
        if uetr in self._backlog:
            self._backlog.discard(uetr)
        else:
            self._waits.append(waited_s)

    def _wait(self) -> None:
        if not self._turn(STILL_S):
            raise LoadFailed(f"no news for {STILL_S:g} s")
