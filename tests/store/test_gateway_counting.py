"""What the gateway counts with real PostgreSQL: services and workers, lost replies, a restart, two processes."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from gateway_desk_kit import ANSWER_S, KEY, SIGNER, Gateway, credit, message
from gateway_workers_kit import ENDED, OddCore, Works, many

from hakika import clock
from hakika.channels.bank import BankChannel
from hakika.channels.door import Request, Response
from hakika.domain.reasons import Reason
from hakika.domain.transfer import ClockReturnDue, CoreAnswered, Event, Outcome, WorkerClaimed
from hakika.outbound.bank import BankClient
from hakika.outbound.core import NoAnswer
from hakika.services.gateway import transfers as desk_service
from hakika.services.gateway.banks import Banks
from hakika.services.gateway.quotes import Quotes
from hakika.services.gateway.signals import GatewaySignals
from hakika.services.gateway.tracking import NotKnown, Tracking
from hakika.services.gateway.transfers import Happened
from hakika.store.embedded import RoleAccess
from hakika.store.gateway import queues
from hakika.store.gateway.transfers import Evidence
from hakika.store.lane import Lanes
from hakika.wire.core_api import Answers, Instruction, Session
from hakika.wire.health_api import SIGNAL_WIDTH_MS, Signal
from hakika.wire.jws import sign_detached
from hakika.workers import delivery, recovery
from hakika.workers.courier import Courier
from hakika.workers.elsewhere import SIGNALS_EVERY_S, Elsewhere, take_stock

EVIDENCE = Evidence(1, 0, 7, b"h" * 32)
POSTED = CoreAnswered(1, Outcome.POSTED, 0)
TEST = "254110000001"
CORRIDOR = "corridor:bank-a"
SOME_FAILED = """
SELECT least(1, count(*)) FROM attempt JOIN transfer ON transfer.id = attempt.transfer
WHERE bank = 'bank-a' AND outcome IN ('not_sent', 'burnt')"""


class Counted:
    """Signals whose clock can be put forward, and what they have told."""

    def __init__(self) -> None:
        self.ahead_ms = 0
        self.signals = GatewaySignals([TEST], time=lambda: clock.now_ms() + self.ahead_ms)

    def told(self, series: str = CORRIDOR) -> list[Signal]:
        """Every interval until now."""
        self.ahead_ms += SIGNAL_WIDTH_MS
        intervals = self.signals.counts.since("gateway", 0, limit=10**6).intervals
        return [signal for interval in intervals for signal in interval.signals if signal.series == series]

    def sums(self, series: str = CORRIDOR) -> tuple[int, int, int, dict[str, int]]:
        """(arrived, ended, own errors, failed) until now."""
        told = self.told(series)
        failed: dict[str, int] = {}
        for signal in told:
            for reason, count in signal.failed.items():
                failed[reason] = failed.get(reason, 0) + count
        return sum(s.arrived for s in told), sum(s.ended for s in told), sum(s.own_errors for s in told), failed


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
async def gateway(
    gateway_database: RoleAccess, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Gateway]:
    monkeypatch.setattr(desk_service, "LEASE_MS", 700)
    monkeypatch.setattr(recovery, "LEASE_MS", 700)
    monkeypatch.setattr(recovery, "TURN_S", 0.05)
    monkeypatch.setattr(recovery, "TURN_SILENT_S", 0.05)
    monkeypatch.setattr(delivery, "SESSION_EVERY_S", 0.1)
    async with Gateway.open(gateway_database, signals=counted.signals) as running:
        yield running


async def happened(gateway: Gateway, key: UUID, *events: Event) -> None:
    for event in events:
        await gateway.desk.apply(Happened(key, event, EVIDENCE), deadline_s=ANSWER_S)


class FirstLost(OddCore):
    """The first instructions of bank-a are lost, two at least, so that some have failed whatever chance does."""

    lost = 0

    async def instruct(self, instructions: list[Instruction], *, redrive: bool = False) -> Answers:
        if self.lost < 2:
            self.lost += sum(one.bank == "bank-a" for one in instructions)
            raise NoAnswer("the request was lost")
        return await super().instruct(instructions, redrive=redrive)


async def test_through_all_troubles_each_transfer_is_one_outcome(gateway: Gateway, counted: Counted) -> None:
    chance = random.Random(5)
    core = FirstLost(trouble=lambda: chance.choice(["", "", "lost", "answer lost", "unreachable"]))
    core.refuses = lambda instruction: "wallet_closed" if int(instruction.id[:2], 16) < 60 else None
    await gateway.custody(*many(80), credit(creditor_msisdn=TEST))
    await gateway.custody(*many(20, debtor_agent="bank-b"), sender="bank-b")
    async with Works.running(gateway, core) as works:
        await asyncio.sleep(1.0)
        await works.until(SOME_FAILED, 1, within_s=45.0)  # a session that meets trouble first can take the second
        core.trouble = lambda: ""
        await works.until(ENDED, 101)
    arrived, ended, own, failed = counted.sums()
    assert (arrived, ended) == (80, 80)
    assert sum(failed.values()) > 0
    assert failed.keys() <= {"timeout", "unreachable"}
    closed = "SELECT count(*) FROM transfer WHERE bank = 'bank-a' AND reason = 'wallet_closed'"
    assert 0 < own <= await gateway.number(closed)
    assert own + sum(failed.values()) <= 80
    assert counted.sums("corridor:bank-b")[:2] == (20, 20)
    assert counted.sums("product:bank-to-wallet")[:2] == (100, 100)
    assert counted.told()[-1].open_count == 0


@pytest.mark.parametrize(("trouble", "reason"), [("lost", "timeout"), ("unreachable", "unreachable")])
async def test_a_silent_core_fails_what_was_sent_and_leaves_the_rest_to_become_stuck(
    gateway: Gateway, counted: Counted, trouble: str, reason: str
) -> None:
    class Late(OddCore):
        """Its session falls silent with the first instruction, not before."""

        tried = False

        async def instruct(self, instructions: list[Instruction], *, redrive: bool = False) -> Answers:
            self.tried = True
            return await super().instruct(instructions, redrive=redrive)

        async def session(self) -> Session:
            return await super().session() if self.tried else Session(2, clock.now_ms(), True)

    core = Late()
    async with Works.running(gateway, core) as works:
        await works.until(ENDED, 0)
        await works.until("SELECT 1", 1)
        await asyncio.sleep(1.0)
        assert works.link.free()
        core.trouble = lambda: trouble
        await gateway.custody(*many(200))
        works.link.wake.set()
        await asyncio.sleep(1.0)
        arrived, ended, _, failed = counted.sums()
        assert arrived == 200
        assert set(failed) == {reason}
        assert 0 < ended == failed[reason]
        counted.ahead_ms += 20_000
        arrived, ended, _, failed = counted.sums()
        assert (arrived, ended) == (200, 200)
        assert failed.keys() == {reason, "stuck"}
        assert sum(failed.values()) == 200
        assert counted.told()[-1].open_count == 200
        core.trouble = lambda: ""
        await works.until(ENDED, 200)
        async with asyncio.timeout(10):  # what a commit has ended is counted a moment after it
            while counted.told()[-1].open_count:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.05)
    assert counted.sums()[:2] == (200, 200)


@pytest.mark.parametrize("why", ["busy", "senseless", "timeout"])
async def test_the_ways_of_no_answer_are_told_apart(gateway: Gateway, counted: Counted, why: str) -> None:
    class Refusing(OddCore):
        async def instruct(self, instructions: Any, *, redrive: bool = False) -> Answers:
            raise NoAnswer("HTTP 503", why)

    async with Works.running(gateway, Refusing()):
        await gateway.custody(*many(3))
        await asyncio.sleep(1.0)
    assert counted.sums() == (3, 3, 0, {why: 3})


async def test_an_answer_that_is_no_evidence_is_senseless(gateway: Gateway, counted: Counted) -> None:
    core = OddCore()
    async with Works.running(gateway, core) as works:
        core.alter = lambda answer: type(answer)(answer.id, "unknown")
        await gateway.custody(*many(2))
        await asyncio.sleep(1.0)
        core.alter = lambda answer: answer
        await works.until(ENDED, 2)
    assert counted.sums() == (2, 2, 0, {"senseless": 2})


async def test_own_errors_technical_returns_and_what_is_short(gateway: Gateway, counted: Counted) -> None:
    unknown, late, short = await gateway.custody(*many(3))
    await happened(gateway, unknown, WorkerClaimed(0), CoreAnswered(1, Outcome.REFUSED, 0, Reason.WALLET_UNKNOWN))
    await happened(gateway, late, ClockReturnDue(10**15))
    await happened(gateway, short, WorkerClaimed(0), CoreAnswered(1, Outcome.REFUSED, 0, Reason.POSITION_SHORT))
    await gateway.intake.take(message(credit(currency="UGX", end_to_end_id="E9")), deadline_s=ANSWER_S)
    assert counted.sums() == (4, 3, 2, {"deadline_passed": 1})
    assert counted.told()[-1].open_count == 0
    counted.ahead_ms += 60_000
    assert counted.sums() == (4, 3, 2, {"deadline_passed": 1})
    await happened(gateway, short, WorkerClaimed(clock.now_ms() + 40_000))
    assert counted.told()[-1].open_count == 1
    await happened(gateway, short, CoreAnswered(2, Outcome.POSTED, 0))
    assert counted.sums() == (4, 4, 2, {"deadline_passed": 1})


async def test_a_message_sent_again_arrives_once(gateway: Gateway, counted: Counted) -> None:
    twice = message(credit(), credit(end_to_end_id="E2"))
    for _ in range(3):
        await gateway.intake.take(twice, deadline_s=ANSWER_S)
    assert counted.sums()[0] == 2


async def test_a_lost_commit_reply_of_an_end_leaves_nothing_open(gateway: Gateway, counted: Counted) -> None:
    (key,) = await gateway.custody(credit())
    await happened(gateway, key, WorkerClaimed(0))
    gateway.desk_lane.lose = 1
    await happened(gateway, key, POSTED)
    assert gateway.desk_lane.lost == 1
    assert counted.sums() == (1, 1, 0, {})
    assert counted.told()[-1].open_count == 0
    counted.ahead_ms += 60_000
    assert counted.sums() == (1, 1, 0, {})


async def test_what_another_process_ended_is_not_stuck_here(
    gateway: Gateway, counted: Counted, gateway_database: RoleAccess
) -> None:
    other = Counted()
    counting = Elsewhere(counted.signals, gateway.lanes, every_s=SIGNALS_EVERY_S)
    keys = await gateway.custody(*many(3))
    async with Gateway.open(gateway_database, holder=UUID(int=0xB2), signals=other.signals) as elsewhere:
        for key in keys[:2]:
            await happened(elsewhere, key, WorkerClaimed(0), POSTED)
    counted.ahead_ms += 13_000
    await counting.look_up()
    counted.ahead_ms += 60_000
    assert counted.sums() == (3, 1, 0, {"stuck": 1})
    assert other.sums() == (0, 2, 0, {})
    async with Gateway.open(gateway_database, holder=UUID(int=0xB2), signals=other.signals) as elsewhere:
        await happened(elsewhere, keys[2], WorkerClaimed(0), POSTED)
    assert counted.told()[-1].open_count == 1
    await counting.look_up()
    assert counted.told()[-1].open_count == 0


async def test_after_a_restart_the_backlog_is_known_from_one_bounded_query(gateway: Gateway, counted: Counted) -> None:
    keys = await gateway.custody(*many(6))
    (tested,) = await gateway.custody(credit(creditor_msisdn=TEST))
    await happened(gateway, keys[0], WorkerClaimed(0), POSTED)
    await happened(gateway, keys[1], WorkerClaimed(0))
    short = CoreAnswered(1, Outcome.REFUSED, clock.now_ms(), Reason.POSITION_SHORT)
    await happened(gateway, keys[2], WorkerClaimed(0), short)
    again = Counted()
    await take_stock(again.signals, gateway.lanes)
    assert again.told()[-1].open_count == 4  # three held, one in flight; short, ended and test transfers are not
    assert again.sums() == (0, 0, 0, {})
    for key in keys[3:]:
        again.signals.ended(key, "bank-a", "254712345678", None)
    assert again.told()[-1].open_count == 1
    assert tested not in again.signals.uncertain(100)
    found = await gateway.lanes.run(lambda conn: queues.open_transfers(conn, 2), deadline_s=ANSWER_S)
    assert len(found) <= 2 * 5 + 2


async def test_the_query_at_a_start_walks_indexes(gateway: Gateway) -> None:
    async def plan(conn: Any) -> str:
        async with conn.transaction():
            await conn.execute("SET LOCAL enable_seqscan = off")
            rows = await (await conn.execute("EXPLAIN " + queues._OPEN, {"limit": 100})).fetchall()
        return "\n".join(row[0] for row in rows)

    shown = await gateway.lanes.run(plan, deadline_s=ANSWER_S)
    assert "Seq Scan on transfer" not in shown
    assert "Seq Scan on attempt" not in shown
    assert "transfer_waiting" in shown
    assert "attempt_open" in shown


async def test_without_a_database_counting_goes_on(counted: Counted) -> None:
    lanes = Lanes("postgresql://nobody@127.0.0.1:1/none", size=1, name="test")
    counting = Elsewhere(counted.signals, lanes, every_s=SIGNALS_EVERY_S)
    await take_stock(counted.signals, lanes)
    counted.signals.arrived(UUID(int=5), "bank-a", "254712345678")
    counted.ahead_ms += 13_000
    task = asyncio.create_task(counting.run())
    await asyncio.sleep(1.5)
    assert not task.done()
    task.cancel()
    counted.ahead_ms += 20_000
    assert counted.sums() == (1, 1, 0, {"stuck": 1})
    with pytest.raises(NotKnown):
        await Tracking(lanes, counted.signals).find(b"x" * 16)
    assert counted.sums("channel:tracking") == (1, 1, 0, {"store_fault": 1})
    await lanes.close()


async def test_tracking_pages_of_test_transfers_do_not_count(gateway: Gateway, counted: Counted) -> None:
    await gateway.custody(credit())
    await gateway.custody(credit(creditor_msisdn=TEST))
    tracking = Tracking(gateway.lanes, counted.signals)
    for (reference,) in await gateway.rows("SELECT tracking FROM transfer"):
        assert await tracking.find(bytes(reference)) is not None
    assert await tracking.find(b"x" * 16) is None
    assert counted.sums("channel:tracking") == (2, 2, 1, {})


async def test_a_page_that_waited_for_a_connection_is_as_of_its_reading(gateway: Gateway, counted: Counted) -> None:
    (key,) = await gateway.custody(credit())
    ((reference,),) = await gateway.rows("SELECT tracking FROM transfer WHERE id = %s", key)
    lanes = Lanes(gateway.database.app_url, size=1, name="test")
    held, free = asyncio.Event(), asyncio.Event()

    async def hold(_: Any) -> None:
        held.set()
        await free.wait()

    holding = asyncio.create_task(lanes.run(hold, deadline_s=ANSWER_S))
    await held.wait()
    finding = asyncio.create_task(Tracking(lanes, counted.signals).find(bytes(reference)))
    await asyncio.sleep(0.3)
    freed_ms = clock.now_ms()
    free.set()
    await holding
    found = await finding
    await lanes.close()
    assert found is not None
    assert freed_ms <= found.as_of_ms <= clock.now_ms()


async def test_a_bank_that_takes_nothing_is_named_by_its_courier(gateway: Gateway, counted: Counted) -> None:
    (key,) = await gateway.custody(credit())
    await happened(gateway, key, WorkerClaimed(0), POSTED)
    client = BankClient("http://127.0.0.1:1/iso20022")
    courier = Courier("bank-a", client, gateway.lanes, KEY, "gateway-1", counted.signals)
    courier.hand(gateway.told[0])
    task = asyncio.create_task(courier.run())
    await asyncio.sleep(1.5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await client.close()
    arrived, ended, _, failed = counted.sums()
    assert arrived == 1
    assert failed.keys() == {"bank_unreachable"}
    assert ended == 1 + failed["bank_unreachable"]
    assert counted.sums("product:bank-to-wallet") == (1, 1, 0, {})


async def test_the_banks_channel_counts_answers_to_those_who_may_ask(gateway: Gateway, counted: Counted) -> None:
    banks = Banks(gateway.lanes)
    await banks.refresh()
    channel = BankChannel(
        banks=banks, intake=gateway.intake, acts=gateway.acts, signer=SIGNER, allow=lambda client: 0.0,
        pace=lambda bank: 0.0, admission=gateway.admission,
        quotes=Quotes(gateway.lanes, scale=1.0, corridor=lambda bank: (True, True), ask_name=_no_name),
        signals=counted.signals,
    )  # fmt: skip
    (route, _) = channel.routes()

    async def send(body: bytes, *, kid: str = "bank-a-1") -> Response:
        headers = {"x-jws-signature": sign_detached(body, KEY, kid, clock.now_ms() // 1000)}
        return await route.handler(Request("POST", "/iso20022", {}, headers, body, "127.0.0.1", {}))

    first = message(credit()).body
    assert (await send(first)).status == 202
    assert (await send(first)).status == 202
    assert (await send(b"<nothing/>")).status == 400
    assert (await send(first, kid="stranger")).status == 401
    assert (await send(message(credit(creditor_msisdn=TEST)).body)).status == 202
    assert counted.sums("channel:bank-api") == (3, 3, 1, {})
    await gateway.intake.flusher.stop()
    assert (await send(message(credit()).body)).status == 503
    assert route.translate is not None
    route.translate(Response(503, b"{}"))
    route.translate(Response(500, b"{}"))
    route.translate(Response(413, b"{}"))
    assert counted.sums("channel:bank-api") == (6, 6, 1, {"busy": 2, "internal": 1})
    assert counted.sums("role:gateway")[3] == {"busy": 1}


async def _no_name(query: Any) -> None:
    return None
