"""Customers are open loop, ask again under one id until they know, and believe only what a bank says."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from hakika import clock
from hakika.simulator.demand import Order
from hakika.simulator.driver import Customers


class Bank:
    """Answers orders as told: a list of (status, content), one each time an order id is asked; None: hang up."""

    def __init__(self) -> None:
        self.script: dict[str, list[tuple[int, dict[str, str]] | None]] = {}
        self.asked: Counter[str] = Counter()
        self.server: asyncio.Server | None = None

    async def start(self) -> str:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                order = json.loads(await reader.readexactly(length))["request_id"]
                self.asked[order] += 1
                steps = self.script.get(order) or [(200, {"result": "debited", "uetr": f"u-{order}"})]
                step = steps[min(self.asked[order], len(steps)) - 1]
                if step is None:
                    break
                body = json.dumps(step[1]).encode()
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (step[0], len(body), body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def bank() -> AsyncIterator[Bank]:
    made = Bank()
    yield made
    if made.server is not None:
        made.server.close()


def order(number: int, at_s: float = 0.0) -> Order:
    return Order(number, at_s, "bank-a", 1, "254712345678", "Amina Otieno", "open", 100_00)


async def play(bank: Bank, orders: list[Order]) -> Customers:
    customers = Customers({"bank-a": await bank.start()})
    await customers.run(orders, clock.monotonic_s())
    await customers.settle(5.0)
    await customers.close()
    return customers


async def test_debited_and_refused_are_kept_apart(bank: Bank) -> None:
    bank.script["order-000002"] = [(200, {"result": "not_debited", "reason": "corridor_held", "advice": "HOLD"})]
    customers = await play(bank, [order(1), order(2)])
    assert (customers.offered, customers.debited, dict(customers.refusals)) == (2, 1, {"corridor_held": 1})
    assert [told.uetr for told in customers.told] == ["u-order-000001", None]
    assert [told.order.number for told in customers.fresh()] == [1]
    assert customers.fresh() == []


async def test_asks_again_under_the_same_id_until_it_knows(bank: Bank) -> None:
    bank.script["order-000001"] = [None, (503, {}), (200, {"result": "debited", "uetr": "u"})]
    customers = await play(bank, [order(1)])
    assert bank.asked["order-000001"] == 3
    assert customers.debited == 1
    assert customers.told[0].asks == 3


async def test_a_silent_bank_holds_nobody_else_up(bank: Bank) -> None:
    bank.script["order-000001"] = [None] * 100
    began_s = clock.monotonic_s()
    customers = Customers({"bank-a": await bank.start()})
    await customers.run([order(1), *(order(number, number * 0.01) for number in range(2, 30))], began_s)
    assert clock.monotonic_s() - began_s < 1.5
    assert await customers.settle(0.5) == 1
    await customers.close()
    assert customers.debited == 28
    assert not customers.told[0].known


async def test_orders_go_out_at_their_time(bank: Bank) -> None:
    began_s = clock.monotonic_s()
    customers = Customers({"bank-a": await bank.start()})
    await customers.run([order(1, 0.0), order(2, 0.4)], began_s)
    assert 0.38 <= clock.monotonic_s() - began_s < 1.4  # a loop fires a timer up to a millisecond early
    await customers.settle(5.0)
    await customers.close()
    first, second = customers.told
    assert second.asked_ms - first.asked_ms >= 150  # a busy machine starts the first late
