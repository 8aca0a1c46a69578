"""The bank's process ends between any two steps, and its rows alone are enough: each crash point in turn.

One story passes every point: a transfer that completes by a callback, one that is found by an inquiry, one that
is refused, one that comes back. Clients and gateway repeat themselves until they are answered, as they do.
"""

import asyncio
from typing import Any

import httpx2
import pytest
from bank_harness import BankProcess, Scripted, ScriptedGateway, StartBank, until

from hakika.counterparties.faults import CRASH_EXIT_CODE, CRASH_POINTS
from hakika.wire.iso20022.messages import CreditTransferMessage

pytestmark = pytest.mark.process

OPENING_MINOR = 1_000_000
STORY = {"done": "completed", "asked": "completed", "refused": "rejected", "back": "returned"}
CUSTOMERS = {"done": 1, "asked": 2, "refused": 3, "back": 4}
AMOUNTS = {"done": 10_000, "asked": 20_001, "refused": 30_002, "back": 40_003}


async def insist(work: Any) -> Any:
    """Repeat a call until it is answered: what any careful caller does."""
    while True:
        try:
            answer = await work()
        except httpx2.TransportError:
            await asyncio.sleep(0.05)
            continue
        if answer not in (500, 503):
            return answer
        await asyncio.sleep(0.05)


async def tell_story(bank: BankProcess, gateway: ScriptedGateway) -> None:
    async def one(name: str) -> None:
        order = {"customer": CUSTOMERS[name], "amount_minor": AMOUNTS[name]}
        answer = await insist(lambda: bank.pay(name, **order))  # type: ignore[arg-type]
        assert answer["result"] == "debited"
        uetr = bank.books().uetr(name)
        if name == "refused":
            return
        await until(lambda: uetr in gateway.custody, "custody")
        body = gateway.money_back(uetr, "RTR-1") if name == "back" else gateway.completion(uetr)
        if name != "asked":
            assert await insist(lambda: bank.push(body)) == 204

    await asyncio.gather(*(one(name) for name in STORY))


async def raise_again(bank: BankProcess) -> int:
    """Wait for the crash, look at the books as they lie on the disk, start again."""
    assert bank.process is not None
    code = await bank.process.wait()
    bank.books().check()
    await bank.start()
    return code


@pytest.mark.parametrize("point", CRASH_POINTS)
async def test_a_crash_between_any_two_steps(point: str, gateway: ScriptedGateway, start_bank: StartBank) -> None:
    async def refuse_one(message: CreditTransferMessage, body: bytes, nth: int) -> Scripted:
        refused = message.transfers[0].amount_minor == AMOUNTS["refused"]
        return gateway.refusal(message.msg_id) if refused else None

    gateway.script = refuse_one
    bank = await start_bank(crash_at=point, poll_after_s=0.1)
    revival = asyncio.create_task(raise_again(bank))
    await tell_story(bank, gateway)
    async with asyncio.timeout(15):
        assert await revival == CRASH_EXIT_CODE
    await until(lambda: bank.books().states() == STORY, "every transfer has its end")
    await until(lambda: gateway.acknowledged == {"RTR-1": True}, "acknowledged")
    waiting = "SELECT * FROM outbox WHERE answered_ms IS NULL"
    await until(lambda: bank.books().rows(waiting) == [], "everything answered")

    books = bank.books()
    books.check()
    assert books.balance("in_transit") == 0
    assert books.balance("position_mirror") == AMOUNTS["done"] + AMOUNTS["asked"]
    assert books.balance("customer:3") == OPENING_MINOR
    assert books.balance("customer:4") == OPENING_MINOR
    events = books.rows("SELECT event, count(*) FROM journal WHERE uetr IS NOT NULL GROUP BY event")
    assert dict(events) == {"debited": 4, "completed": 2, "rejected": 1, "returned": 1}  # type: ignore[arg-type]
    assert len(gateway.bodies) == 4  # the gateway itself refuses two bodies under one id
    assert len(gateway.acknowledgements["RTR-1"]) == 1
    assert books.rows("SELECT * FROM contradiction") == []
