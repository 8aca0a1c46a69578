"""What is owed to a bank is told once, in bytes that never change, whoever gathers and whatever breaks in between.

Statuses are told by a message of the commit that makes them true; returns and answers to recalls are gathered.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from gateway_desk_kit import ANSWER_S, ForgetfulLane, Gateway, credit, recall_of

from hakika import clock
from hakika.domain.reasons import Reason
from hakika.domain.transfer import ClockReturnDue, CoreAnswered, Event, Outcome, WorkerClaimed
from hakika.ids import return_id
from hakika.services.gateway import outgoing
from hakika.services.gateway.acts import Recalled
from hakika.services.gateway.transfers import Happened
from hakika.store.embedded import RoleAccess
from hakika.store.gateway import outgoing as rows
from hakika.store.gateway.outgoing import Due, NewMessage
from hakika.store.gateway.transfers import Evidence
from hakika.store.lane import NoAnswer
from hakika.wire.iso20022.reading_bank import read_cancellation_status

EVIDENCE = Evidence(1, 0, 7, b"h" * 32)
MESSAGES = "SELECT msg_id, kind, body FROM outgoing_message ORDER BY msg_id"
SHORT = CoreAnswered(1, Outcome.REFUSED, 0, Reason.POSITION_SHORT)
POSTED = CoreAnswered(1, Outcome.POSTED, 0)


@pytest.fixture
async def gateway(gateway_database: RoleAccess) -> AsyncIterator[Gateway]:
    async with Gateway.open(gateway_database) as running:
        yield running


async def happened(gateway: Gateway, keys: list[UUID], *events: Event) -> None:
    for event in events:
        await gateway.desk.flusher.submit_all([Happened(key, event, EVIDENCE) for key in keys], deadline_s=ANSWER_S)


async def custody(gateway: Gateway, count: int) -> list[UUID]:
    return await gateway.custody(*(credit(end_to_end_id=f"E{number}") for number in range(count)))


async def due(gateway: Gateway, bank: str = "bank-a") -> list[Due]:
    """Everything that is to be sent at some time."""
    at_ms = clock.now_ms() + 10**9
    return await taken(gateway, at_ms, at_ms, bank)


async def taken(gateway: Gateway, now_ms: int, until_ms: int, bank: str = "bank-a", limit: int = 100) -> list[Due]:
    """What a courier takes at `now_ms` and has until `until_ms`."""
    return await gateway.lanes.run(
        lambda conn: rows.due(conn, bank, now_ms=now_ms, until_ms=until_ms, limit=limit), deadline_s=ANSWER_S
    )


async def gather(gateway: Gateway, bank: str = "bank-a", lanes: Any = None) -> int:
    """How many messages were made of what waits."""
    return len(await outgoing.gather(lanes or gateway.lanes, bank, sends=100))


async def test_statuses_share_a_report_and_each_return_is_alone(gateway: Gateway) -> None:
    keys = await custody(gateway, 9)
    await happened(gateway, keys[:6], WorkerClaimed(0))
    mixed = [Happened(key, POSTED if number < 4 else SHORT, EVIDENCE) for number, key in enumerate(keys[:6])]
    await gateway.desk.flusher.submit_all(mixed, deadline_s=ANSWER_S)
    await happened(gateway, keys[6:], ClockReturnDue(10**15))
    assert [item.kind for item in await due(gateway)] == ["status"]
    assert await gather(gateway) == 3
    assert await gather(gateway) == 0
    assert await gather(gateway, "bank-b") == 0
    found = await due(gateway)
    assert sorted(item.kind for item in found) == ["return", "return", "return", "status"]
    (report,) = (item.body for item in found if item.kind == "status")
    assert (report.count(b"<TxSts>ACCC</TxSts>"), report.count(b"<TxSts>PDNG</TxSts>")) == (4, 2)
    returns = b"".join(item.body for item in found if item.kind == "return")
    uetrs = await gateway.rows("SELECT uetr FROM transfer WHERE id = ANY(%s)", keys[6:])
    assert [returns.count(return_id("bank-a", uetr).encode()) for (uetr,) in uetrs] == [1, 1, 1]


async def test_a_commit_tells_each_bank_of_its_own(gateway: Gateway) -> None:
    keys = await custody(gateway, 2)
    keys += await gateway.custody(credit(), credit(), sender="bank-b")
    told: list[tuple[list[NewMessage], set[str]]] = []
    gateway.desk._on_told = lambda messages, gathering: told.append((messages, gathering))
    await happened(gateway, keys, WorkerClaimed(0), POSTED)
    await happened(gateway, await custody(gateway, 1), ClockReturnDue(10**15))
    (messages, gathering), returning = told
    assert (gathering, returning) == (set(), ([], {"bank-a"}))
    assert sorted((one.bank, one.kind) for one in messages) == [("bank-a", "status"), ("bank-b", "status")]
    carried = await gateway.rows(
        "SELECT m.msg_id, m.bank, m.body, t.bank, t.uetr FROM outbox o JOIN outgoing_message m ON m.msg_id = o.msg_id"
        " JOIN transfer t ON t.id = o.transfer"
    )
    assert len(carried) == 4
    for msg_id, bank, body, owner, uetr in carried:
        (message,) = (one for one in messages if one.msg_id == msg_id)
        assert (bank, owner, message.body) == (message.bank, message.bank, bytes(body))
        assert bytes(body).count(str(uetr).encode()) == 1


async def test_who_stores_or_takes_a_message_sends_it_and_others_after_a_while(gateway: Gateway) -> None:
    before_ms = clock.now_ms()
    await happened(gateway, await custody(gateway, 6), WorkerClaimed(0), POSTED)
    after_ms = clock.now_ms()
    own = outgoing.SENDING_MS
    assert await taken(gateway, before_ms + own - 1, 0) == []
    looks = (taken(gateway, after_ms + own, after_ms + 2 * own) for _ in range(4))
    assert sorted(len(found) for found in await asyncio.gather(*looks)) == [0, 0, 0, 1]
    assert await taken(gateway, after_ms + 2 * own - 1, 0) == []
    assert len(await taken(gateway, after_ms + 2 * own, 0)) == 1


async def test_two_gatherers_tell_each_fact_once(gateway: Gateway) -> None:
    keys = await custody(gateway, 40)
    await happened(gateway, keys[:20], WorkerClaimed(0), POSTED)
    await happened(gateway, keys[20:], ClockReturnDue(10**15))
    gathered = await asyncio.gather(*(gather(gateway) for _ in range(4)))
    assert sum(gathered) == 20
    bodies = b"".join(bytes(body) for _, _, body in await gateway.rows(MESSAGES))
    uetrs = [str(uetr).encode() for (uetr,) in await gateway.rows("SELECT uetr FROM transfer")]
    assert [bodies.count(uetr) for uetr in uetrs] == [1] * 40
    assert await gateway.number("SELECT count(*) FROM outbox WHERE msg_id IS NULL") == 0


async def test_a_crash_while_gathering_loses_and_doubles_nothing(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    await happened(gateway, await custody(gateway, 6), ClockReturnDue(10**15))
    add = rows.add

    async def crash(*arguments: Any) -> None:
        await add(*arguments)
        raise ConnectionResetError("crashed before the commit")

    monkeypatch.setattr(rows, "add", crash)
    with pytest.raises(ConnectionResetError):
        await gather(gateway)
    assert await gateway.rows(MESSAGES) == []
    monkeypatch.setattr(rows, "add", add)
    assert await gather(gateway) == 6


async def test_a_lost_commit_reply_makes_no_second_message(gateway: Gateway) -> None:
    await happened(gateway, await custody(gateway, 6), ClockReturnDue(10**15))
    forgetful: Any = ForgetfulLane(gateway.database.app_url, name="test courier", lose=1)
    with pytest.raises(NoAnswer):
        await gather(gateway, lanes=forgetful)
    assert await gather(gateway, lanes=forgetful) == 0
    assert len(await due(gateway)) == 6
    await forgetful.close()


async def test_a_status_left_by_an_older_release_is_gathered(gateway: Gateway) -> None:
    await happened(gateway, keys := await custody(gateway, 3), WorkerClaimed(0))
    fact = '{"reason": "position_short", "at_ms": 5}'
    values = ", ".join(f"('{key}', 'bank-a', 'held', '{fact}', 5)" for key in keys)
    await gateway.rows(f"INSERT INTO outbox (transfer, bank, kind, fact, created_ms) VALUES {values} RETURNING seq")
    assert await gather(gateway) == 1
    assert [item.body.count(b"PDNG") for item in await due(gateway)] == [3]


async def test_the_same_bytes_until_settled(gateway: Gateway) -> None:
    """A status is owed until the bank's 2xx, a return until its acknowledgement; a late failure unsettles nothing."""
    (completed, back) = await custody(gateway, 2)
    await happened(gateway, [completed], WorkerClaimed(0), POSTED)
    await happened(gateway, [back], ClockReturnDue(10**15))
    await gather(gateway)
    first = await due(gateway)

    async def tried(settled_ms: int | None) -> None:
        results = [(item.msg_id, 5, settled_ms if item.kind == "status" else None) for item in first]
        await gateway.lanes.run(lambda conn: rows.sent(conn, results), deadline_s=ANSWER_S)

    for number in range(1, 4):
        await tried(None)
        again = await due(gateway)
        assert sorted(item.body for item in again) == sorted(item.body for item in first)
        assert {item.tries for item in again} == {number}
    await tried(77)
    assert [item.kind for item in await due(gateway)] == ["return"]
    await tried(None)
    await tried(99)
    assert await gateway.rows("SELECT settled_ms FROM outgoing_message WHERE kind = 'status'") == [(77,)]
    for now_ms in (123, 456):
        await gateway.lanes.run(lambda conn, at=now_ms: rows.settle_returns(conn, [back], at), deadline_s=ANSWER_S)  # type: ignore[misc]
    assert await due(gateway) == []
    assert await gateway.rows("SELECT settled_ms FROM outgoing_message WHERE kind = 'return'") == [(123,)]


