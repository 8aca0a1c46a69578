"""A gateway that was put back to a copy and has forgotten what a bank has a receipt for: the same bytes go out again.

The new receipt takes the place of the first, which is kept; a return that was booked is acknowledged again, and books
nothing. Nobody is debited or given anything a second time.
"""

import asyncio
from uuid import UUID

import pytest
from bank_harness import GATEWAY_KID, BankProcess, Keys, ScriptedGateway, StartBank, until

from hakika import clock
from hakika.counterparties.door import Response
from hakika.wire import jws

pytestmark = pytest.mark.process

RECEIPTS = "SELECT receipt, deadline_ms, tracking, sent_again_ms FROM transfer ORDER BY request_id"


async def accepted(bank: BankProcess, *names: str) -> list[UUID]:
    """Ordered at once, so that one message carries them where the bank gathers."""
    found = [UUID(answer["uetr"]) for answer in await asyncio.gather(*(bank.pay(name) for name in names))]
    await until(lambda: set(bank.books().states().values()) == {"accepted"}, "accepted")
    return found


async def test_what_the_gateway_does_not_know_is_sent_again(gateway: ScriptedGateway, start_bank: StartBank) -> None:
    bank = await start_bank(poll_after_s=0.2)
    (uetr,) = await accepted(bank, "r1")
    ((receipt, deadline_ms, _, _),) = bank.books().rows(RECEIPTS)
    gateway.forget()
    await until(lambda: uetr in gateway.custody, "sent again")
    await until(lambda: bank.books().rows(RECEIPTS)[0][0] != receipt, "the new receipt")
    ((renewed, later_ms, _, again_ms),) = bank.books().rows(RECEIPTS)
    assert renewed in {compact for _, compact in gateway.answers.values()}
    assert (later_ms > deadline_ms, again_ms) == (True, None)
    assert bank.books().rows("SELECT uetr, receipt FROM superseded") == [(str(uetr), receipt)]
    assert list(gateway.sendings.values()) == [2]
    assert await bank.push(gateway.completion(uetr)) == 204
    assert bank.books().states() == {"r1": "completed"}
    assert bank.books().rows("SELECT * FROM contradiction") == []


async def test_a_message_is_sent_again_whole(gateway: ScriptedGateway, start_bank: StartBank) -> None:
    """One has arrived and one come back already: their receipts are renewed, their ends stay as they are."""
    bank = await start_bank(poll_after_s=0.2, transfers_per_message=3, gather_ms=50)
    arrived, back, waits = await accepted(bank, "arrived", "back", "waits")
    assert await bank.push(gateway.completion(arrived)) == 204
    assert await bank.push(gateway.money_back(back, "RTR-1")) == 204
    await until(lambda: gateway.acknowledged == {"RTR-1": True}, "acknowledged")
    gateway.forget()
    await until(lambda: {arrived, back, waits} <= set(gateway.custody), "sent again, whole")
    await until(lambda: len(bank.books().rows("SELECT * FROM superseded")) >= 3, "three new receipts")
    assert await bank.push(gateway.completion(arrived)) == 204
    assert await bank.push(gateway.money_back(back, "RTR-1")) == 204
    assert await bank.push(gateway.money_back(waits, "RTR-2")) == 204
    await until(lambda: gateway.acknowledged == {"RTR-1": True, "RTR-2": True}, "acknowledged again")
    assert bank.books().states() == {"arrived": "completed", "back": "returned", "waits": "returned"}
    assert bank.books().rows("SELECT * FROM contradiction") == []
    assert bank.books().balance("in_transit") == 0


async def test_an_acknowledgement_of_a_forgotten_return_sends_the_transfer_again(
    gateway: ScriptedGateway, start_bank: StartBank
) -> None:
    bank = await start_bank()
    (uetr,) = await accepted(bank, "r1")
    body = gateway.money_back(uetr, "RTR-1")
    gateway.refuse_acknowledgements = 1
    assert await bank.push(body) == 204
    await until(lambda: gateway.refuse_acknowledgements == 0, "an acknowledgement that was not taken")
    gateway.forget()
    await until(lambda: uetr in gateway.custody, "sent again")
    await until(lambda: gateway.acknowledged == {"RTR-1": True}, "acknowledged")
    assert bank.books().states() == {"r1": "returned"}
    assert bank.books().rows("SELECT * FROM contradiction") == []


async def test_unknown_without_the_gateways_signature_says_nothing(
    gateway: ScriptedGateway, start_bank: StartBank
) -> None:
    bank = await start_bank(poll_after_s=0.2, polls_max=5)
    await accepted(bank, "r1")
    forged = jws.sign_detached(b"x", Keys().gateway[0], GATEWAY_KID, clock.now_ms() // 1000)
    gateway.inquiry_answers = [Response(404), Response(404, b"x", headers=(("x-jws-signature", forged),))]
    await until(lambda: not gateway.inquiry_answers, "asked")
    assert list(gateway.sendings.values()) == [1]
    assert bank.books().rows("SELECT sent_again_ms FROM transfer") == [(None,)]
