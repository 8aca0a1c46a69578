"""Intake and the bank's acts on real PostgreSQL: the same message is one row and one answer, however it comes.

Copies at once, in one process and in two, under one MsgId and under many, with commit replies lost: always one
transfer, and the same receipt bytes for the same message. What is refused is refused for good or says nothing.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import msgspec
import pytest
from gateway_desk_kit import ANSWER_S, HOLDER, KEY, SIGNER, Gateway, credit, message, recall_of

from hakika import clock
from hakika.domain.intake import Conflict
from hakika.domain.reasons import Reason
from hakika.domain.transfer import ClockReturnDue, CoreAnswered, Outcome, WorkerClaimed
from hakika.ids import return_id
from hakika.services.gateway import outgoing
from hakika.services.gateway.acts import Inquired, Leashed, UnknownReturn
from hakika.services.gateway.answers import acceptance
from hakika.services.gateway.intake import Arrived, Custody
from hakika.services.gateway.transfers import Happened
from hakika.store.embedded import RoleAccess
from hakika.store.gateway.transfers import Evidence
from hakika.wire.bank_api import CustodyReceipt
from hakika.wire.iso20022.messages import ReturnAcknowledged, ReturnAcknowledgement, StatusInquiry
from hakika.wire.jws import verify_compact

COPIES = 64
EVIDENCE = Evidence(1, 0, 7, b"h" * 32)


@pytest.fixture
async def gateway(gateway_database: RoleAccess) -> AsyncIterator[Gateway]:
    async with Gateway.open(gateway_database) as running:
        yield running


async def taken(gateway: Gateway, arrival: Arrived) -> Custody:
    found = await gateway.intake.take(arrival, deadline_s=ANSWER_S)
    assert isinstance(found, Custody)
    return found


def receipt_of(custody: Custody) -> CustodyReceipt:
    """The receipt's content, its signature checked."""
    body, compact = acceptance(custody, SIGNER)
    _, payload = verify_compact(compact, lambda kid: KEY.public_key() if kid == "gateway-1" else None)
    receipt = msgspec.json.decode(payload, type=CustodyReceipt)
    assert receipt.body_sha256 == hashlib.sha256(body).hexdigest()
    return receipt


async def counts(gateway: Gateway) -> tuple[int, int]:
    """(messages, transfers) stored."""
    number = gateway.number
    return await number("SELECT count(*) FROM message"), await number("SELECT count(*) FROM transfer")


async def test_many_copies_under_one_message_id(gateway: Gateway) -> None:
    arrival = message(credit(), credit())
    results = await asyncio.gather(*(taken(gateway, arrival) for _ in range(COPIES)))
    assert len({acceptance(custody, SIGNER) for custody in results}) == 1
    assert await counts(gateway) == (1, 2)


async def test_many_copies_under_many_message_ids(gateway: Gateway) -> None:
    transfer = credit()
    arrivals = [message(transfer) for _ in range(COPIES)]
    first = await asyncio.gather(*(taken(gateway, arrival) for arrival in arrivals))
    again = await asyncio.gather(*(taken(gateway, arrival) for arrival in arrivals))
    assert [acceptance(custody, SIGNER) for custody in first] == [acceptance(custody, SIGNER) for custody in again]
    told = {(line.tracking, line.deadline) for custody in first for line in receipt_of(custody).transfers}
    assert len(told) == 1
    assert await counts(gateway) == (COPIES, 1)


