"""The bank's door over real services: which answers carry a transaction status, and which may not.

Design 5, Intake: a refusal by the bytes alone is a pacs.002 RJCT and final; a refused resend of an id in custody
is a conflict without a status; a refusal that depends on time or state is stored before RJCT is sent, or carries
no status at all.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from gateway_desk_kit import KEY, SIGNER, Gateway, credit

from hakika import clock
from hakika.channels.bank import MOVE_EVERY_S, BankChannel
from hakika.channels.door import Request, Response
from hakika.services.flusher import Busy
from hakika.services.gateway.admission import LEAST
from hakika.services.gateway.banks import Banks
from hakika.services.gateway.quotes import Quotes
from hakika.store.embedded import RoleAccess
from hakika.store.lane import NoAnswer, StoreFault
from hakika.wire.core_api import NameAnswer, NameQuery
from hakika.wire.iso20022.messages import Cancellation, CreditTransfer, CreditTransferMessage, StatusInquiry
from hakika.wire.iso20022.writing import write_cancellation, write_credit_transfer, write_inquiry
from hakika.wire.jws import sign_detached

AT_MS = 1_690_437_600_000
STATUSES = (b"TxSts", b"GrpSts", b"RJCT", b"RCVD", b"ACSP")


@dataclass
class Door:
    """The channel with a bank's engineer before it."""

    gateway: Gateway
    channel: BankChannel
    waits: dict[str, float]  # by bank, how long it must wait

    async def send(self, body: bytes, *, kid: str = "bank-a-1") -> Response:
        """A signed message and its answer."""
        headers = {"x-jws-signature": sign_detached(body, KEY, kid, clock.now_ms() // 1000)}
        (route, _) = self.channel.routes()
        return await route.handler(Request("POST", "/iso20022", {}, headers, body, "127.0.0.1", {}))

    async def transfers(self) -> int:
        """How many are stored."""
        return await self.gateway.number("SELECT count(*) FROM transfer")


async def _no_name(query: NameQuery) -> NameAnswer | None:
    return None


@asynccontextmanager
async def opened(database: RoleAccess, *, restored_ms: int | None = None) -> AsyncIterator[Door]:
    """A channel over a gateway's services, put back to a copy at `restored_ms` or never."""
    async with Gateway.open(database, restored_ms=restored_ms) as gateway:
        banks = Banks(gateway.lanes)
        await banks.refresh()
        quotes = Quotes(gateway.lanes, scale=1.0, corridor=lambda bank: (True, True), ask_name=_no_name)
        waits: dict[str, float] = {}
        channel = BankChannel(
            banks=banks, intake=gateway.intake, acts=gateway.acts, quotes=quotes, signer=SIGNER,
            allow=lambda client: 0.0, pace=lambda bank: waits.get(bank, 0.0), admission=gateway.admission,
        )  # fmt: skip
        yield Door(gateway, channel, waits)


@pytest.fixture
async def door(gateway_database: RoleAccess) -> AsyncIterator[Door]:
    async with opened(gateway_database) as made:
        yield made


def body_of(*transfers: CreditTransfer, msg_id: str | None = None) -> bytes:
    """A pacs.008."""
    return write_credit_transfer(CreditTransferMessage(msg_id or clock.new_id().hex, AT_MS, transfers))


def without_status(answer: Response, status: int) -> None:
    """An admi.002: says nothing about any transfer."""
    assert answer.status == status, answer.body
    assert b"admi.002.001.01" in answer.body
    assert not any(word in answer.body for word in STATUSES), answer.body
    assert "x-custody-receipt" not in dict(answer.headers)


def rejected_by_bytes(answer: Response) -> None:
    """A pacs.002 whose group status is final."""
    assert answer.status == 400, answer.body
    assert b"<GrpSts>RJCT</GrpSts>" in answer.body


BAD_AMOUNTS = [(b">1500.50<", b">1.5e3<"), (b">1500.50<", b">-1500.50<"), (b">1500.50<", b">0.00<")]


async def test_accepted_means_written(door: Door) -> None:
    transfer = credit()
    answer = await door.send(body_of(transfer))
    assert answer.status == 202
    assert b"<TxSts>RCVD</TxSts>" in answer.body
    assert "x-custody-receipt" in dict(answer.headers)
    assert await door.gateway.rows("SELECT uetr, status FROM transfer") == [(transfer.uetr, "RECEIVED")]


async def test_other_content_for_an_id_in_custody(door: Door) -> None:
    """409, not RJCT: the bank must not give back what is under way."""
    transfer = credit()
    await door.send(body_of(transfer, msg_id="M-1"))
    for other in (credit(transfer.uetr, amount_minor=7), credit(transfer.uetr, creditor_msisdn="254711111111")):
        without_status(await door.send(body_of(other)), 409)
        without_status(await door.send(body_of(credit(), other)), 409)
    without_status(await door.send(body_of(credit(), msg_id="M-1")), 409)
    assert await door.transfers() == 1


@pytest.mark.parametrize("bad", BAD_AMOUNTS, ids=lambda bad: bad[1].decode())
async def test_bad_bytes_for_an_id_in_custody(door: Door, bad: tuple[bytes, bytes]) -> None:
    """The bytes alone would refuse it; that an id of it is held makes it a conflict."""
    transfer = credit()
    await door.send(body_of(transfer, msg_id="M-2"))
    by_uetr = body_of(transfer).replace(*bad)
    by_message = body_of(credit(), msg_id="M-2").replace(*bad)
    among_others = body_of(credit(end_to_end_id="E-2"), transfer).replace(*bad)
    cut_off = body_of(transfer)[:-20]
    upper_case = (
        body_of(transfer).replace(*bad).replace(str(transfer.uetr).encode(), str(transfer.uetr).upper().encode())
    )
    for body in (by_uetr, by_message, among_others, cut_off, upper_case):
        without_status(await door.send(body), 409)
    assert await door.transfers() == 1


@pytest.mark.parametrize("bad", BAD_AMOUNTS, ids=lambda bad: bad[1].decode())
async def test_bad_bytes_write_nothing(door: Door, bad: tuple[bytes, bytes]) -> None:
    """Final, because the same bytes are refused for ever; and the ids stay free for good bytes."""
    transfer = credit()
    sound = body_of(transfer, msg_id="M-3")
    for _ in range(2):
        rejected_by_bytes(await door.send(sound.replace(*bad)))
    assert await door.transfers() == 0
    assert await door.gateway.number("SELECT count(*) FROM message") == 0
    assert (await door.send(sound)).status == 202


TROUBLES = [NoAnswer("lost"), StoreFault("no connection"), Busy("full")]


@pytest.mark.parametrize("trouble", TROUBLES, ids=repr)
async def test_our_own_trouble_is_not_final(door: Door, monkeypatch: pytest.MonkeyPatch, trouble: Exception) -> None:
    """Our database is away: 503, come again, and never a transaction status; not for bad bytes either."""

    async def fails(*arguments: Any, **named: Any) -> None:
        raise trouble

    transfer = credit()
    monkeypatch.setattr(door.gateway.intake, "take", fails)
    monkeypatch.setattr(door.gateway.acts, "any_known", fails)
    monkeypatch.setattr(door.gateway.acts, "inquire", fails)
    monkeypatch.setattr(door.gateway.acts, "recall", fails)
    bodies = [
        body_of(transfer),
        body_of(transfer).replace(*BAD_AMOUNTS[0]),
        write_inquiry(StatusInquiry("I-1", transfer.uetr, None, None), created_ms=AT_MS),
        _recall(transfer.uetr),
    ]
    for body in bodies:
        answer = await door.send(body)
        without_status(answer, 503)
        assert int(dict(answer.headers)["retry-after"]) >= 1


async def test_rejection_by_state_is_stored_first(door: Door) -> None:
    """A tombstone's RJCT is final because it is written: the same answer to every later message."""
    transfer = credit()
    answer = await door.send(_recall(transfer.uetr))
    assert answer.status == 200
    assert await door.gateway.rows("SELECT status, reason FROM transfer") == [("REJECTED", "tombstoned")]
    for _ in range(2):
        refused = await door.send(body_of(transfer))
        assert refused.status == 202
        assert b"<TxSts>RJCT</TxSts>" in refused.body
        assert b"RCVD" not in refused.body
    assert await door.gateway.number("SELECT count(*) FROM message") == 2
    assert await door.gateway.number("SELECT count(*) FROM attempt") == 0


async def test_unknown_and_early_inquiries_say_nothing(door: Door) -> None:
    transfer = credit()
    await door.send(body_of(transfer))
    for uetr, status in ((clock.new_uetr(), 404), (transfer.uetr, 429)):
        inquiry = StatusInquiry("I-2", uetr, None, None)
        without_status(await door.send(write_inquiry(inquiry, created_ms=AT_MS)), status)


async def test_who_signed_may_not_be_another(door: Door) -> None:
    body = body_of(credit())
    rejected_by_bytes(await door.send(body, kid="bank-b-1"))
    without_status(await door.send(body, kid="bank-z-1"), 401)
    assert await door.transfers() == 0


def _recall(uetr: UUID) -> bytes:
    recall = Cancellation("ASG-1", "CXL-1", uetr, None, None, "DUPL")
    return write_cancellation(recall, created_ms=AT_MS, bank="bank-a")


async def test_a_currency_that_is_not_served_is_refused_and_stored(door: Door) -> None:
    """A refusal by state: stored with its id before RJCT, repeated, kept; the rest of the message is in custody."""
    shillings, other = credit(end_to_end_id="E-1"), credit(end_to_end_id="E-2", currency="UGX", amount_minor=500)
    body = body_of(shillings, other)
    for answer in (await door.send(body), await door.send(body)):
        assert answer.status == 202
        assert answer.body.count(b"<TxSts>RJCT</TxSts>") == answer.body.count(b"<TxSts>RCVD</TxSts>") == 1
        assert b"AM03" in answer.body and b"currency_not_served" in answer.body
    stored = await door.gateway.rows("SELECT uetr, status, reason, tracking IS NULL FROM transfer ORDER BY status")
    assert stored == [
        (shillings.uetr, "RECEIVED", None, False),
        (other.uetr, "REJECTED", "currency_not_served", True),
    ]
    door.gateway.intake._currencies = frozenset({"KES", "UGX"})  # served from today on: the id stays dead
    late = await door.send(body_of(other))
    assert late.status == 202 and b"<TxSts>RJCT</TxSts>" in late.body


async def test_when_too_much_is_under_way_fresh_messages_wait_outside(door: Door) -> None:
    """503 at once and nothing stored; what is asked about known ids is answered as ever."""
    known = body_of(credit())
    assert (await door.send(known)).status == 202
    for _ in range(LEAST):
        door.gateway.admission.taken(clock.new_id())
    body = body_of(credit())
    refused = await door.send(body)
    without_status(refused, 503)
    assert b"too_much" in refused.body
    assert dict(refused.headers)["retry-after"] == "1"
    assert await door.transfers() == 1
    inquiry = StatusInquiry("I-1", clock.new_uetr(), None, None)
    assert (await door.send(write_inquiry(inquiry, created_ms=AT_MS))).status == 404
    door.gateway.admission._under_way.clear()
    assert (await door.send(body)).status == 202


async def test_of_those_who_are_refused_one_in_a_while_is_asked_to_connect_anew(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that connections find a process that has come back; all of them at once would be a storm."""
    for _ in range(LEAST):
        door.gateway.admission.taken(clock.new_id())
    body = body_of(credit())

    async def asked() -> list[bool]:
        answers = [await door.send(body) for _ in range(5)]
        assert {answer.status for answer in answers} == {503}
        return [("connection", "close") in answer.headers for answer in answers]

    now_s = clock.monotonic_s()
    monkeypatch.setattr(clock, "monotonic_s", lambda: now_s)
    assert await asked() == [True, False, False, False, False]
    monkeypatch.setattr(clock, "monotonic_s", lambda: now_s + 0.9 * MOVE_EVERY_S)
    assert not any(await asked())
    monkeypatch.setattr(clock, "monotonic_s", lambda: now_s + 1.1 * MOVE_EVERY_S)  # sums of floats may fall short
    assert await asked() == [True, False, False, False, False]


async def test_a_bank_that_sends_too_fast_is_told_when(door: Door) -> None:
    """Nothing is decided and nothing written; the same bytes are taken afterwards. Other banks go on."""
    body = body_of(credit())
    door.waits["bank-a"] = 1.2
    refused = await door.send(body)
    without_status(refused, 429)
    assert dict(refused.headers)["retry-after"] == "2"
    assert await door.transfers() == 0
    assert (await door.send(body_of(credit(debtor_agent="bank-b")), kid="bank-b-1")).status == 202
    door.waits.clear()
    assert (await door.send(body)).status == 202


async def test_after_a_restore_an_unknown_id_is_neither_refused_nor_called_unsent(
    gateway_database: RoleAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I-GW-10: a recall stores nothing, and what is held may be in the wallet: ACSP, not RCVD."""
    transfer = credit()
    asked = Cancellation("A-1", "C-1", transfer.uetr, None, None, "DUPL")
    recall = write_cancellation(asked, created_ms=AT_MS, bank="bank-a")
    async with opened(gateway_database, restored_ms=clock.now_ms()) as door:
        without_status(await door.send(recall), 404)
        assert await door.transfers() == 0
        assert (await door.send(body_of(transfer))).status == 202
        assert b"PDCR" in (await door.send(recall)).body
        later = clock.now_ms() + 200_000
        monkeypatch.setattr(clock, "now_ms", lambda: later)
        answer = await door.send(write_inquiry(StatusInquiry("I-1", transfer.uetr, None, None), created_ms=AT_MS))
        assert b"<TxSts>ACSP</TxSts>" in answer.body
