"""The desk against its oracle: what PostgreSQL holds is what `decide` says, one event after the other.

Random events about many transfers at once, sensible or not, some of them with their commit reply lost; scripted
lives with every event given twice; what the database refuses concerns the culprit alone.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from uuid import UUID

import psycopg
import pytest
from gateway_desk_kit import ANSWER_S, HOLDER, Gateway, credit
from msgspec import structs

from hakika import clock
from hakika.domain.reasons import Reason
from hakika.domain.transfer import (
    BankAcknowledgedReturn,
    BankRecalled,
    BankRefusedReturn,
    ClockReturnDue,
    CoreAnswered,
    Event,
    OpenBreak,
    Outcome,
    SenderWroteNothing,
    Status,
    TellBank,
    Transfer,
    Verdict,
    WorkerClaimed,
    decide,
    status_of,
)
from hakika.services.gateway.transfers import Applied, Happened
from hakika.store.embedded import RoleAccess
from hakika.store.gateway import queues
from hakika.store.gateway import transfers as rows
from hakika.store.gateway.transfers import Evidence

EVIDENCE = Evidence(1, 0, 7, b"h" * 32)
OTHER = UUID(int=0xB2)


@pytest.fixture
async def gateway(gateway_database: RoleAccess) -> AsyncIterator[Gateway]:
    async with Gateway.open(gateway_database) as running:
        yield running


async def give(gateway: Gateway, key: UUID, event: Event) -> Applied:
    """One event with evidence, applied."""
    applied = await gateway.desk.apply(Happened(key, event, EVIDENCE), deadline_s=ANSWER_S)
    assert applied is not None
    return applied


async def loaded(gateway: Gateway, keys: list[UUID]) -> dict[UUID, Transfer]:
    """The facts as the store gives them to `decide`."""

    async def work(conn: psycopg.AsyncConnection[object]) -> dict[UUID, Transfer]:
        async with conn.transaction():
            return {key: found.transfer for key, found in (await rows.load(conn, keys)).items()}

    return await gateway.lanes.run(work, deadline_s=ANSWER_S)


async def statuses(gateway: Gateway) -> dict[UUID, str]:
    return dict(await gateway.rows("SELECT id, status FROM transfer"))


LIVES: dict[str, tuple[list[Event], Status]] = {
    "completed": ([WorkerClaimed(0), CoreAnswered(1, Outcome.POSTED, 1, fee_minor=5)], Status.COMPLETED),
    "refused": (
        [WorkerClaimed(0), CoreAnswered(1, Outcome.REFUSED, 1, Reason.WALLET_CLOSED)], Status.RETURNED),
    "short, then completed": (
        [WorkerClaimed(0), CoreAnswered(1, Outcome.REFUSED, 1, Reason.POSITION_SHORT), WorkerClaimed(30_001),
         CoreAnswered(2, Outcome.POSTED, 2)], Status.COMPLETED),
    "not sent, then recalled in flight": (
        [WorkerClaimed(0), SenderWroteNothing(1, 1, 1), WorkerClaimed(2), BankRecalled(Reason.RECALLED_BY_BANK, 3),
         CoreAnswered(2, Outcome.BURNT, 4), BankAcknowledgedReturn(5)], Status.RETURNED),
    "burnt too late": ([WorkerClaimed(0), CoreAnswered(1, Outcome.BURNT, 10**15)], Status.RETURNED),
    "never sent": (
        [ClockReturnDue(10**15), CoreAnswered(1, Outcome.BURNT, 1), BankAcknowledgedReturn(1)], Status.RETURNED),
    "acknowledged without a return": ([BankAcknowledgedReturn(1)], Status.RECEIVED),
}  # fmt: skip


@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize("lose", [0, 1], ids=["each event twice", "each reply lost"])
async def test_lives(gateway: Gateway, life: str, lose: int) -> None:
    """Each event is stored once, however often it is given or executed."""
    (key,) = await gateway.custody(credit())
    events, end = LIVES[life]
    (oracle,) = (await loaded(gateway, [key])).values()
    told: list[str] = []
    for event in events:
        decision = decide(oracle, event)
        oracle = decision.transfer
        told += [effect.kind for effect in decision.effects if isinstance(effect, TellBank)]
        gateway.desk_lane.lose = lose
        for _ in range(2):
            applied = await give(gateway, key, event)
            assert applied.transfer == oracle
        assert applied.verdict is not Verdict.CHANGED
    assert await loaded(gateway, [key]) == {key: oracle}
    assert await statuses(gateway) == {key: end.value}
    assert await gateway.rows("SELECT kind FROM outbox ORDER BY seq") == [(kind,) for kind in told]
    refusals = await gateway.rows("SELECT reason, fee_minor FROM transfer")
    assert refusals[0][0] == (oracle.returned.reason.value if oracle.returned else None)
    assert refusals[0][1] == (5 if life == "completed" else None)


async def test_unknown_ids_are_answered_with_none(gateway: Gateway) -> None:
    (key,) = await gateway.custody(credit())
    events = [Happened(clock.new_id(), WorkerClaimed(0)), Happened(key, WorkerClaimed(0))]
    results = await asyncio.gather(*(gateway.desk.apply(event, deadline_s=ANSWER_S) for event in events))
    assert results[0] is None
    assert results[1] is not None
    assert results[1].verdict is Verdict.CHANGED


def _any_event(chance: random.Random, transfer: Transfer) -> Event:
    """An event about a transfer as it stands now; half of them make no sense."""
    number = max(1, len(transfer.attempts) - chance.choice([0, 0, 0, 1]))
    deadlines = transfer.deadlines
    now_ms = chance.choice([deadlines.valid_until_ms - 1000] * 6 + [deadlines.valid_until_ms, deadlines.return_at_ms])
    outcome = chance.choice([Outcome.POSTED, Outcome.REFUSED, Outcome.BURNT, Outcome.BURNT])
    reason = chance.choice([Reason.POSITION_SHORT, Reason.POSITION_SHORT, Reason.WALLET_UNKNOWN])
    if chance.random() < 0.4:
        return WorkerClaimed(transfer.next_attempt_ms)
    events: list[Event] = [
        CoreAnswered(number, outcome, now_ms - 60_000, reason if outcome is Outcome.REFUSED else None),
        SenderWroteNothing(number, chance.choice([1, 1, 2]), now_ms),
        ClockReturnDue(now_ms),
        BankRecalled(Reason.RECALLED_BY_BANK, now_ms),
        BankAcknowledgedReturn(now_ms),
        BankRefusedReturn("no", now_ms),
    ]
    return chance.choice(events)


def _wave(chance: random.Random, oracle: dict[UUID, Transfer]) -> list[Happened]:
    """About fifty events, several about one transfer; nobody speaks about an attempt before its record is stored."""
    wave: list[Happened] = []
    claimed: set[UUID] = set()
    for key in chance.choices(list(oracle), k=50):
        event = _any_event(chance, oracle[key])
        if key in claimed and isinstance(event, CoreAnswered | SenderWroteNothing):
            continue
        if isinstance(event, WorkerClaimed):
            claimed.add(key)
        wave.append(Happened(key, event, EVIDENCE))
    return wave


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_storm(gateway: Gateway, seed: int) -> None:
    """Waves of events about 40 transfers, each wave one commit, executed again where its reply is lost."""
    chance = random.Random(seed)
    keys = await gateway.custody(*(credit(end_to_end_id=f"E{number}") for number in range(40)))
    oracle = await loaded(gateway, keys)
    broken: set[tuple[UUID, str]] = set()
    told: list[tuple[UUID, str]] = []
    for _ in range(30):
        wave = _wave(chance, oracle)
        lose = gateway.desk_lane.lose = chance.choice([0, 0, 1])
        verdicts: list[Verdict] = []
        for item in wave * (1 + lose):
            decision = decide(oracle[item.transfer], item.event)
            oracle[item.transfer] = decision.transfer
            verdicts.append(decision.verdict)
            broken |= {(item.transfer, effect.kind) for effect in decision.effects if isinstance(effect, OpenBreak)}
            told += [(item.transfer, effect.kind) for effect in decision.effects if isinstance(effect, TellBank)]
        results = await gateway.desk.flusher.submit_all(wave, deadline_s=ANSWER_S)
        assert [result.verdict for result in results if isinstance(result, Applied)] == verdicts[-len(wave) :]
    assert await loaded(gateway, keys) == oracle
    assert await statuses(gateway) == {key: status_of(transfer).value for key, transfer in oracle.items()}
    assert {tuple(row) for row in await gateway.rows("SELECT transfer, kind FROM reconciliation_break")} == broken
    assert sorted(await gateway.rows("SELECT transfer, kind FROM outbox")) == sorted(told)
    assert gateway.desk_lane.lost > 3
    assert len({status_of(transfer) for transfer in oracle.values()}) >= 3


async def test_a_refusal_of_the_database_is_the_culprits_alone(gateway: Gateway) -> None:
    """Not a silence to be waited out: the others of the batch are stored, the culprit hears of it at once."""
    keys = await gateway.custody(*(credit(end_to_end_id=f"E{number}") for number in range(9)))
    await asyncio.gather(*(give(gateway, key, WorkerClaimed(0)) for key in keys))
    events = [Happened(key, CoreAnswered(1, Outcome.POSTED, 1), EVIDENCE) for key in keys]
    events[4] = structs.replace(events[4], evidence=None)  # refused: an answer is stored with its evidence
    results = await asyncio.gather(
        *(gateway.desk.apply(event, deadline_s=ANSWER_S) for event in events), return_exceptions=True
    )
    assert [isinstance(result, psycopg.errors.CheckViolation) for result in results] == [
        number == 4 for number in range(9)
    ]
    assert sorted((await statuses(gateway)).values()) == ["COMPLETED"] * 8 + ["IN_FLIGHT"]


async def test_a_refusal_by_our_own_trigger_is_no_silence(gateway: Gateway) -> None:
    """Class HK comes back as a refusal with its code, and the lane goes on working."""
    (key,) = await gateway.custody(credit())

    async def unlawful(conn: psycopg.AsyncConnection[object]) -> None:
        await conn.execute("UPDATE transfer SET status = 'REJECTED', reason = 'x' WHERE id = %s", (key,))

    for lane in (gateway.desk_lane, gateway.lanes):
        with pytest.raises(psycopg.Error) as refused:
            await lane.run(unlawful, deadline_s=ANSWER_S)
        assert refused.value.sqlstate == "HK015"
    assert (await give(gateway, key, WorkerClaimed(0))).verdict is Verdict.CHANGED


async def test_takeover_and_not_sent_at_once(gateway: Gateway) -> None:
    """I-GW-9: either the holder's word is stored or the lease is taken, never both, and nobody is refused."""
    keys = await gateway.custody(*(credit(end_to_end_id=f"E{number}") for number in range(60)))
    await asyncio.gather(*(give(gateway, key, WorkerClaimed(0)) for key in keys))
    late_ms = clock.now_ms() + 10**6

    async def take_over() -> set[UUID]:
        taken: set[UUID] = set()
        for _ in range(30):
            found = await gateway.lanes.run(
                lambda conn: queues.take_over(conn, holder=OTHER, now_ms=late_ms, until_ms=late_ms + 10**6, limit=3),
                deadline_s=ANSWER_S,
            )
            taken |= {attempt.transfer for attempt in found}
            assert all(attempt.lease_token == 2 for attempt in found)
        return taken

    async def not_sent() -> set[UUID]:
        closed = set()
        for start in range(0, len(keys), 4):
            part = keys[start : start + 4]
            results = await asyncio.gather(*(give(gateway, key, SenderWroteNothing(1, 1, 1)) for key in part))
            closed |= {key for key, result in zip(part, results, strict=True) if result.verdict is Verdict.CHANGED}
        return closed

    taken, closed = await asyncio.gather(take_over(), not_sent())
    assert taken.isdisjoint(closed)
    assert taken | closed == set(keys)
    stored = await gateway.rows("SELECT transfer, outcome, lease_holder FROM attempt")
    for transfer, outcome, holder in stored:
        assert (outcome, holder) == (("not_sent", HOLDER) if transfer in closed else (None, OTHER))


