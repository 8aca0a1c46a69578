"""What every kind of work is measured with: the server, P, and the order of one repeat.

A repeat is checkpoint, P, checkpoint, work: so that P and the work meet the same disk in the same state, and the ratio
of the two says something on a machine whose speed drifts.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from bench.speed.figures import Repeat, repeat
from bench.speed.peer import PeerFigure
from bench.speed.peer_pgbench import Pgbench
from bench.speed.server import Server

P_S = 5


@dataclass(frozen=True, slots=True)
class Counted:
    """What one repeat did: things done, in how many seconds, and how long each request took (s)."""

    count: int
    seconds: float
    waits_s: Sequence[float]


@dataclass(slots=True)
class Bench:
    """One run."""

    server: Server
    pgbench: Pgbench
    console: Console
    folder: Path  # for what the run leaves behind
    repeats: int = 3
    seconds: float = 8.0
    full: bool = False
    gateways: int = 1  # processes of the gateway on one database
    peers: dict[str, PeerFigure] = field(default_factory=dict)  # other programs, each measured once a run

    def say(self, words: str) -> None:
        """Progress for whoever waits."""
        self.console.print(words, style="dim", highlight=False)

    async def repeated(self, name: str, work: Callable[[int], Awaitable[Counted]]) -> tuple[Repeat, ...]:
        """Warm up once (repeat number 0, not counted), then measure each repeat beside P."""
        await work(0)
        found: list[Repeat] = []
        for number in range(1, self.repeats + 1):
            await self.server.settle()
            p = await self.pgbench.measure(P_S)
            await self.server.settle()
            counted = await work(number)
            one = repeat(counted.count, counted.seconds, p, counted.waits_s)
            found.append(one)
            ratio = one.per_s / one.p
            words = (
                f"{one.per_s:>9,.0f}/s = {ratio:5.2f} P (P {p:,.0f}/s), p50 {one.p50_ms:.1f} p99 {one.p99_ms:.1f} ms"
            )
            self.say(f"  {name} {number}/{self.repeats}: {words}")
        return tuple(found)