async def test_a_recall_is_resolved_by_what_happened(gateway: Gateway) -> None:
    """camt.029: cancelled where it went back, refused where it had been credited already."""
    transfers = [credit(), credit()]
    back, credited = await gateway.custody(transfers[0]), await gateway.custody(transfers[1])
    await happened(gateway, [*back, *credited], WorkerClaimed(0))
    for number, transfer in enumerate(transfers):
        await gateway.acts.recall("bank-a", recall_of(transfer.uetr, f"CXL-{number}"))
    await happened(gateway, back, CoreAnswered(1, Outcome.BURNT, 0))
    await happened(gateway, credited, POSTED)
    await gather(gateway)
    answers = {item.body for item in await due(gateway) if item.kind == "resolution"}
    assert len(answers) == 2
    (cancelled,) = (body for body in answers if b"CXL-0" in body)
    (kept,) = (body for body in answers if b"CXL-1" in body)
    assert b"RJCR" not in cancelled
    assert b"RJCR" in kept and b"ARDT" in kept


async def test_every_recall_of_a_transfer_is_answered(gateway: Gateway) -> None:
    """Asked twice while the burn decides: one camt.029 answers both. Asked again when it is final: at once."""
    credited, back = credit(), credit()
    ids = await gateway.custody(credited, back)
    await happened(gateway, ids, WorkerClaimed(0))
    for name in ("CXL-1", "CXL-2"):
        for transfer in (credited, back):  # one case of the bank may be about several transfers
            assert (await gateway.acts.recall("bank-a", recall_of(transfer.uetr, name))).status == "PDCR"
    await happened(gateway, ids[:1], POSTED)
    await happened(gateway, ids[1:], CoreAnswered(1, Outcome.BURNT, 0))
    await gather(gateway)
    answers = [read_cancellation_status(item.body) for item in await due(gateway) if item.kind == "resolution"]
    told = {answer.uetr: (answer.status, answer.reason, answer.cancellation_ids) for answer in answers}
    assert told == {
        credited.uetr: ("RJCR", "ARDT", ("CXL-1", "CXL-2")),
        back.uetr: ("CNCL", None, ("CXL-1", "CXL-2")),
    }
    assert await gateway.acts.recall("bank-a", recall_of(credited.uetr, "CXL-3")) == Recalled("RJCR", "ARDT")
    assert await gateway.acts.recall("bank-a", recall_of(back.uetr, "CXL-3")) == Recalled("CNCL")
    assert await gateway.number("SELECT count(*) FROM recall") == 6


async def test_a_backlog_is_gathered_in_bounded_steps(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "GATHER_MAX", 4)
    await happened(gateway, await custody(gateway, 10), ClockReturnDue(10**15))
    assert [await gather(gateway) for _ in range(4)] == [4, 4, 2, 0]


async def test_what_its_gatherer_cannot_send_now_is_anybodys(gateway: Gateway) -> None:
    """Of a thousand returns at once the first few are its own, and no other waits for it."""
    await happened(gateway, await custody(gateway, 5), ClockReturnDue(10**15))
    made = await outgoing.gather(gateway.lanes, "bank-a", sends=2)
    now_ms = clock.now_ms()
    found = await taken(gateway, now_ms, now_ms + outgoing.SENDING_MS)
    assert [item.msg_id for item in found] == [message.msg_id for message in made[2:]]
    assert len(await taken(gateway, now_ms + 2 * outgoing.SENDING_MS, 0)) == 5
