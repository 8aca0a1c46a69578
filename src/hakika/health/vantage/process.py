"""A vantage: runs every test of every way in, in turn with the other vantages, and tells health what it saw.

Vantages take turns by the clock on the wall alone: each begins at its share of the period, a little jittered, so three
of them see a way in every ten seconds. Where health doubts a component it says so in its answers, and is asked for it
every few seconds; then the component's tests run beside their turns, CLOSER_TIMES as often, until the doubt is over or
health says nothing any more. Results are signed and carry their own time; while health is away they wait
here, bounded by number and by the age beyond which health would not count them. A fault of ours is no result.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hakika import clock
from hakika.health.vantage.probing import Probe
from hakika.outbound.probing import ResultsClient
from hakika.wire.health_api import PROBES_A_MESSAGE, ProbeReport, ProbeReports, ProbesTaken
from hakika.wire.jws import sign_detached

log = logging.getLogger(__name__)

JITTER_S = 1.0
WAITING_MAX = 2_000
AGE_MAX_MS = 590_000  # health counts nothing older than ten minutes
CLOSER_TIMES = 6
CLOSER_AT_ONCE = 4  # of one test: one may take its deadline, and the next is not kept waiting for it
CLOSER_KEPT_S = 15.0  # without word from health
ASK_S = 2.0  # without a result to send
SEND_AGAIN_FIRST_S = 0.5
SEND_AGAIN_MAX_S = 10.0
KEPT_FOR = (401, 408, 429)  # beside 5xx: health may take the same results later


@dataclass(slots=True)
class Vantage:
    """One place; `number` of `of` share a period of `every_s` seconds."""

    name: str
    kid: str
    key: Ed25519PrivateKey
    results: ResultsClient
    probes: Sequence[Probe]
    number: int = 1
    of: int = 1
    every_s: float = 30.0
    dropped: int = 0
    _waiting: deque[ProbeReport] = field(default_factory=deque)
    _new: asyncio.Event = field(default_factory=asyncio.Event)
    _last: dict[str, bool] = field(default_factory=dict)
    _closer: frozenset[str] = frozenset()
    _heard_s: float = 0.0  # when health last spoke
    _doubt: asyncio.Event = field(default_factory=asyncio.Event)

    def workers(self) -> list[Coroutine[Any, Any, None]]:
        """A loop for each test, the one that looks closer, and the one that sends."""
        return [*(self._repeat(probe) for probe in self.probes), self._look_closer(), self._deliver()]

    @property
    def waiting(self) -> int:
        """Results that health has not taken yet."""
        return len(self._waiting)

    async def try_once(self, probe: Probe) -> ProbeReport | None:
        """One test and its result, kept until health has it."""
        at_ms, began_s = clock.now_ms(), clock.monotonic_s()
        outcome = await probe.run()
        if outcome is None:
            return None
        latency_ms = int((clock.monotonic_s() - began_s) * 1000)
        made = ProbeReport(
            clock.new_id().hex, probe.name, probe.component, at_ms, outcome.ok, latency_ms, outcome.detail
        )
        self._tell_change(made)
        self._keep(made)
        return made

    async def _repeat(self, probe: Probe) -> None:
        while True:
            await asyncio.sleep(self.pause_s(clock.now_ms()))
            await self._try(probe)

    async def _try(self, probe: Probe) -> None:
        try:
            await self.try_once(probe)
        except Exception:
            log.exception("the test %s of %s failed by itself: no result", probe.name, probe.component)

    async def _look_closer(self) -> None:
        """Tests of what is in doubt, each begun whether the one before has ended or not."""
        async with asyncio.TaskGroup() as group:
            running: dict[int, set[asyncio.Task[None]]] = {number: set() for number in range(len(self.probes))}
            while True:
                await self._doubt.wait()
                if clock.monotonic_s() - self._heard_s > CLOSER_KEPT_S:
                    self._hear(frozenset())
                for number, probe in enumerate(self.probes):
                    if probe.component in self._closer and len(running[number]) < CLOSER_AT_ONCE:
                        task = group.create_task(self._try(probe))
                        running[number].add(task)
                        task.add_done_callback(running[number].discard)
                await asyncio.sleep(clock.jitter(self.every_s / CLOSER_TIMES))

    def _hear(self, closer: frozenset[str]) -> None:
        """What health doubts, from now on."""
        if closer != self._closer:
            log.info("looks closer at %s", ", ".join(sorted(closer)) or "nothing any more")
        self._closer, self._heard_s = closer, clock.monotonic_s()
        (self._doubt.set if closer else self._doubt.clear)()

    def pause_s(self, now_ms: int) -> float:
        """Seconds until this vantage's next turn."""
        turn_s = (self.number - 1) * self.every_s / self.of
        wait_s = (turn_s - now_ms / 1000) % self.every_s
        if wait_s < 2 * JITTER_S:
            wait_s += self.every_s  # the turn that has just been
        return wait_s + clock.jitter(JITTER_S, 1.0) - JITTER_S

    # --- what was seen

    def _tell_change(self, made: ProbeReport) -> None:
        key = f"{made.probe} {made.component}"
        if self._last.get(key) != made.ok:
            self._last[key] = made.ok
            log.info("%s: %s", key, "works" if made.ok else f"does not work: {made.detail}")

    def _keep(self, made: ProbeReport) -> None:
        self._waiting.append(made)
        self._shorten()
        self._new.set()

    def _shorten(self) -> None:
        """Let go of what is too much or too old to count."""
        oldest_ms = clock.now_ms() - AGE_MAX_MS
        while self._waiting and (len(self._waiting) > WAITING_MAX or self._waiting[0].at_ms < oldest_ms):
            self._waiting.popleft()
            self.dropped += 1

    # --- telling it

    async def _deliver(self) -> None:
        pause_s = SEND_AGAIN_FIRST_S
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(ASK_S):
                    await self._new.wait()
            self._shorten()
            if await self.send_some():
                pause_s = SEND_AGAIN_FIRST_S
                if not self._waiting:
                    self._new.clear()
            else:
                await asyncio.sleep(clock.jitter(pause_s))
                pause_s = min(pause_s * 2, SEND_AGAIN_MAX_S)

    async def send_some(self) -> bool:
        """Send the oldest results, or ask without any what is in doubt; True when they need not be sent again."""
        batch = list(self._waiting)[:PROBES_A_MESSAGE]
        body = msgspec.json.encode(ProbeReports(self.name, batch))
        answer = await self.results.send(body, sign_detached(body, self.key, self.kid, clock.now_ms() // 1000))
        if isinstance(answer, ProbesTaken):
            self._hear(frozenset(answer.closer))
            if answer.refused:
                log.warning("health does not count %d of %d results", answer.refused, len(batch))
        elif isinstance(answer, int) and answer < 500 and answer not in KEPT_FOR:
            log.error("health refuses %d results for good: HTTP %d", len(batch), answer)
        else:
            log.info("%d results wait: %s", len(self._waiting), answer)
            return False
        sent = {one.id for one in batch}
        self._waiting = deque(one for one in self._waiting if one.id not in sent)
        return True
