"""Books that the core's own services have written, under load and restarts, are found in order."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from checker_books import Bank, Gateway, Place, lines

from hakika.domain.ledger import Entry, Kind, Set
from hakika.ids import attempt_id
from hakika.services.core.commands import Credit
from hakika.services.core.role import CoreRole, build
from hakika.simulator.checker import Targets, verify
from hakika.store.embedded import RoleAccess
from hakika.wire.core_api import Answer

WALLETS = [f"2547000001{number:02d}" for number in range(10)]
SEED = 7
TRANSFERS = 300
AMOUNT = 1_500_00
FAR_MS = 10**14
BANK = "bank-a"


def _id(name: object) -> bytes:
    return hashlib.sha256(f"services {name}".encode()).digest()[:16]


@pytest.fixture
async def core(core_database: RoleAccess) -> AsyncIterator[CoreRole]:
    """The core's services on a fresh database, its wallets open, its bank funded."""
    role = await _started(core_database)
    for msisdn in WALLETS:
        await role.customers.open_wallet(msisdn, "A name", "KES")
    position, _ = await role.customers.open_position(BANK, "KES")
    settlement = role.settlement_account()
    await role.post([Set((Entry(_id("fund"), Kind.POSTED, settlement, position.account, 10**11, "KES"),))])
    yield role
    await role.stop()


async def _started(database: RoleAccess) -> CoreRole:
    role = build(database_url=database.app_url, currency="KES")
    await role.start()
    for _ in range(500):
        if role.ready:
            return role
        await asyncio.sleep(0.02)
    raise TimeoutError("the core is not ready")


@pytest.fixture
def outside(gateway_database: RoleAccess, tmp_path: Path) -> Iterator[tuple[Gateway, Bank]]:
    """A gateway's tables and a bank's file."""
    gateway, bank = Gateway(gateway_database.owner_url), Bank(BANK, tmp_path / "books.sqlite")
    gateway.open_banks()
    bank.create()
    yield gateway, bank
    gateway.sql.close()
    bank.sql.close()


async def test_a_busy_core(
    core: CoreRole, core_database: RoleAccess, gateway_database: RoleAccess, outside: tuple[Gateway, Bank]
) -> None:
    """Postings, burns, refusals and late instructions at once, recounted while they happen and afterwards."""
    gateway, bank = outside
    chance = random.Random(SEED)
    uetrs = [UUID(int=chance.getrandbits(128), version=4) for _ in range(TRANSFERS)]
    creditors = {uetr: chance.choice([*WALLETS, "254799999999"]) for uetr in uetrs}
    for uetr, msisdn in creditors.items():
        bank.debit(uetr, AMOUNT, msisdn)
        gateway.take(BANK, uetr, AMOUNT, msisdn)
        bank.accept(uetr)
        gateway.attempt(BANK, uetr, 1)

    async def live(uetr: UUID) -> None:
        attempt = attempt_id(BANK, uetr, 1)
        if chance.random() < 0.1:
            await core.burn([attempt.bytes])
        valid_until_ms = 0 if chance.random() < 0.1 else FAR_MS
        _, (answer,) = await core.credit([Credit(attempt.bytes, BANK, creditors[uetr], AMOUNT, "KES", valid_until_ms)])
        _record(gateway, bank, uetr, attempt, answer)

    targets = Targets(core_database.reader_url, gateway_database.reader_url, {BANK: bank.file})
    for start in range(0, TRANSFERS, 50):
        recount = asyncio.create_task(asyncio.to_thread(verify, targets))
        await asyncio.gather(*(live(uetr) for uetr in uetrs[start : start + 50]))
        assert lines(await recount) == []
    result = await asyncio.to_thread(verify, replace(targets, settled=True))
    assert lines(result) == []
    assert result.counts["completed"] > TRANSFERS // 2
    assert result.counts["returned"] > TRANSFERS // 10
    assert result.counts["unfinished"] == 0


def _record(gateway: Gateway, bank: Bank, uetr: UUID, attempt: UUID, answer: Answer) -> None:
    """What the gateway and the bank write about a stored answer, each in one commit."""
    place = Place(answer.slot, answer.seq, bytes.fromhex(answer.head))
    posted = answer.result == "posted"
    with gateway.sql.transaction():
        gateway.close(attempt, answer.result, place, answer.reason)
        if posted:
            gateway.status(uetr, "COMPLETED", fee=answer.fee_minor or None)
            gateway.tell(BANK, uetr, "final", settled=False)
        else:
            gateway.give_back(BANK, uetr, answer.reason or "deadline_passed", acknowledged=False)
    bank.sql.execute("BEGIN")
    bank.end(uetr, "completed" if posted else "returned")
    bank.sql.execute("COMMIT")
    if not posted:
        gateway.acknowledge(uetr)


async def test_the_operators_entries_and_a_restart(core: CoreRole, core_database: RoleAccess) -> None:
    wallets = [(await core.customers.wallet(msisdn))[0].account for msisdn in WALLETS[:3]]
    one, two, three = wallets
    _, (answer,) = await core.credit([Credit(_id("c"), BANK, WALLETS[0], 90_000_00, "KES", FAR_MS)])
    assert answer.result == "posted"
    await core.post([Set((Entry(_id("p1"), Kind.PENDING, one, two, 500, "KES"),))])
    await core.post([Set((Entry(_id("p2"), Kind.PENDING, one, two, 700, "KES"),))])
    await core.post([Set((Entry(_id("e1"), Kind.POST, one, two, 300, "KES", _id("p1")),))])
    await core.post([Set((Entry(_id("e2"), Kind.VOID, one, two, 700, "KES", _id("p2")),))])
    pair = tuple(Entry(_id(f"s{number}"), Kind.POSTED, one, to, 10, "KES") for number, to in enumerate((two, three)))
    await core.post([Set(pair)])
    await core.post(
        [
            Set(
                (
                    Entry(_id("t0"), Kind.POSTED, three, one, 5, "KES"),
                    Entry(_id("t1"), Kind.POSTED, three, one, 10**9, "KES"),
                )
            )
        ]
    )
    await core.stop()
    again = await _started(core_database)
    await again.burn([_id("later")])
    await again.stop()
    result = await asyncio.to_thread(verify, Targets(core_database.reader_url, None, {}))
    assert lines(result) == []
    assert (result.counts["burns"], result.counts["refusals"]) == (1, 2)
    assert result.counts["anchors"] >= 1
