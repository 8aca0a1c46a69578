"""Recovery: what is in doubt is resolved before anything fresh, and what is due goes back by the clock.

A doubt is resolved by asking the core: an inquiry first, as the probe; then the same instruction again, or,
once its validity has passed or the bank wants the money back, the burn of its id. Only a stored answer closes
it. An id that a live core answers without evidence stays open, opens a break and is asked about again, but does
not stop the others. Transfers that nobody ever sent are returned at their instant, asking nobody, and their ids
are burnt as soon as the core is reachable. A restored core is brought up first (`redrive.py`); what is older than
a restore of our own database has a loop of its own (`restored.py`), and an instruction of it is never repeated.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from uuid import UUID

from hakika import clock
from hakika.domain.transfer import ClockReturnDue
from hakika.outbound.core import NoAnswer, NotSent
from hakika.services.gateway.signals import GatewaySignals
from hakika.services.gateway.transfers import LEASE_MS, Desk, Happened
from hakika.store.gateway import queues, restores
from hakika.store.gateway.queues import BurnDue, OpenAttempt
from hakika.store.lane import Lanes, StoreFault
from hakika.wire.core_api import BATCH_MAX, Answers
from hakika.workers.calling import call
from hakika.workers.delivery import (
    BUG_PAUSE_S,
    STORE_DEADLINE_S,
    CoreLink,
    Recorder,
    answered,
    count_failed,
    give_up,
    instruction_for,
)
from hakika.workers.redrive import Redrive, burn_numbers
from hakika.workers.restored import Restored

log = logging.getLogger(__name__)

TURN_S = 0.25
TURN_SILENT_S = 0.5
TURN_ORPHANS_S = 0.1  # while others' attempts are waited for, and nothing fresh is sent
DOUBTS_A_TURN = 64
RETURNS_A_TURN = 250
BURNS_A_TURN = 200
STUCK_ASKS = 3  # asked about so often without evidence, an id is a break: one odd answer may be a moment's
STUCK_MAX = 16  # ids without evidence that are borne; more of them mean that the core itself is not to be trusted
CONTINUE_MARGIN_MS = 50


class Recovery:
    """Four loops: doubts and re-drive, returns by the clock, pre-emptive burns, what is older than a restore."""

    def __init__(
        self,
        desk: Desk,
        lanes: Lanes,
        link: CoreLink,
        *,
        holder: UUID,
        scale: float,
        signals: GatewaySignals | None = None,
    ) -> None:
        self._desk = desk
        self._signals = signals or GatewaySignals()
        self._lanes = lanes
        self._link = link
        self._holder = holder
        self._scale = scale
        self._recorder = Recorder(desk)
        self._stuck: dict[UUID, int] = {}  # open attempts that a live core has answered without evidence, how often
        self._redrive = Redrive(lanes, link, self._recorder, holder=holder, scale=scale)
        self._restored = Restored(lanes, link, self._recorder)

    async def run(self) -> None:
        """Work until cancelled."""
        await asyncio.gather(
            self._loop(self._doubts, "doubts"),
            self._loop(self._returns, "returns"),
            self._loop(self._burns, "burns"),
            self._loop(self._restored.turn, "what is older than a restore"),
        )

    async def _loop(self, turn: Callable[[], Awaitable[bool]], name: str) -> None:
        while True:
            pause_s = TURN_S
            try:
                if await turn():
                    pause_s = 0.0
            except StoreFault as fault:
                log.warning("recovery of %s: the gateway's database does not answer: %s", name, fault)
            except (NoAnswer, NotSent) as fault:
                log.info("recovery of %s: the core does not answer: %s", name, fault)
                pause_s = TURN_SILENT_S
            except Exception:
                log.exception("a turn of recovery of %s failed; the other work goes on", name)
                pause_s = BUG_PAUSE_S
            await asyncio.sleep(clock.jitter(pause_s) if pause_s else 0)

    async def _doubts(self) -> bool:
        """Resolve a share of what is in doubt; True when there may be more."""
        if not self._link.breaker.live(clock.monotonic_s()):
            return False  # the session is the probe; nothing is taken over that cannot be asked about
        if not self._link.redriven:
            self._stuck.clear()
            return await self._redrive.run()
        taken = await self._take_over()
        if not taken:
            return await self._all_clear()
        try:
            await self._resolve(taken)
        except (NoAnswer, NotSent) as fault:
            self._link.breaker.silent(clock.monotonic_s())
            count_failed(self._signals, taken, fault.why if isinstance(fault, NoAnswer) else "unreachable")
            await give_up(self._lanes, taken, self._holder)
            raise
        return True

    async def _take_over(self) -> list[OpenAttempt]:
        now_ms = clock.now_ms()
        return await self._lanes.run(
            lambda conn: queues.take_over(
                conn, holder=self._holder, now_ms=now_ms, until_ms=now_ms + LEASE_MS, limit=DOUBTS_A_TURN
            ),
            deadline_s=STORE_DEADLINE_S,
        )

    async def _all_clear(self) -> bool:
        """Nothing can be taken over: fresh transfers may flow once nothing is left in doubt; True to look again.

        What is open since before we started or tripped may be an orphan, and is waited for: its lease ends, or its
        sender closes it. So is what is ours. What another process has recorded since then is its own traffic: it has
        its answers already.
        """
        breaker = self._link.breaker
        if not breaker.open and not breaker.doubts:
            return False
        stuck = list(self._stuck) if len(self._stuck) <= STUCK_MAX else []
        before_ms = clock.now_ms() - int(1000 * (clock.monotonic_s() - breaker.since_s))
        count, _ = await self._lanes.run(
            lambda conn: queues.in_doubt(conn, stuck, before_ms=before_ms, holder=self._holder),
            deadline_s=STORE_DEADLINE_S,
        )
        if count == 0:
            breaker.resolved(clock.monotonic_s())
            self._link.wake.set()
            return False
        await asyncio.sleep(clock.jitter(TURN_ORPHANS_S))
        return True

    async def _resolve(self, taken: list[OpenAttempt]) -> None:
        """Ask about all; what the core does not know is sent again, or burnt."""
        known = await self._ask_first(taken)
        now_ms = clock.now_ms()
        left = [attempt for attempt in taken if attempt.id not in known]
        burn = [a for a in left if a.burn_only or now_ms >= a.valid_until_ms - CONTINUE_MARGIN_MS]
        again = [a for a in left if a not in burn]
        if burn:
            known |= await self._store(burn, await call(self._link.client.burn([a.id.hex for a in burn])))
        if again:
            answers = await call(self._link.client.instruct([instruction_for(a) for a in again]))
            known |= await self._store(again, answers)
        for one in known:
            self._stuck.pop(one, None)
        await self._note_stuck([attempt for attempt in taken if attempt.id not in known])

    async def _note_stuck(self, without: list[OpenAttempt]) -> None:
        """A live core gave no evidence about these: they stay open, a break says so, the others go on."""
        count_failed(self._signals, without, "senseless")
        for attempt in without:
            self._stuck[attempt.id] = self._stuck.get(attempt.id, 0) + 1
        broken = [attempt for attempt in without if self._stuck[attempt.id] == STUCK_ASKS]
        if broken:
            log.error("the core gives no evidence about %d attempts, first %s", len(broken), broken[0].id)
            await self._lanes.run(
                lambda conn: restores.open_breaks(conn, "answered_without_evidence", broken, clock.now_ms()),
                deadline_s=STORE_DEADLINE_S,
            )

    async def _ask_first(self, taken: list[OpenAttempt]) -> set[UUID]:
        """The probe: an inquiry. Stored answers close attempts; `unknown` closes nothing."""
        answers = await call(self._link.client.inquire([a.id.hex for a in taken]))
        return await self._store(taken, answers)

    async def _store(self, attempts: list[OpenAttempt], answers: Answers) -> set[UUID]:
        """Record the answers that are evidence; the ids they were about."""
        self._link.breaker.answered(clock.monotonic_s())
        events, closed = [], set()
        for attempt, answer in zip(attempts, answers.answers, strict=True):
            event = answered(attempt, answer, answers.incarnation, self._scale) if answer.id == attempt.id.hex else None
            if event is not None:
                events.append(event)
                closed.add(attempt.id)
        await self._recorder.record(events)
        return closed

    async def _returns(self) -> bool:
        """Return what has reached its instant unsent; asks nobody, needs our own database alone."""
        now_ms = clock.now_ms()
        due = await self._lanes.run(
            lambda conn: queues.returns_due(conn, now_ms=now_ms, limit=RETURNS_A_TURN), deadline_s=STORE_DEADLINE_S
        )
        await self._recorder.record(Happened(key, ClockReturnDue(now_ms)) for key in due)
        return len(due) >= RETURNS_A_TURN

    async def _burns(self) -> bool:
        """Burn the ids of transfers that went back unsent, now that the core can be reached."""
        if not self._link.breaker.live(clock.monotonic_s()) or self._link.breaker.doubts:
            return False
        due = await self._lanes.run(lambda conn: queues.burns_due(conn, BURNS_A_TURN), deadline_s=STORE_DEADLINE_S)
        if due:
            await self._burn_unsent(due)
        return len(due) >= BURNS_A_TURN

    async def _burn_unsent(self, due: list[BurnDue]) -> None:
        """Burn every id of these transfers in one exchange; a transfer is done when each of its ids is answered."""
        asked: list[tuple[BurnDue, int]] = []
        for item in due:
            if asked and len(asked) + item.last > BATCH_MAX:
                break
            asked += [(item, number) for number in range(1, item.last + 1)]
        events = await burn_numbers(self._link.client, asked)
        whole = {item.transfer for item in due if all((item.transfer, n) in events for n in range(1, item.last + 1))}
        await self._recorder.record_in_order(
            events[item.transfer, number] for item, number in asked if item.transfer in whole
        )
