"""The banks of OVER: an even rate whatever the answers, first twice what the platform can do, then half of it.

An open loop, as in `load_drain`: who waits for answers sends less when they are slow. A refusal is a 503 with
`Retry-After`, and its transfers are given up here, as a bank gives them to its own queue. What was taken has to end.
"""

import time
from collections.abc import Callable
from typing import Any

from bench.speed.load_transfers import BankLoop, Message, written
from bench.speed.loader import tell
from bench.speed.loop import READ, STALL_S, LoadFailed, Outcome


def prepare(settings: dict[str, Any]) -> Callable[[], None]:
    """Write and sign every message now; the returned function sends them."""
    phases = [(float(per_s), float(seconds)) for per_s, seconds in settings["phases"]]
    messages = list(written(settings, sum(int(per_s * seconds) for per_s, seconds in phases), 1))
    loop = _Overload(settings, messages)

    def run() -> None:
        outcome, more = loop.overload(phases)
        tell(outcome, settings["waits_file"], **more)

    return run


class _Overload(BankLoop):
    """Counts what is taken, refused and ended, by phase."""

    def __init__(self, settings: dict[str, Any], messages: list[Message]) -> None:
        super().__init__(settings, messages)
        self._of_connection: dict[int, Message] = {}
        self._refused = self._skipped = self._accepted = 0
        self._finals: list[tuple[float, float]] = []  # when it was sent, and how long it took

    def overload(self, phases: list[tuple[float, float]]) -> tuple[Outcome, dict[str, Any]]:
        """Send at each phase's rate; then wait for whatever was taken. Waits are those of the first phase."""
        begun_cpu, begun = time.process_time(), time.perf_counter()
        self._ends = float("inf")
        starts = begun
        told: list[dict[str, float]] = []
        for per_s, seconds in phases:
            before = (self._accepted, self._refused, self._skipped, self._ended)
            self._steadily(starts, per_s, seconds)
            starts += seconds
            after = (self._accepted, self._refused, self._skipped, self._ended)
            names = ("accepted", "refused", "skipped", "ended")
            told.append({name: b - a for name, a, b in zip(names, before, after, strict=True)})
        while self._under_way or self._sent_at:
            if not self._turn(STALL_S):
                raise LoadFailed(f"nothing for {STALL_S:g} s, {len(self._under_way)} transfers under way")
        whole, cpu_s = time.perf_counter() - begun, time.process_time() - begun_cpu
        self._close()
        first_s = phases[0][1]
        self._waits.extend(waited for sent, waited in self._finals if sent - begun < first_s)
        by_second: list[list[float]] = [[] for _ in range(int(sum(seconds for _, seconds in phases)) + 1)]
        for sent, waited in self._finals:
            by_second[int(sent - begun)].append(waited)
        p99_ms = [round(1000 * sorted(one)[int(len(one) * 0.99)], 1) if one else None for one in by_second]
        outcome = Outcome(int(told[0]["ended"]), first_s, self._waits, cpu_s / whole, cpu_s, self._ended)
        return outcome, {"phases": told, "p99_ms": p99_ms, "accepted": self._accepted}

    def _steadily(self, begun: float, per_s: float, seconds: float) -> None:
        """One phase; a message for which no connection is free is left out and counted."""
        for number in range(int(per_s * seconds)):
            due = begun + number / per_s
            while (now := time.perf_counter()) < due:
                self._turn(due - now)
            message = next(self._messages)
            if self._free:
                self._of_connection[self._free[0]] = message
                self._put(message, now)
            else:
                self._skipped += 1
            if number % 8 == 0:  # answers are read even where the rate leaves no pause
                self._turn(0.0)

    def _answered(self, number: int) -> None:
        """A refusal is read here, everything else as ever."""
        partial = self._there.partial
        chunk = self._there.sockets[number].recv(READ)
        whole = partial.pop(number, b"") + chunk
        if chunk and not b"HTTP/1.1 503".startswith(whole[:12]) and not whole.startswith(b"HTTP/1.1 503"):
            self._accepted += self._taken_whole(number, whole)
            return
        end = whole.find(b"\r\n\r\n")
        head = whole[:end].lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or -1) if end > 0 else -1
        if not chunk or (end > 0 and length < 0):
            raise LoadFailed(f"the gateway closed a connection: {whole[:300]!r}")
        if end < 0 or len(whole) - end - 4 < length:
            partial[number] = whole
            return
        if b"retry-after:" not in head:
            raise LoadFailed(f"refused without Retry-After: {whole[:400]!r}")
        self._refused += 1
        for uetr in self._of_connection[number][1]:
            del self._under_way[uetr]
        del self._sent_at[number]
        self._free.append(self._there.anew(number) if b"connection: close" in head else number)

    def _final(self, uetr: bytes, waited_s: float) -> None:
        self._finals.append((time.perf_counter() - waited_s, waited_s))
