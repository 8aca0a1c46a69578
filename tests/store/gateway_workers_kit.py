"""Delivery and recovery of one process over a core that misbehaves, with machine timers shortened.

The core is the honest ledger in a few lines, behind a client that loses requests and answers as it likes; the
rules, the desk and the workers are the real ones.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from gateway_desk_kit import HOLDER, Gateway, credit

from hakika import clock
from hakika.ids import attempt_id
from hakika.outbound.core import NoAnswer, NotSent
from hakika.services.gateway import first_attempts
from hakika.services.gateway import transfers as desk_service
from hakika.wire.core_api import Answer, Answers, Instruction, Session
from hakika.wire.iso20022.messages import CreditTransfer
from hakika.workers import delivery, recovery
from hakika.workers.delivery import CoreLink, Delivery
from hakika.workers.recovery import Recovery

LEASE_MS = 700
Stored = tuple[str, str | None]


@dataclass
class OddCore:
    """A client of the core and the core itself; `trouble` decides before each exchange what goes wrong."""

    trouble: Callable[[], str] = lambda: ""
    refuses: Callable[[Instruction], str | None] = lambda instruction: None
    alter: Callable[[Answer], Answer] = lambda answer: answer
    stored: dict[str, Stored] = field(default_factory=dict)
    credits: list[str] = field(default_factory=list)
    instructed: list[str] = field(default_factory=list)
    executed_late: list[Instruction] = field(default_factory=list)
    redriven_incarnation: int = 2  # the last incarnation that has been driven again; 1 after a restore
    instructed_before_redriven: int = 0

    async def session(self) -> Session:
        self._may_fail()
        return Session(incarnation=2, now_ms=clock.now_ms(), redriven=self.redriven_incarnation == 2)

    async def redriven(self, incarnation: int) -> None:
        """Everything is driven again."""
        self._may_fail()
        self.redriven_incarnation = incarnation

    async def instruct(self, instructions: list[Instruction], *, redrive: bool = False) -> Answers:
        self.instructed_before_redriven += len(instructions) if self.redriven_incarnation != 2 and not redrive else 0
        return await self._exchange([i.id for i in instructions], lambda: [self._credit(i) for i in instructions])

    async def burn(self, ids: list[str]) -> Answers:
        return await self._exchange(ids, lambda: [self.stored.setdefault(one, ("burnt", None)) for one in ids])

    async def inquire(self, ids: list[str]) -> Answers:
        return await self._exchange(ids, lambda: [self.stored.get(one, ("unknown", None)) for one in ids])

    def _credit(self, instruction: Instruction) -> Stored:
        self.instructed.append(instruction.id)
        if instruction.id not in self.stored:
            reason = self.refuses(instruction)
            self.stored[instruction.id] = ("refused", reason) if reason else ("posted", None)
            if not reason:
                self.credits.append(instruction.id)
        return self.stored[instruction.id]

    def _may_fail(self) -> str:
        trouble = self.trouble()
        if trouble == "unreachable":
            raise NotSent("no connection")
        if trouble == "lost":
            raise NoAnswer("the request was lost")
        return trouble

    async def _exchange(self, ids: list[str], execute: Callable[[], list[Stored]]) -> Answers:
        trouble = self._may_fail()
        await asyncio.sleep(0.002)
        results = execute()
        if trouble == "answer lost":
            raise NoAnswer("the answer was lost")
        answers = [
            self.alter(Answer(one, result, reason, seq=7, head="00"))  # type: ignore[arg-type]
            for one, (result, reason) in zip(ids, results, strict=True)
        ]
        return Answers(2, answers)


@dataclass
class Works:
    """A running gateway process as far as its workers go."""

    gateway: Gateway
    core: OddCore
    link: CoreLink
    tasks: list["asyncio.Task[None]"]

    @classmethod
    @asynccontextmanager
    async def running(cls, gateway: Gateway, core: OddCore, *, scale: float = 1.0) -> AsyncIterator["Works"]:
        """Delivery, recovery and the session's watch, until the block ends."""
        client: Any = core
        link = CoreLink(client)
        gateway.first.way = link
        deliver = Delivery(
            gateway.desk, gateway.lanes, link, holder=HOLDER, scale=scale, first=gateway.first, signals=gateway.signals
        )
        recover = Recovery(gateway.desk, gateway.lanes, link, holder=HOLDER, scale=scale, signals=gateway.signals)
        loops = (link.watch_session(), deliver.run(), recover.run())
        tasks = [asyncio.create_task(loop) for loop in loops]
        try:
            yield cls(gateway, core, link, tasks)
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task

    async def until(self, statement: str, expected: int, *, within_s: float = 12.0) -> None:
        """Wait for a count; a worker that ended is told at once."""
        end_s = clock.monotonic_s() + within_s
        found = -1
        while clock.monotonic_s() < end_s:
            for task in self.tasks:
                if task.done():
                    task.result()
            found = await self.gateway.number(statement)
            if found == expected:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{statement}: {found}, not {expected}")


ENDED = "SELECT count(*) FROM transfer WHERE status IN ('COMPLETED', 'RETURNED')"


def shorten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases, turns and the session's watch at a test's pace."""
    monkeypatch.setattr(desk_service, "LEASE_MS", LEASE_MS)
    monkeypatch.setattr(first_attempts, "LEASE_MS", LEASE_MS)
    monkeypatch.setattr(first_attempts, "SEND_BY_MS", LEASE_MS // 2)
    monkeypatch.setattr(recovery, "LEASE_MS", LEASE_MS)
    monkeypatch.setattr(recovery, "TURN_S", 0.05)
    monkeypatch.setattr(recovery, "TURN_SILENT_S", 0.05)
    monkeypatch.setattr(delivery, "SESSION_EVERY_S", 0.1)
    monkeypatch.setattr(delivery, "IDLE_S", 0.1)


def many(count: int, **other: Any) -> list[CreditTransfer]:
    """So many transfers of one message."""
    return [credit(end_to_end_id=f"E{number}", **other) for number in range(count)]


async def reconciled(works: Works) -> None:
    """Each COMPLETED transfer has exactly one credit under one of its own ids, no other transfer has any."""
    core, gateway = works.core, works.gateway
    owners: dict[str, tuple[UUID, str]] = {}
    for bank, uetr, status in await gateway.rows("SELECT bank, uetr, status FROM transfer"):
        for number in range(1, 12):
            owners[attempt_id(bank, uetr, number).hex] = (uetr, status)
    credited = [owners[one] for one in core.credits]
    assert len(credited) == len(set(credited))
    completed = await gateway.rows("SELECT uetr, status FROM transfer WHERE status = 'COMPLETED'")
    assert sorted(credited) == sorted(map(tuple, completed))
    assert await gateway.number("SELECT count(*) FROM reconciliation_break") == 0
    told = await gateway.rows("SELECT transfer, count(*) FROM outbox WHERE kind IN ('final', 'return') GROUP BY 1")
    assert {count for _, count in told} == {1}
    for outcome, one in await gateway.rows("SELECT outcome, id FROM attempt"):
        stored = core.stored.get(one.hex, ("not_sent", None))[0]
        assert outcome == stored or (outcome, stored) == ("not_sent", "burnt"), (outcome, stored)