async def test_two_desks_never_record_two_attempts(gateway: Gateway) -> None:
    """I-GW-7: two processes claim the same transfers at the same time; each is claimed once."""
    keys = await gateway.custody(*(credit(end_to_end_id=f"E{number}") for number in range(40)))
    async with Gateway.open(gateway.database, holder=OTHER) as other:
        desks = [gateway, other]
        random.Random(5).shuffle(desks)
        results = await asyncio.gather(*(give(desk, key, WorkerClaimed(0)) for key in keys for desk in desks))
    assert sum(1 for result in results if result.verdict is Verdict.CHANGED) == len(keys)
    assert await gateway.number("SELECT count(*) FROM attempt") == len(keys)


async def test_return_and_attempt_at_once(gateway: Gateway) -> None:
    """I-GW-2, I-GW-7: one process returns, another claims; exactly one of them is right for each transfer."""
    keys = await gateway.custody(*(credit(end_to_end_id=f"E{number}") for number in range(40)))
    async with Gateway.open(gateway.database, holder=OTHER) as other:
        claims = [give(gateway, key, WorkerClaimed(0)) for key in keys]
        returns = [give(other, key, ClockReturnDue(10**15)) for key in keys]
        results = await asyncio.gather(*claims, *returns)
    changed = [result.verdict is Verdict.CHANGED for result in results]
    assert [first + second for first, second in zip(changed[:40], changed[40:], strict=True)] == [1] * 40
    both = "SELECT count(*) FROM attempt JOIN payment_return USING (transfer)"
    assert await gateway.number(both) == 0
