"""Wallets, positions and statements on the real PostgreSQL; incarnations and the re-drive."""

import asyncio
from uuid import UUID

import pytest
from core_kit import CURRENCY, an_id, bench, burn, credit, inquiry, move

from hakika.domain.ledger import Set
from hakika.services.core.commands import Post
from hakika.services.core.incarnation import raise_incarnation
from hakika.services.core.posting import NotRedriven
from hakika.store.core import batches, lives, owners
from hakika.store.core.batches import Connection
from hakika.store.lane import Lane
from hakika.store.server_roles import RoleAccess


async def test_opening_is_idempotent_also_in_parallel(core_database: RoleAccess) -> None:
    lanes = [Lane(core_database.app_url, name=f"opener {n}") for n in range(4)]

    async def open_both(connection: Connection) -> tuple[int, int]:
        wallet, _ = await owners.open_wallet(connection, "254711111111", "Asha", CURRENCY, 1000, 5)
        position, _ = await owners.open_position(connection, "bank-q", CURRENCY, 5)
        await owners.open_house(connection, CURRENCY, 5)
        return wallet.account, position.account

    opened = await asyncio.gather(*[lanes[n % 4].run(open_both, deadline_s=5) for n in range(16)])
    assert len(set(opened)) == 1
    async with bench(core_database, wallets=0, funding=0) as core:
        assert await core.rows("SELECT count(*) FROM account") == [(6,)], "fee, loss, settlement, two positions, wallet"
    for lane in lanes:
        await lane.close()


async def test_a_wallet_keeps_its_first_name_and_has_one_account_a_currency(core_database: RoleAccess) -> None:
    async with bench(core_database, wallets=0) as core:

        async def work(connection: Connection) -> list[tuple[int, bool, str]]:
            rows = []
            for name, currency in (("Asha", "KES"), ("Other", "KES"), ("Asha", "UGX")):
                row, new = await owners.open_wallet(connection, "254711111111", name, currency, 1000, 5)
                rows.append((row.account, new, row.name))
            return rows

        first, again, other = await core.run(work)
        assert (again[0], again[1], again[2]) == (first[0], False, "Asha")
        assert other[1] and other[0] != first[0]


async def test_a_statement_is_walked_back_page_by_page(core_database: RoleAccess) -> None:
    async with bench(core_database) as core:
        wallet = core.wallets["254700000001"]
        names = [f"n{number}" for number in range(25)]
        for name in names:
            await core.answers(credit(name, 900_00 + len(name)))
        await core.answers(credit("refused", valid_until_ms=0), credit("of another", number=2))
        await core.post(move("out", wallet, core.position, 5_00))

        before: bytes | None = None
        ids: list[UUID] = []
        balances: list[int] = []
        while True:
            page = await core.run(lambda connection, at=before: owners.statement(connection, wallet, at, 10))  # type: ignore[misc]
            if not page:
                break
            ids += [line.id for line in page]
            balances += [line.credits_posted - line.debits_posted for line in page]
            before = page[-1].id.bytes
        assert ids == [UUID(bytes=an_id(name)) for name in ["out", *reversed(names)]]
        assert balances[0] == await core.balance(wallet)
        assert balances[-1] == 895_02

        async def foreign(connection: Connection) -> list[owners.StatementLine]:
            return await owners.statement(connection, wallet, an_id("of another"), 10)

        assert await core.run(foreign) == [], "an entry of another account is no place to go on from"


async def test_status_changes_between_batches(core_database: RoleAccess) -> None:
    async with bench(core_database) as core:

        async def block(connection: Connection) -> bool:
            return await owners.set_wallet_status(connection, "254700000001", "blocked")

        assert await core.run(block)
        assert [answer.reason for answer in await core.answers(credit("a"))] == ["wallet_blocked"]
        assert not await core.run(lambda c: owners.set_wallet_status(c, "254799999999", "open"))


async def test_a_new_incarnation_posts_nothing_before_it_is_redriven(core_database: RoleAccess) -> None:
    async with bench(core_database) as core:
        (first,) = await core.answers(credit("a"))
        assert await raise_incarnation(core_database.owner_url, "restored from the backup of 10:00") == 2
        entry = move("e", core.position, core.wallets["254700000001"], 5)
        new, known, post, burnt, asked = await core.do(
            credit("b"), credit("a"), Post(Set((entry,))), burn("c"), inquiry("a")
        )
        assert (new, post) == (NotRedriven(), NotRedriven())
        assert [getattr(reply, "answer", None) for reply in (known, asked)] == [first, first]
        assert getattr(burnt, "incarnation", None) == 2
        assert await core.rows("SELECT count(*) FROM entry WHERE id = %s", UUID(bytes=an_id("b"))) == [(0,)]

        redriven = credit("lost", redrive=True, valid_until_ms=0)
        assert [answer.result for answer in await core.answers(redriven)] == ["posted"]
        too_much = credit("short", 200_000_00, redrive=True, bank="bank-z")
        (free,) = await core.answers(too_much)
        assert (free.result, free.reason) == ("unknown", "bank_unknown"), "not stored: it may be tried again"

        assert not await core.run(lambda c: lives.mark_redriven(c, 1, 9))
        assert await core.run(lambda c: lives.mark_redriven(c, 2, 9))
        assert await core.run(lambda c: lives.mark_redriven(c, 2, 9)), "said twice, done once"
        assert [answer.result for answer in await core.answers(credit("b"))] == ["posted"]
        assert await core.rows("SELECT DISTINCT incarnation FROM batch ORDER BY 1") == [(1,), (2,)]


@pytest.mark.parametrize("count", [1, 17])
async def test_every_writer_has_a_slot_of_its_own(core_database: RoleAccess, count: int) -> None:
    lanes = [Lane(core_database.app_url, name=f"writer {n}") for n in range(count)]

    async def claim(connection: Connection) -> int:
        return (await batches.claim_slot(connection, 3)).slot

    claimed = await asyncio.gather(*[lane.run(claim, deadline_s=5) for lane in lanes], return_exceptions=True)
    slots = [slot for slot in claimed if isinstance(slot, int)]
    assert len(set(slots)) == len(slots) == min(count, 16)
    assert 3 in slots
    for lane in lanes:
        await lane.close()