async def test_many_copies_at_two_processes(gateway: Gateway) -> None:
    """The unique index decides between them; whoever loses looks again and gives the same answer."""
    transfer, arrival = credit(), message(credit(), credit())
    async with Gateway.open(gateway.database) as other:
        both = [gateway, other] * (COPIES // 2)
        same = await asyncio.gather(*(taken(process, arrival) for process in both))
        different = await asyncio.gather(*(taken(process, message(transfer)) for process in both))
    assert len({acceptance(custody, SIGNER) for custody in same}) == 1
    assert len({line.tracking for custody in different for line in custody.lines}) == 1
    assert await counts(gateway) == (1 + COPIES, 3)


async def test_other_content_in_custody_is_a_conflict(gateway: Gateway) -> None:
    """Design 5, Intake: nothing is written, not even for the sound transfer beside it."""
    transfer = credit()
    await gateway.custody(transfer)
    before = await counts(gateway)
    for other in (credit(transfer.uetr, amount_minor=1), credit(transfer.uetr, creditor_msisdn="254799999999")):
        answer = await gateway.intake.take(message(credit(), other), deadline_s=ANSWER_S)
        assert isinstance(answer, Conflict)
        assert answer.field == "CdtTrfTxInf[2]/PmtId/UETR"
    assert await counts(gateway) == before


async def test_the_same_uetr_of_two_banks_is_two_transfers(gateway: Gateway) -> None:
    transfer = credit()
    await gateway.custody(transfer)
    await gateway.intake.take(message(transfer, sender="bank-b"), deadline_s=ANSWER_S)
    assert await counts(gateway) == (2, 2)


async def test_replayed_message_id_is_a_conflict(gateway: Gateway) -> None:
    await taken(gateway, message(credit(), msg_id="M-1"))
    before = await counts(gateway)
    answer = await gateway.intake.take(message(credit(), msg_id="M-1"), deadline_s=ANSWER_S)
    assert isinstance(answer, Conflict)
    assert answer.code == "message_replayed"
    assert await counts(gateway) == before


async def test_two_contents_at_once(gateway: Gateway) -> None:
    """Same UETR, or same MsgId, other content, in one batch: one is taken, the other told of the conflict."""
    uetr = clock.new_uetr()
    for pair in (
        (message(credit(uetr)), message(credit(uetr, amount_minor=7))),
        (message(credit(), msg_id="M-2"), message(credit(), msg_id="M-2")),
    ):
        answers = await asyncio.gather(*(gateway.intake.take(one, deadline_s=ANSWER_S) for one in pair))
        assert [type(answer) for answer in answers] == [Custody, Conflict]


async def test_lost_commit_reply_gives_the_same_answer(gateway: Gateway) -> None:
    """Law 1: executed again by id; one row, and the receipt that a resend gets as well."""
    arrival = message(credit(), credit())
    gateway.intake_lane.lose = 2
    first = acceptance(await taken(gateway, arrival), SIGNER)
    assert gateway.intake_lane.lost == 2
    assert acceptance(await taken(gateway, arrival), SIGNER) == first
    assert await counts(gateway) == (1, 2)


async def test_receipt_tells_what_is_held(gateway: Gateway) -> None:
    old = credit()
    await gateway.custody(old)
    custody = await taken(gateway, message(old, credit(), msg_id="M-3"))
    receipt = receipt_of(custody)
    assert (receipt.bank, receipt.msg_id, receipt.count) == ("bank-a", "M-3", 2)
    assert receipt.message_sha256 == custody.body_sha256.hex()
    stored = await gateway.rows("SELECT max(deadline_ms) FROM transfer")
    assert receipt.deadline == max(line.deadline for line in receipt.transfers)
    assert custody.lines[1].deadline_ms == stored[0][0]


# --- recall, tombstone ----------------------------------------------------------------------------------


async def test_tombstone_then_transfer(gateway: Gateway) -> None:
    """Design 5, Intake: stored before it answers; the transfer that comes later is refused, and that is stored."""
    transfer = credit()
    assert (await gateway.acts.recall("bank-a", recall_of(transfer.uetr))).status == "CNCL"
    arrival = message(transfer, credit())
    custody = await taken(gateway, arrival)
    assert [line.rejected for line in custody.lines] == [True, False]
    body, _ = acceptance(custody, SIGNER)
    assert body.count(b"<TxSts>RJCT</TxSts>") == body.count(b"<TxSts>RCVD</TxSts>") == 1
    assert [line.uetr for line in receipt_of(custody).transfers] == [str(arrival.message.transfers[1].uetr)]
    assert await gateway.rows("SELECT status, reason FROM transfer WHERE uetr = %s", transfer.uetr) == [
        ("REJECTED", "tombstoned")
    ]
    assert acceptance(await taken(gateway, arrival), SIGNER)[0] == body
    assert (await taken(gateway, message(transfer))).lines[0].rejected
    assert (await gateway.acts.recall("bank-a", recall_of(transfer.uetr))).status == "CNCL"


async def test_rejection_is_stored_before_it_is_told(gateway: Gateway) -> None:
    """Design 5: refused by state means refused for ever: the message and its line are there after the answer."""
    transfer = credit()
    await gateway.acts.recall("bank-a", recall_of(transfer.uetr))
    custody = await taken(gateway, message(transfer, msg_id="M-4"))
    assert custody.lines[0].rejected
    assert await gateway.number("SELECT count(*) FROM message WHERE msg_id = 'M-4'") == 1
    assert await gateway.number("SELECT count(*) FROM attempt") == 0


async def test_recall_of_what_is_held_returns_it(gateway: Gateway) -> None:
    transfer = credit()
    (key,) = await gateway.custody(transfer)
    for number in range(3):
        assert (await gateway.acts.recall("bank-a", recall_of(transfer.uetr, f"C-{number}"))).status == "CNCL"
    assert await gateway.rows("SELECT status, reason FROM transfer WHERE id = %s", key) == [
        ("RETURNED", "recalled_by_bank")
    ]
    assert await gateway.rows("SELECT kind FROM outbox ORDER BY seq") == [("return",), ("resolution",)]
    assert await gateway.number("SELECT count(*) FROM recall") == 3


async def test_recall_and_transfer_at_once(gateway: Gateway) -> None:
    """Whoever is first, both sides are told the same story: refused and cancelled, or held and given back."""
    stories = set()
    async with Gateway.open(gateway.database) as other:
        for _ in range(30):
            transfer = credit()
            custody, recalled = await asyncio.gather(
                taken(gateway, message(transfer)),
                other.acts.recall("bank-a", recall_of(transfer.uetr, transfer.uetr.hex[:30])),
            )
            (row,) = await gateway.rows("SELECT status FROM transfer WHERE uetr = %s", transfer.uetr)
            story = (custody.lines[0].rejected, recalled.status, row[0])
            assert story in {(True, "CNCL", "REJECTED"), (False, "CNCL", "RETURNED")}
            stories.add(story)
    assert stories


# --- acknowledgements and inquiries ------------------------------------------------------------------------


async def returned(gateway: Gateway) -> tuple[StatusInquiry, ReturnAcknowledged]:
    """A transfer that went back, with the inquiry and the acknowledgement about it."""
    transfer = credit()
    (key,) = await gateway.custody(transfer)
    await gateway.desk.apply(Happened(key, ClockReturnDue(clock.now_ms() + 10**9)), deadline_s=ANSWER_S)
    inquiry = StatusInquiry("I-1", transfer.uetr, None, None)
    return inquiry, ReturnAcknowledged(return_id("bank-a", transfer.uetr), transfer.uetr, accepted=True)


async def test_a_return_is_acknowledged_once(gateway: Gateway) -> None:
    _, item = await returned(gateway)
    await outgoing.gather(gateway.lanes, "bank-a", sends=100)
    for _ in range(2):
        assert await gateway.acts.acknowledge("bank-a", ReturnAcknowledgement("A-1", (item,))) is None
    rows = await gateway.rows(
        "SELECT acknowledged_ms IS NOT NULL, settled_ms IS NOT NULL FROM payment_return CROSS JOIN outgoing_message"
    )
    assert rows == [(True, True)]
    assert await gateway.number("SELECT count(*) FROM reconciliation_break") == 0


async def test_an_acknowledgement_of_nothing_of_ours_is_refused_whole(gateway: Gateway) -> None:
    _, item = await returned(gateway)
    held = credit()
    await gateway.custody(held)
    stranger = ReturnAcknowledged(return_id("bank-a", held.uetr), item.uetr, accepted=True)
    answer = await gateway.acts.acknowledge("bank-a", ReturnAcknowledgement("A-2", (item, stranger)))
    assert answer == UnknownReturn("TxInfAndSts[2]/OrgnlTxId", answer.rule if answer else "")
    assert isinstance(await gateway.acts.acknowledge("bank-b", ReturnAcknowledgement("A-3", (item,))), UnknownReturn)
    assert await gateway.number("SELECT count(*) FROM payment_return WHERE acknowledged_ms IS NOT NULL") == 0


async def test_a_refused_return_is_a_break(gateway: Gateway) -> None:
    """The bank cannot refuse it: the return stays owed, and somebody is told."""
    _, item = await returned(gateway)
    refused = ReturnAcknowledged(item.return_id, item.uetr, accepted=False, reason="AC04")
    for _ in range(2):
        await gateway.acts.acknowledge("bank-a", ReturnAcknowledgement("A-4", (refused,)))
    assert await gateway.rows("SELECT kind FROM reconciliation_break") == [("returned_but_BankRefusedReturn",)]
    assert await gateway.number("SELECT count(*) FROM payment_return WHERE acknowledged_ms IS NULL") == 1


async def test_an_inquiry_gets_the_return_that_is_pushed(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked before the courier has written it: the very bytes that will be pushed."""
    inquiry, _ = await returned(gateway)
    assert isinstance(await gateway.acts.inquire("bank-a", inquiry), Leashed)
    later = clock.now_ms() + 200_000
    monkeypatch.setattr(clock, "now_ms", lambda: later)
    found = await gateway.acts.inquire("bank-a", inquiry)
    assert isinstance(found, Inquired)
    assert found.return_body
    assert [(found.return_body,)] == await gateway.rows("SELECT body FROM outgoing_message")
    assert await gateway.acts.inquire("bank-b", inquiry) is None
    assert await gateway.acts.inquire("bank-a", StatusInquiry("I-2", clock.new_uetr(), None, None)) is None


async def test_late_success_is_kept_and_shown(gateway: Gateway) -> None:
    """Law 1: after a return the core says `posted`; the status stays, the break says so, once."""
    (key,) = await gateway.custody(credit())
    now_ms = clock.now_ms() + 10**9
    answers = [CoreAnswered(1, outcome, now_ms) for outcome in (Outcome.BURNT, Outcome.REFUSED, Outcome.POSTED)]
    await gateway.desk.apply(Happened(key, WorkerClaimed(clock.now_ms())), deadline_s=ANSWER_S)
    for event in (*answers, *answers):
        await gateway.desk.apply(Happened(key, event, EVIDENCE), deadline_s=ANSWER_S)
    assert await gateway.rows("SELECT status, reason FROM transfer") == [("RETURNED", Reason.DEADLINE_PASSED.value)]
    breaks = await gateway.rows("SELECT kind FROM reconciliation_break ORDER BY seq")
    assert breaks == [("returned_but_refused",), ("returned_but_posted",)]
    assert await gateway.rows("SELECT lease_holder, outcome FROM attempt") == [(HOLDER, "burnt")]
