"""Delivery and recovery with real PostgreSQL and a core that misbehaves: everything ends, nothing ends twice.

The core, the workers' process and the shortened timers are in `gateway_workers_kit.py`.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import pytest
from gateway_desk_kit import HOLDER, Gateway, credit, recall_of
from gateway_workers_kit import ENDED, OddCore, Works, many, reconciled, shorten

from hakika import clock
from hakika.domain.reasons import Reason
from hakika.domain.transfer import ClockReturnDue, CoreAnswered, Outcome, SenderWroteNothing, WorkerClaimed
from hakika.ids import attempt_id
from hakika.services.gateway import first_attempts
from hakika.services.gateway import transfers as desk_service
from hakika.services.gateway.transfers import Happened
from hakika.store.embedded import RoleAccess
from hakika.store.gateway import queues
from hakika.store.gateway.transfers import Evidence
from hakika.store.lane import StoreFault
from hakika.wire.core_api import Answer
from hakika.workers import delivery, recovery

OTHER = UUID(int=0xB2)
EVIDENCE = Evidence(1, 0, 7, b"h" * 32)


@pytest.fixture
async def gateway(gateway_database: RoleAccess, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    shorten(monkeypatch)
    async with Gateway.open(gateway_database) as running:
        yield running


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_transfer_ends_once_through_troubles(gateway: Gateway, seed: int) -> None:
    """I-GW-1, I-GW-3, I-GW-5: lost requests, lost answers, refused connections; then it heals."""
    chance = random.Random(seed)
    troubles = ["", "", "", "lost", "answer lost", "answer lost", "unreachable"]
    core = OddCore(trouble=lambda: chance.choice(troubles))
    core.refuses = lambda instruction: "wallet_closed" if int(instruction.id[:2], 16) < 30 else None
    await gateway.custody(*many(150))
    async with Works.running(gateway, core) as works:
        await asyncio.sleep(2.0)
        core.trouble = lambda: ""
        await works.until(ENDED, 150)
        await reconciled(works)
    assert await gateway.number("SELECT count(*) FROM attempt WHERE outcome = 'refused'") > 0


async def test_silence_leaves_no_more_than_the_window_in_doubt(gateway: Gateway) -> None:
    """Few are ever in doubt: the first silence stops what is fresh; nothing is returned meanwhile."""
    await gateway.custody(*many(200))
    core = OddCore()
    async with Works.running(gateway, core) as works:
        await works.until("SELECT least(count(*), 20) FROM transfer WHERE status = 'COMPLETED'", 20)
        core.trouble = lambda: "answer lost"
        await asyncio.sleep(1.5)
        doubts = await gateway.number("SELECT count(*) FROM attempt WHERE outcome IS NULL")
        assert doubts <= 64
        assert await gateway.number("SELECT count(*) FROM payment_return") == 0
        core.trouble = lambda: ""
        await works.until(ENDED, 200)
        await reconciled(works)


async def test_leases_are_given_up_when_the_database_is_back(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Core and our own database die together: what was in doubt then is not waited for until its leases end."""
    for module in (desk_service, delivery, recovery, first_attempts):
        monkeypatch.setattr(module, "LEASE_MS", 60_000)
    release, refused = queues.release, 0

    async def at_the_fourth_try(*args: Any, **named: Any) -> None:
        nonlocal refused
        if refused < 3:
            refused += 1
            raise StoreFault("no connection")
        await release(*args, **named)

    monkeypatch.setattr(queues, "release", at_the_fourth_try)
    await gateway.custody(*many(40))
    core = OddCore(trouble=lambda: "answer lost")
    async with Works.running(gateway, core) as works:
        await works.until("SELECT least(count(*), 4) FROM attempt WHERE lease_until_ms > recorded_ms + 50000", 4)
        core.trouble = lambda: ""
        await works.until(ENDED, 40)
        await reconciled(works)
    assert refused == 3


async def opened_by(other: Gateway, key: UUID) -> None:
    """Another process records an attempt of this transfer, and has not heard of it yet."""

    async def choose(conn: Any) -> list[UUID]:
        return [key]

    assert len(await other.desk.claim(other.lanes, choose, deadline_s=5)) == 1


