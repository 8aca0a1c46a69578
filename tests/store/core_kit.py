"""What the tests of the core share: a poster on a real database, and short ways to say what is wanted."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from hakika import clock
from hakika.domain.ledger import Burn, Entry, Kind, Set
from hakika.services.core.commands import Command, Credit, Inquire, Post
from hakika.services.core.posting import EntryAnswer, NotRedriven, Poster, Reply, Told
from hakika.store.core import batches, owners
from hakika.store.core.batches import Connection, Needs
from hakika.store.lane import BY_KEY, Lane
from hakika.store.server_roles import RoleAccess
from hakika.wire.core_api import Answer

T = TypeVar("T")

CURRENCY = "KES"
FAR_MS = 10**14


def an_id(name: str | int) -> bytes:
    """A repeatable id from a name."""
    return hashlib.sha256(f"id {name}".encode()).digest()[:16]


@dataclass
class Bench:
    """A poster on one database with its operator's accounts, a funded position and wallets."""

    database: RoleAccess
    lane: Lane
    poster: Poster
    house: dict[str, int]
    position: int
    wallets: dict[str, int]

    async def do(self, *commands: Command) -> list[Reply]:
        return await self.poster.execute(list(commands))

    async def answers(self, *commands: Command) -> list[Answer]:
        return [reply.answer for reply in await self.do(*commands) if isinstance(reply, Told)]

    async def post(self, *entries: Entry) -> list[tuple[str, str]]:
        """One linked set; (result, code) for each entry."""
        (reply,) = await self.do(Post(Set(entries)))
        if isinstance(reply, NotRedriven | Told):
            raise TypeError(reply)
        return [(answer.result, answer.code) for answer in reply]

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await self.lane.run(work, deadline_s=5.0)

    async def rows(self, statement: Any, *values: Any) -> list[tuple[Any, ...]]:
        async def work(connection: Connection) -> list[tuple[Any, ...]]:
            return await (await connection.execute(statement, values)).fetchall()

        return await self.run(work)

    async def balance(self, account: int) -> int:
        """Posted credits less posted debits."""
        ((balance,),) = await self.rows("SELECT credits_posted - debits_posted FROM account WHERE id = %s", account)
        return int(balance)

    async def open_wallet(self, msisdn: str) -> int:
        async def work(connection: Connection) -> int:
            row, _ = await owners.open_wallet(connection, msisdn, "Test", CURRENCY, 500_000_00, clock.now_ms())
            return row.account

        self.wallets[msisdn] = await self.run(work)
        return self.wallets[msisdn]


@asynccontextmanager
async def bench(database: RoleAccess, *, funding: int = 10**12, wallets: int = 2) -> AsyncIterator[Bench]:
    """A poster ready to work; `funding` in minor units for bank-a, wallets 254700000001 and on."""
    lane = Lane(database.app_url, name="test postings", setup=BY_KEY)

    async def house_of(connection: Connection) -> dict[str, int]:
        return await owners.open_house(connection, CURRENCY, clock.now_ms())

    async def position_of(connection: Connection) -> int:
        row, _ = await owners.open_position(connection, "bank-a", CURRENCY, clock.now_ms())
        return row.account

    try:
        house = await lane.run(house_of, deadline_s=5.0)
        position = await lane.run(position_of, deadline_s=5.0)
        built = Bench(database, lane, Poster(lane, {CURRENCY: house["fee"]}), house, position, {})
        for number in range(1, wallets + 1):
            await built.open_wallet(f"2547{number:08d}")
        if funding:
            entry = Entry(an_id("funding"), Kind.POSTED, house["settlement"], position, funding, CURRENCY)
            assert await built.post(entry) == [("posted", "posted")]
        yield built
    finally:
        await lane.close()


def rival_in_the_middle(patch: pytest.MonkeyPatch, rival: Poster, command: Command) -> list[Needs]:
    """Once, the rival is first with `command`, between a batch's look and its write; what was looked for."""
    look, looks = batches.look, list[Needs]()

    async def look_then_lose(connection: Connection, needs: Needs) -> batches.Looked:
        looks.append(needs)
        first = len(looks) == 1
        looked = await look(connection, needs)
        if first:
            await rival.execute([command])
        return looked

    patch.setattr(batches, "look", look_then_lose)
    return looks


def credit(name: str | int, amount: int = 1_000_00, number: int = 1, **changes: Any) -> Credit:
    """A credit of wallet `number` from bank-a."""
    return Credit(an_id(name), "bank-a", f"2547{number:08d}", amount, CURRENCY, FAR_MS)._replace(**changes)


def burn(name: str | int) -> Burn:
    return Burn(an_id(name))


def inquiry(name: str | int) -> Inquire:
    return Inquire(an_id(name))


def move(name: str | int, debit: int, credit: int, amount: int, kind: Kind = Kind.POSTED, **more: Any) -> Entry:
    """One entry between two accounts."""
    return Entry(an_id(name), kind, debit, credit, amount, CURRENCY, **more)


__all__ = ["Bench", "EntryAnswer", "bench", "burn", "credit", "inquiry", "move"]
