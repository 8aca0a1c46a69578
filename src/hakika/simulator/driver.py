"""The customers: each sends its order to its bank at its time, and asks again under the same id until it knows.

What a customer is told is kept: debited with which UETR, or not debited and why. An order that its bank never
answered stays unanswered in the count; the bank's books say later what became of it. How many wait for an answer
is not limited by the system under test: that is what open loop means.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from hakika import clock
from hakika.simulator.caller import Caller, NoReply
from hakika.simulator.demand import Order

ASK_S = 8.0
PAUSE_FIRST_S = 0.3
PAUSE_MAX_S = 2.0


@dataclass(slots=True)
class Told:
    """What one customer knows."""

    order: Order
    asked_ms: int
    uetr: str | None = None
    refused: str | None = None  # reason; nothing was debited
    asks: int = 0

    @property
    def known(self) -> bool:
        """Debited or not is known."""
        return self.uetr is not None or self.refused is not None


@dataclass(slots=True)
class Customers:
    """All customers of a run."""

    bank_urls: Mapping[str, str]
    told: list[Told] = field(default_factory=list)
    offered: int = 0
    debited: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    late_s: float = 0.0  # how far the driver itself fell behind its own schedule
    _callers: dict[str, Caller] = field(default_factory=dict)
    _recent: list[Told] = field(default_factory=list)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, orders: list[Order], began_s: float) -> None:
        """Send every order at its time; returns when the last has been sent, answered or not."""
        self._callers = {bank: Caller(url) for bank, url in self.bank_urls.items()}
        for order in orders:
            wait_s = began_s + order.at_s - clock.monotonic_s()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            else:
                self.late_s = max(self.late_s, -wait_s)
            self.offered += 1
            task = asyncio.create_task(self._order(order))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def settle(self, within_s: float) -> int:
        """Wait until every customer knows, at most so long; how many do not."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)
        return sum(1 for told in self.told if not told.known)

    async def close(self) -> None:
        """Nobody asks any more."""
        self._stopping.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for caller in self._callers.values():
            caller.close()

    def fresh(self) -> list[Told]:
        """Transfers debited since the last call, for whoever follows some of them."""
        recent, self._recent = self._recent, []
        return recent

    @property
    def waiting(self) -> int:
        """Customers who do not know yet."""
        return len(self._tasks)

    async def _order(self, order: Order) -> None:
        told = Told(order, clock.now_ms())
        self.told.append(told)
        pause_s = PAUSE_FIRST_S
        while not told.known and not self._stopping.is_set():
            told.asks += 1
            await self._ask(order, told)
            if not told.known:
                await asyncio.sleep(clock.jitter(pause_s))
                pause_s = min(pause_s * 2, PAUSE_MAX_S)

    async def _ask(self, order: Order, told: Told) -> None:
        try:
            status, content = await self._callers[order.bank].post(
                f"/customers/{order.customer}/transfers", order.body(), ASK_S
            )
        except NoReply:
            return
        if status != 200 or not isinstance(content, dict):
            return
        if content.get("result") == "debited":
            told.uetr = content["uetr"]
            self.debited += 1
            self._recent.append(told)
        elif content.get("result") == "not_debited":
            told.refused = str(content.get("reason"))
            self.refusals[told.refused] += 1
