"""Statements from health's real database to a demo bank over real sockets: at once, again, never backwards."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from hakika import clock
from hakika.counterparties.door import Door, Listening, Request, Response, Route, listen
from hakika.counterparties.statements import Statements
from hakika.health import announcer
from hakika.health.announcer import Announcer
from hakika.health.statements import Condition, CorridorFacts
from hakika.store.embedded import RoleAccess
from hakika.store.health import statements as rows
from hakika.store.lane import Lanes
from hakika.store.ports import HeldPorts
from hakika.wire import jws

KEY, PUBLIC = jws.new_key_pair()


@dataclass
class Bank:
    """A demo bank's route for statements, which can be told to answer nothing of use."""

    statements: Statements
    listening: Listening
    port: int
    broken: bool = False
    seen: list[int] = field(default_factory=list)


@dataclass
class Health:
    """An announcer over one corridor's facts."""

    database: RoleAccess
    bank: Bank
    folder: Path
    facts: CorridorFacts

    async def rows(self, statement: str) -> list[Any]:
        """As a plain query sees them."""
        connection = await psycopg.AsyncConnection.connect(self.database.owner_url, autocommit=True)
        async with connection:
            return await (await connection.execute(statement.encode())).fetchall()

    async def until(self, decision: str, *, within_s: float = 8.0) -> None:
        """The bank holds this decision."""
        ends_s = clock.monotonic_s() + within_s
        while clock.monotonic_s() < ends_s:
            last = self.bank.statements.last
            if last is not None and last.decision == decision:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{self.bank.statements.last}, {self.bank.statements.refused}")


@pytest.fixture
async def bank() -> AsyncIterator[Bank]:
    statements = Statements("bank-a", [PUBLIC])

    async def receive(request: Request) -> Response:
        if found.broken:
            return Response(503, b"later")
        answer = await statements.receive(request)
        if statements.last is not None:
            found.seen.append(statements.last.seq)
        return answer

    held = HeldPorts()
    port = held.take()
    listening = await listen(Door([Route("POST", "/statements", receive)]), "127.0.0.1", port)
    found = Bank(statements, listening, port)
    yield found
    await listening.stop()
    held.release()


@pytest.fixture
async def health(
    health_database: RoleAccess, bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Health]:
    monkeypatch.setattr(announcer, "LOOK_S", 0.05)
    monkeypatch.setattr(announcer, "RETRY_S", (0.0, 0.2, 0.3))
    monkeypatch.setattr(announcer, "HEARTBEAT_MS", 1_000)
    found = Health(health_database, bank, tmp_path, CorridorFacts("bank-a", Condition.WELL, clock.now_ms()))
    lanes = Lanes(health_database.app_url, size=2, name="test")
    urls = {"bank-a": f"http://127.0.0.1:{bank.port}/statements"}
    works = Announcer(lanes, lambda: [found.facts], operator="demo", key=KEY, urls=urls, folder=tmp_path, scale=1.0)
    tasks = [asyncio.create_task(loop) for loop in works.workers()]
    yield found
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await works.close()
    await lanes.close()


def turned(health: Health, condition: Condition) -> None:
    """The judge holds something else from now on."""
    health.facts = CorridorFacts("bank-a", condition, clock.now_ms(), reasons=("timeout",))


async def test_a_hold_reaches_the_bank_and_is_kept(health: Health) -> None:
    await health.until("OPEN")
    began_s = clock.monotonic_s()
    turned(health, Condition.BROKEN)
    await health.until("HOLD")
    assert clock.monotonic_s() - began_s < 3.0
    assert health.bank.statements.may_debit(7) is False
    await asyncio.sleep(0.3)
    kept = await health.rows("SELECT decision, acknowledged_ms IS NOT NULL FROM statement ORDER BY seq")
    assert kept == [("OPEN", True), ("HOLD", True)]
    document = msgspec.json.decode((health.folder / "bank-a.json").read_bytes())
    assert msgspec.json.decode(document["body"])["decision"] == "HOLD"


async def test_heartbeats_rise_and_are_not_kept(health: Health) -> None:
    await asyncio.sleep(3.5)
    seen = health.bank.seen
    assert len(seen) >= 3 and seen == sorted(set(seen))
    assert len(await health.rows("SELECT 1 FROM statement")) == 1
    assert await health.rows("SELECT seq >= 3 FROM statement_number") == [(True,)]


async def test_a_bank_that_does_not_answer_is_tried_again_and_shown_as_not_warned(health: Health) -> None:
    await health.until("OPEN")
    health.bank.broken = True
    turned(health, Condition.BROKEN)
    await asyncio.sleep(1.0)
    lanes = Lanes(health.database.app_url, size=1, name="reader")
    (last,) = await lanes.run(rows.last_changes, deadline_s=3)
    assert (last.decision, last.acknowledged_ms) == ("HOLD", None)
    health.bank.broken = False
    await health.until("HOLD")
    await asyncio.sleep(0.3)
    (last,) = await lanes.run(rows.last_changes, deadline_s=3)
    assert last.acknowledged_ms is not None
    await lanes.close()


async def test_a_restart_never_uses_a_number_again(health: Health) -> None:
    await health.until("OPEN")
    before = max(health.bank.seen)
    lanes = Lanes(health.database.app_url, size=1, name="second process")
    urls = {"bank-a": f"http://127.0.0.1:{health.bank.port}/statements"}
    second = Announcer(
        lanes, lambda: [health.facts], operator="demo", key=KEY, urls=urls, folder=health.folder, scale=1.0
    )
    tasks = [asyncio.create_task(loop) for loop in second.workers()]
    await asyncio.sleep(1.5)
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert max(health.bank.seen) > before
    assert len(health.bank.seen) == len(set(health.bank.seen))
    await second.close()
    await lanes.close()


async def test_numbers_only_rise_whoever_writes(health_database: RoleAccess) -> None:
    """PostgreSQL refuses a number that falls, and a statement that is changed or taken back."""
    async with await psycopg.AsyncConnection.connect(health_database.owner_url, autocommit=True) as owner:
        await owner.execute("INSERT INTO statement_number VALUES ('b', 5)")
        await owner.execute("INSERT INTO statement VALUES ('b', 5, 1, 'HOLD', 'x', 3)")
        for statement in (
            b"UPDATE statement_number SET seq = 5",
            b"UPDATE statement SET decision = 'OPEN'",
            b"UPDATE statement SET acknowledged_ms = NULL",
            b"DELETE FROM statement",
        ):
            with pytest.raises(psycopg.Error) as error:
                await owner.execute(statement)
            assert (error.value.sqlstate or "").startswith("HK0")