async def test_what_another_process_sends_since_the_trouble_is_not_waited_for(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has had its answers, and sends: something of it is always open."""
    for module in (desk_service, delivery, recovery, first_attempts):
        monkeypatch.setattr(module, "LEASE_MS", 60_000)
    core = OddCore(trouble=lambda: "unreachable")
    (theirs,) = await gateway.custody(credit())
    async with Gateway.open(gateway.database, holder=OTHER) as other, Works.running(gateway, core) as works:
        await asyncio.sleep(0.05)
        await opened_by(other, theirs)
        await gateway.custody(*many(5))
        core.trouble = lambda: ""
        await works.until(ENDED, 5)
        assert await gateway.number("SELECT count(*) FROM attempt WHERE outcome IS NULL") == 1


@pytest.mark.parametrize("whose", ["of the life before", "our own, on its way"])
async def test_what_may_be_an_orphan_is_waited_for(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    """Nothing fresh is sent until it is closed or its lease has ended."""
    for module in (desk_service, delivery, recovery, first_attempts):
        monkeypatch.setattr(module, "LEASE_MS", 60_000)
    core, before = OddCore(trouble=lambda: "unreachable"), whose == "of the life before"
    (left,) = await gateway.custody(credit())
    async with Gateway.open(gateway.database, holder=OTHER if before else HOLDER) as holding:
        if before:
            await opened_by(holding, left)
        async with Works.running(gateway, core) as works:
            await asyncio.sleep(0.05)
            if not before:
                await opened_by(holding, left)
            await gateway.custody(*many(5))
            core.trouble = lambda: ""
            await asyncio.sleep(1.0)
            assert works.link.breaker.live(clock.monotonic_s())
            assert await gateway.number("SELECT count(*) FROM attempt") == 1
            answered = CoreAnswered(1, Outcome.POSTED, clock.now_ms())
            await holding.desk.apply(Happened(left, answered, EVIDENCE), deadline_s=5)
            await works.until(ENDED, 6)


async def test_never_attempted_goes_back_with_the_core_dead(gateway: Gateway) -> None:
    """Power off past the deadline, on again with the core still dead: decided at once, burnt when it is back."""
    await gateway.custody(*many(120))
    await _let_time_pass(gateway)
    core = OddCore(trouble=lambda: "unreachable")
    async with Works.running(gateway, core) as works:
        await works.until("SELECT count(*) FROM payment_return WHERE burn_due", 120)
        assert await gateway.number("SELECT count(*) FROM attempt") == 0
        core.trouble = lambda: ""
        await works.until("SELECT count(*) FROM payment_return WHERE burn_due", 0)
        assert sorted(result for result, _ in core.stored.values()) == ["burnt"] * 120
        await reconciled(works)


async def test_in_doubt_past_the_deadline_is_resolved_by_the_burn(gateway: Gateway) -> None:
    """I-GW-2, I-GW-6: attempted and silent; past every instant nothing is returned until the core has burnt it."""
    await gateway.custody(*many(20))
    chance = random.Random(4)
    core = OddCore()
    async with Works.running(gateway, core) as works:
        await works.until(ENDED, 20)
        gateway.first.way = None  # an attempt that is open has been sent
        await gateway.custody(*(credit(end_to_end_id=f"F{number}") for number in range(20)))
        core.trouble = lambda: chance.choice(["lost", "answer lost"])
        await works.until("SELECT least(count(*), 1) FROM attempt WHERE outcome IS NULL", 1)
        doubts = await gateway.number("SELECT count(*) FROM attempt WHERE outcome IS NULL")
        await _let_time_pass(gateway)
        await asyncio.sleep(1.0)
        assert await gateway.number("SELECT count(*) FROM attempt WHERE outcome IS NULL") == doubts
        core.trouble = lambda: ""
        await works.until(ENDED, 40)
        await reconciled(works)


ODD: dict[str, dict[str, Any]] = {
    "reason of tomorrow": {"result": "refused", "reason": "sunspots"},
    "refused without a reason": {"result": "refused", "reason": None},
    "head that is no hex": {"head": "zz"},
    "another id": {"id": "f" * 32},
    "conflict": {"result": "conflict"},
}


@pytest.mark.parametrize("odd", ODD)
async def test_an_answer_that_makes_no_sense_is_evidence_of_nothing(gateway: Gateway, odd: str) -> None:
    """It leaves its attempt open and ends no worker; when the core speaks sense again, all is resolved."""
    victims: list[str] = []

    def alter(answer: Answer) -> Answer:
        if not victims:
            victims.append(answer.id)
        if answer.id != victims[0]:
            return answer
        return Answer(**{**{name: getattr(answer, name) for name in answer.__struct_fields__}, **ODD[odd]})

    core = OddCore(alter=alter)
    await gateway.custody(*many(6))
    async with Works.running(gateway, core) as works:
        await works.until("SELECT count(*) FROM attempt WHERE outcome IS NULL AND lease_token > 1", 1)
        await asyncio.sleep(0.3)
        rows = await gateway.rows("SELECT id FROM attempt WHERE outcome IS NULL AND lease_token > 1")
        assert [one.hex for (one,) in rows] == victims
        core.alter = lambda answer: answer
        await works.until(ENDED, 6)
        await reconciled(works)


async def _let_time_pass(gateway: Gateway) -> None:
    """What no correct program may do: the promises that are still open are moved into the past."""
    past = "valid_until_ms = received_ms + 1, return_at_ms = received_ms + 2, deadline_ms = received_ms + 3"
    statements = (
        "ALTER TABLE transfer DISABLE TRIGGER transfer_keeps_order",
        f"UPDATE transfer SET {past} WHERE status IN ('RECEIVED', 'IN_FLIGHT')",
        "ALTER TABLE transfer ENABLE TRIGGER transfer_keeps_order",
    )
    connection = await psycopg.AsyncConnection.connect(gateway.database.owner_url, autocommit=True)
    async with connection:
        for statement in statements:
            await connection.execute(statement.encode())


async def test_one_id_without_evidence_does_not_stop_the_others(gateway: Gateway) -> None:
    """A live core that says `conflict` about one id for ever: it stays open with a break, everything else flows."""
    (odd,) = await gateway.custody(credit())
    ((odd_id,),) = await gateway.rows("SELECT bank || uetr FROM transfer WHERE id = %s", odd)
    assert odd_id
    bad = attempt_id("bank-a", (await gateway.rows("SELECT uetr FROM transfer WHERE id = %s", odd))[0][0], 1).hex
    core = OddCore(alter=lambda answer: Answer(bad, "conflict", seq=7, head="00") if answer.id == bad else answer)
    async with Works.running(gateway, core) as works:
        kind = "SELECT count(*) FROM reconciliation_break WHERE kind = 'answered_without_evidence'"
        await works.until(kind, 1)
        await gateway.custody(*many(40))
        await works.until(ENDED, 40)
        assert await gateway.rows("SELECT outcome FROM attempt WHERE transfer = %s", odd) == [(None,)]
        core.alter = lambda answer: answer  # evidence at last: it closes like any other
        await works.until(ENDED, 41)


async def test_many_ids_without_evidence_hold_everything(gateway: Gateway) -> None:
    """A core that gives no evidence at all is not one that money is sent to."""
    core = OddCore(alter=lambda answer: Answer(answer.id, "conflict", seq=7, head="00"))
    await gateway.custody(*many(recovery.STUCK_MAX + 8))
    async with Works.running(gateway, core) as works:
        kind = "SELECT count(*) FROM reconciliation_break WHERE kind = 'answered_without_evidence'"
        await works.until(kind, recovery.STUCK_MAX + 8)
        await gateway.custody(*many(20))
        await asyncio.sleep(1.0)
        assert await gateway.number("SELECT count(*) FROM attempt") == recovery.STUCK_MAX + 8
        assert not works.link.breaker.sendable(clock.monotonic_s())


async def test_credited_under_a_dead_id_stops_for_people(gateway: Gateway) -> None:
    """The core says `refused`, and later `posted` for the same id: no second attempt, no return, a break."""
    (key,) = await gateway.custody(credit())
    desk, now_ms = gateway.desk, clock.now_ms()
    short = CoreAnswered(1, Outcome.REFUSED, now_ms, Reason.POSITION_SHORT, scale=1000.0)
    evidence = Evidence(1, 0, 1, b"h")
    for event in (WorkerClaimed(now_ms), short, CoreAnswered(1, Outcome.POSTED, now_ms)):
        await desk.apply(Happened(key, event, evidence), deadline_s=5)
    assert await gateway.rows("SELECT kind FROM reconciliation_break") == [("received_but_posted",)]
    async with Works.running(gateway, OddCore()) as works:
        await works.gateway.custody(credit())
        await works.until(ENDED, 1)
        await desk.apply(Happened(key, ClockReturnDue(now_ms + 10**9)), deadline_s=5)
        assert await gateway.rows("SELECT status FROM transfer WHERE id = %s", key) == [("RECEIVED",)]
        assert await gateway.number("SELECT count(*) FROM attempt WHERE transfer = %s", key) == 1


async def test_a_restored_core_is_driven_again_whole(gateway: Gateway) -> None:
    """What it has forgotten cannot move money late: credits are posted again, every other id is burnt first."""
    core = OddCore(refuses=lambda instruction: "position_short" if instruction.amount_minor == 7 else None)
    done, short, back = [credit() for _ in range(3)], [credit(amount_minor=7) for _ in range(3)], credit()
    await gateway.custody(*done, *short)
    async with Works.running(gateway, core) as works:
        await works.until(ENDED, 3)
        await works.until("SELECT count(*) FROM attempt WHERE outcome = 'refused'", 3)
        await gateway.custody(back)
        await gateway.acts.recall("bank-a", recall_of(back.uetr))
        await works.until("SELECT count(*) FROM payment_return WHERE NOT burn_due", 1)
    core.stored.clear()  # restored from a backup of before
    core.credits.clear()
    core.refuses = lambda instruction: None
    core.redriven_incarnation = 1
    (left,) = await gateway.custody(credit())
    await gateway.desk.apply(Happened(left, WorkerClaimed(clock.now_ms())), deadline_s=5)  # its sender has died
    async with Works.running(gateway, core) as works:
        await works.until("SELECT count(*) FROM core_incarnation WHERE number = 2 AND redriven_ms IS NOT NULL", 1)
        assert core.instructed_before_redriven == 0
        assert {attempt_id("bank-a", transfer.uetr, 1).hex for transfer in done} <= set(core.credits)
        for transfer in (*short, back):
            assert core.stored.get(attempt_id("bank-a", transfer.uetr, 1).hex) == ("burnt", None)
        await works.until(ENDED, 5)
    assert len(core.credits) == len(set(core.credits))
    assert await gateway.number("SELECT count(*) FROM reconciliation_break") == 0


async def test_one_claim_that_is_refused_keeps_nobody_waiting(gateway: Gateway) -> None:
    """Claims are recorded together; where the database refuses one, each is tried by itself."""
    odd, *others = many(20)
    (refused,) = await gateway.custody(odd)
    (first, *_) = await gateway.custody(*others)
    begun = Happened(first, WorkerClaimed(clock.now_ms())), Happened(first, SenderWroteNothing(1, 1, clock.now_ms()))
    for happened in begun:
        await gateway.desk.apply(happened, deadline_s=2)
    async with await psycopg.AsyncConnection.connect(gateway.database.owner_url, autocommit=True) as owner:
        await owner.execute("ALTER TABLE attempt DISABLE TRIGGER USER")  # its id is another's: no claim of it fits
        taken = attempt_id("bank-a", odd.uetr, 1)
        await owner.execute("UPDATE attempt SET id = %s WHERE transfer = %s", (taken, first))
        await owner.execute("ALTER TABLE attempt ENABLE TRIGGER USER")
    async with Works.running(gateway, OddCore()) as works:
        await works.until("SELECT count(*) FROM transfer WHERE status = 'COMPLETED'", 19)
    assert await gateway.rows("SELECT status FROM transfer WHERE id = %s", refused) == [("RECEIVED",)]


async def test_processes_beside_each_other_do_not_choose_the_same(gateway: Gateway) -> None:
    """What one is about to claim the other leaves to it, and waits for nothing."""
    keys = await gateway.custody(*many(20))
    chosen, go = asyncio.Event(), asyncio.Event()

    async def choose(conn: Any, wait: bool) -> list[UUID]:
        found = await queues.claimable(conn, now_ms=clock.now_ms(), limit=10, short=[])
        if wait:
            chosen.set()
            await go.wait()
        return [held.id for held in found.chosen]

    async with Gateway.open(gateway.database, holder=OTHER) as other:
        claim = gateway.desk.claim(gateway.lanes, partial(choose, wait=True), deadline_s=10)
        first = asyncio.create_task(claim)
        await chosen.wait()
        second = await other.desk.claim(other.lanes, partial(choose, wait=False), deadline_s=2)
        go.set()
        claimed = [[one.transfer.id for one in each] for each in (await first, second)]
    assert [len(each) for each in claimed] == [10, 10]
    assert {key for each in claimed for key in each} == set(keys)
    holders = dict(await gateway.rows("SELECT lease_holder, count(*) FROM attempt GROUP BY 1"))
    assert holders == {HOLDER: 10, OTHER: 10}


async def test_what_another_has_locked_is_not_claimed(gateway: Gateway) -> None:
    (key,) = await gateway.custody(*many(1))

    async def choose(conn: Any) -> list[UUID]:
        return [key]

    async with await psycopg.AsyncConnection.connect(gateway.database.app_url) as holding:
        await holding.execute("SELECT 1 FROM transfer WHERE id = %s FOR NO KEY UPDATE", (key,))
        assert await gateway.desk.claim(gateway.lanes, choose, deadline_s=2) == []
    assert len(await gateway.desk.claim(gateway.lanes, choose, deadline_s=2)) == 1
    assert (await gateway.desk.claim(gateway.lanes, choose, deadline_s=2))[0].effects == ()  # has one already
