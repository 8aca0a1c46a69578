"""The bank's process ends between any two steps, and its rows alone are enough: every crash point is met.

One story passes every point: a transfer that is refused, one that completes by a callback, one whose end is found
by an inquiry, one that comes back. Clients and gateway repeat themselves until they are answered, as they do. Each
telling meets two crashes, an early point and a late one.
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
STORY = {"refused": "rejected", "done": "completed", "asked": "completed", "back": "returned"}
HALF = len(CRASH_POINTS) // 2
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


async def tell(name: str, bank: BankProcess, gateway: ScriptedGateway) -> None:
    """One transfer from its order to its end."""
    order = {"customer": CUSTOMERS[name], "amount_minor": AMOUNTS[name]}
    answer = await insist(lambda: bank.pay(name, **order))
    assert answer["result"] == "debited"
    books, uetr = bank.books(), bank.books().uetr(name)
    if name != "refused":
        await until(lambda: books.states()[name] == "accepted", f"{name}: accepted")
        body = gateway.money_back(uetr, "RTR-1") if name == "back" else gateway.completion(uetr)
        if name != "asked":
            assert await insist(lambda: bank.push(body)) == 204
    await until(lambda: books.states()[name] == STORY[name], f"{name}: {STORY[name]}")


async def raise_again(bank: BankProcess, crash_at: str | None) -> None:
    """Wait for the crash, look at the books as they lie on the disk, start again."""
    assert bank.process is not None
    assert await bank.process.wait() == CRASH_EXIT_CODE
    bank.books().check()
    await bank.start(crash_at)


def check_the_end(bank: BankProcess, gateway: ScriptedGateway) -> None:
    books = bank.books()
    books.check()
    assert books.balance("in_transit") == 0
    assert books.balance("position_mirror") == AMOUNTS["done"] + AMOUNTS["asked"]
    assert books.balance("customer:3") == OPENING_MINOR
    assert books.balance("customer:4") == OPENING_MINOR
    events = books.rows("SELECT event, count(*) FROM journal WHERE uetr IS NOT NULL GROUP BY event")
    assert dict(events) == {"debited": 4, "completed": 2, "rejected": 1, "returned": 1}
    assert len(gateway.bodies) == 4  # the gateway itself refuses two bodies under one id
    assert len(gateway.acknowledgements["RTR-1"]) == 1
    assert books.rows("SELECT * FROM contradiction") == []


PAIRS = list(zip(CRASH_POINTS[:HALF], CRASH_POINTS[HALF:], strict=True))


@pytest.mark.parametrize(("early", "late"), PAIRS)
async def test_a_crash_between_any_two_steps(
    early: str, late: str, gateway: ScriptedGateway, start_bank: StartBank
) -> None:
    async def refuse_one(message: CreditTransferMessage, body: bytes, nth: int) -> Scripted:
        refused = message.transfers[0].amount_minor == AMOUNTS["refused"]
        return gateway.refusal(message.msg_id) if refused else None

    async def revive() -> None:
        await raise_again(bank, late)
        await raise_again(bank, None)

    gateway.script = refuse_one
    bank = await start_bank(crash_at=early, poll_after_s=0.1)
    revival = asyncio.create_task(revive())
    for name in STORY:
        await tell(name, bank, gateway)
    async with asyncio.timeout(15):
        await revival
    await until(lambda: gateway.acknowledged == {"RTR-1": True}, "acknowledged")
    waiting = "SELECT * FROM outbox WHERE answered_ms IS NULL"
    await until(lambda: bank.books().rows(waiting) == [], "everything answered")
    check_the_end(bank, gateway)
