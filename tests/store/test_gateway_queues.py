"""What the workers are given: earliest deadline first, every bank and live traffic in turn, leases that change hands.

Rows are written by plain SQL with deadlines of our choosing; the queries are those of `store/gateway/queues.py`.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from gateway_kit import ADD_TRANSFER, FIRST, SECOND, SET_STATUS, Sql

from hakika.domain.transfer import FOR_PEOPLE_MS
from hakika.store.embedded import RoleAccess
from hakika.store.gateway import queues
from hakika.store.gateway.queues import LIVE_MS, Claimable, Held
from hakika.store.lane import BY_KEY, Lanes

BANKS = [f"bank-{letter}" for letter in "abcdefg"]
NOW_MS = 100_000
ANSWER_S = 10.0


class Queues:
    """The queries on one lane, and rows to ask about."""

    def __init__(self, sql: Sql, lanes: Lanes) -> None:
        self.sql = sql
        self.oldest_ms: int | None = None  # as the last look saw it
        self._lanes = lanes

    async def ask(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """One query."""
        return await self._lanes.run(work, deadline_s=ANSWER_S)

    async def doubts(self, *but: UUID, before_ms: int | None = None, holder: UUID | None = None) -> Any:
        """How many attempts are open, and since when, some left out."""
        return await self.ask(lambda conn: queues.in_doubt(conn, list(but), before_ms=before_ms, holder=holder))

    def held(self, bank: str, deadline_ms: int, **other: Any) -> UUID:
        """A transfer in custody for long, valid until 2 s and returned 1 s before its deadline."""
        values = self.sql.transfer_values(
            bank=bank, received=1, valid=deadline_ms - 2_000, return_at=deadline_ms - 1_000, deadline=deadline_ms
        )
        self.sql.app.execute(ADD_TRANSFER, {**values, **other})
        found: UUID = values["id"]
        return found

    def held_since_a_restore(self, bank: str, deadline_ms: int) -> UUID:
        """The same, marked as the owner marks it after a restore."""
        found = self.held(bank, deadline_ms)
        self.sql.owner.execute("UPDATE transfer SET burn_first = true WHERE id = %s", (found,))
        return found

    async def claimable(self, limit: int, *, turn: int = 0, short: tuple[str, ...] = ()) -> list[Held]:
        """What a delivery round is offered."""
        found: Claimable = await self.ask(
            lambda conn: queues.claimable(conn, now_ms=NOW_MS, limit=limit, short=list(short), turn=turn)
        )
        self.oldest_ms = found.oldest_ms
        return found.chosen

    def flying(self, held: Held) -> None:
        """Claimed: no longer offered."""
        self.sql.app.execute(SET_STATUS, ("IN_FLIGHT", held.id))


@pytest.fixture
async def asked(gateway_database: RoleAccess) -> AsyncIterator[Queues]:
    sql, lanes = Sql.open(gateway_database), Lanes(gateway_database.app_url, size=2, name="test")
    for bank in BANKS[2:]:
        sql.app.execute("INSERT INTO bank VALUES (%s, %s, 'http://x', 'house-4h')", (bank, bank))
    yield Queues(sql, lanes)
    await lanes.close()
    sql.close()


async def test_earliest_deadline_first(asked: Queues) -> None:
    """Whoever came last: while nothing waits from before, and in a backlog beside which nothing comes."""
    for received_ms in (NOW_MS - 1, 1):
        keys = [asked.held("bank-a", NOW_MS + 10_000 * n, received=received_ms + n) for n in (5, 2, 9, 3, 7)]
        found = await asked.claimable(4)
        assert [held.id for held in found] == [keys[1], keys[3], keys[0], keys[4]]
        assert asked.oldest_ms == received_ms + 2
        for held in await asked.claimable(9):
            asked.flying(held)


async def test_of_two_the_one_that_would_be_returned_first_is_sent_first(asked: Queues) -> None:
    """A bank with another rule pack than yesterday: the deadline is later, and the return is earlier."""
    later = asked.held("bank-a", NOW_MS + 20_000, return_at=NOW_MS + 19_000)
    sooner = asked.held("bank-a", NOW_MS + 30_000, return_at=NOW_MS + 12_000, valid=NOW_MS + 11_000)
    assert [held.id for held in await asked.claimable(2)] == [sooner, later]


async def test_beside_a_backlog_three_of_four_are_live(asked: Queues) -> None:
    backlog = [asked.held("bank-a", NOW_MS + 10_000 + number) for number in range(20)]
    live = [asked.held("bank-a", NOW_MS + 50_000 + n, received=NOW_MS - LIVE_MS + n) for n in range(20)]
    for turn in range(8):
        chosen = [held.id for held in await asked.claimable(12, turn=turn)]
        assert len(set(chosen) & set(live)) == 9
        assert [one for one in chosen if one in backlog] == backlog[:3]
        assert [one for one in chosen if one in live] == live[:-10:-1]
    assert asked.oldest_ms == 1


async def test_only_what_may_be_sent_now(asked: Queues) -> None:
    good = asked.held("bank-a", NOW_MS + 10_000)
    asked.held("bank-a", NOW_MS + 2_000)  # its validity ends now
    asked.held_since_a_restore("bank-a", NOW_MS + 9_000)
    for column, value in (("next_attempt_ms", NOW_MS + 1), ("recalled_reason", "recalled_by_bank")):
        other = asked.held("bank-a", NOW_MS + 9_000)
        statement = {"next_attempt_ms": "UPDATE transfer SET next_attempt_ms = %s WHERE id = %s"}.get(
            column, "UPDATE transfer SET recalled_reason = %s WHERE id = %s"
        )
        asked.sql.app.execute(statement.encode(), (value, other))
    for status in ("IN_FLIGHT", "COMPLETED", "RETURNED"):
        asked.sql.move(asked.held("bank-a", NOW_MS + 8_000), status)
    asked.held("bank-b", NOW_MS + 10_000)
    found = await asked.claimable(50, short=("bank-b",))
    assert [held.id for held in found] == [good]


async def test_each_once_and_never_more_than_asked(asked: Queues) -> None:
    for bank in BANKS[:3]:
        for number in range(10):
            asked.held(bank, NOW_MS + 10_000 + number)
    for limit in (1, 2, 3, 7, 29, 30, 64):
        found = await asked.claimable(limit)
        assert len(found) == len({held.id for held in found}) == min(limit, 30)


@pytest.mark.parametrize("limit", [2, 3, 8])
async def test_every_bank_is_served_however_small_the_window(asked: Queues, limit: int) -> None:
    """Fair per institution: also while the window is smaller than the number of banks that wait."""
    for bank in BANKS:
        for number in range(40):
            asked.held(bank, NOW_MS + 10_000 + number)
    served: Counter[str] = Counter()
    for turn in range(len(BANKS)):
        for held in await asked.claimable(limit, turn=turn):
            asked.flying(held)
            served[held.bank] += 1
    assert set(served) == set(BANKS)
    assert max(served.values()) - min(served.values()) <= limit


async def test_one_banks_backlog_does_not_keep_another_waiting(asked: Queues) -> None:
    """Earlier deadlines of a bank with a rule of its own do not push the other bank's back."""
    for number in range(60):
        asked.held("bank-a", NOW_MS + 5_000 + number)
    later = asked.held("bank-b", NOW_MS + 10**7)
    assert later in [held.id for held in await asked.claimable(2)]


@pytest.mark.parametrize("limit", [1, 2, 8, 32])
async def test_live_traffic_is_not_starved(asked: Queues, limit: int) -> None:
    """A transfer that has just come is sent within a few rounds, however long its bank's backlog is."""
    for number in range(150):
        asked.held("bank-a", NOW_MS + 5_000 + number)
    newest = asked.held("bank-a", NOW_MS + 10**6, received=NOW_MS)
    for turn in range(4):
        found = await asked.claimable(limit, turn=turn)
        for held in found:
            asked.flying(held)
        if newest in [held.id for held in found]:
            return
    raise AssertionError("the newest was not offered in four rounds")


async def test_a_small_window_drains_everything(asked: Queues) -> None:
    """No transfer is forgotten: rounds of two until nothing is left."""
    for number in range(30):
        asked.held(BANKS[number % 3], NOW_MS + 5_000 + number)
    taken = set()
    for turn in range(40):
        for held in await asked.claimable(2, turn=turn):
            asked.flying(held)
            taken.add(held.id)
    assert len(taken) == 30


# --- leases -----------------------------------------------------------------------------------------------


async def test_takeover_raises_the_token(asked: Queues) -> None:
    """Only leases that have ended, the oldest first; the taker gets all that the instruction is made of."""
    attempts = [asked.sql.attempt(asked.held("bank-a", NOW_MS + 9_000)) for _ in range(3)]
    for attempt, until_ms in zip(attempts, (NOW_MS - 1, NOW_MS, NOW_MS + 1), strict=True):
        asked.sql.app.execute("UPDATE attempt SET lease_until_ms = %s WHERE id = %s", (until_ms, attempt))

    async def take(holder: UUID, now_ms: int, limit: int) -> list[Any]:
        found: list[Any] = await asked.ask(
            lambda conn: queues.take_over(conn, holder=holder, now_ms=now_ms, until_ms=now_ms + 6_000, limit=limit)
        )
        return found

    (first,) = await take(SECOND, NOW_MS, 1)
    assert (first.id, first.lease_token, first.amount_minor, first.burn_only) == (attempts[0], 2, 500, False)
    assert [one.id for one in await take(SECOND, NOW_MS, 9)] == [attempts[1]]
    assert await take(FIRST, NOW_MS, 9) == []
    assert {one.lease_token for one in await take(FIRST, NOW_MS + 6_000, 9)} == {3, 2}


async def test_what_may_be_sent_again_is_said_at_the_takeover(asked: Queues) -> None:
    """I-GW-10: of a recalled transfer, and of one older than a restore, the id is burnt, never instructed again."""
    held = [asked.held("bank-a", NOW_MS + 9_000), asked.held_since_a_restore("bank-a", NOW_MS + 9_000)]
    held.append(asked.held("bank-a", NOW_MS + 9_000))
    asked.sql.app.execute("UPDATE transfer SET recalled_reason = 'x' WHERE id = %s", (held[2],))
    for transfer in held:
        asked.sql.attempt(transfer)
    taken = await asked.ask(
        lambda conn: queues.take_over(conn, holder=SECOND, now_ms=NOW_MS, until_ms=NOW_MS + 1, limit=9)
    )
    assert {one.transfer: one.burn_only for one in taken} == dict(zip(held, (False, True, True), strict=True))


async def test_two_takers_share_and_never_overlap(asked: Queues) -> None:
    attempts = {asked.sql.attempt(asked.held("bank-a", NOW_MS + 9_000)) for _ in range(20)}

    def take(holder: UUID) -> Awaitable[Any]:
        return asked.ask(
            lambda conn: queues.take_over(conn, holder=holder, now_ms=NOW_MS, until_ms=NOW_MS + 6_000, limit=4)
        )

    taken: list[UUID] = []
    for _ in range(12):
        for found in await asyncio.gather(take(FIRST), take(SECOND)):
            taken += [one.id for one in found]
    assert sorted(taken) == sorted(attempts)


async def test_release_gives_up_only_ones_own(asked: Queues) -> None:
    mine, closed = (
        asked.sql.attempt(asked.held("bank-a", NOW_MS + 9_000)),
        asked.sql.closed(asked.held("bank-a", NOW_MS + 9_000), "burnt"),
    )
    asked.sql.app.execute("UPDATE attempt SET lease_until_ms = 10 ^ 9 WHERE id = %s", (mine,))
    for holder, token, until_ms in (
        *((SECOND, 1, 10**9), (FIRST, 2, 10**9)),
        *((FIRST, 1, NOW_MS), (FIRST, 1, NOW_MS)),
    ):
        leases = [(mine, token), (closed, token)]
        await asked.ask(partial(queues.release, leases=leases, holder=holder, now_ms=NOW_MS))
        (row,) = asked.sql.reader.execute("SELECT lease_until_ms FROM attempt WHERE id = %s", (mine,)).fetchall()
        assert row == (until_ms,)


# --- returns and burns --------------------------------------------------------------------------------------


async def test_returns_are_due_by_their_instant_alone(asked: Queues) -> None:
    due = [asked.held(bank, NOW_MS + 1_000 - number) for number, bank in enumerate(BANKS)]
    asked.held("bank-a", NOW_MS + 1_001)
    for status in ("IN_FLIGHT", "COMPLETED", "RETURNED"):
        asked.sql.move(asked.held("bank-a", NOW_MS - 1), status)
    contradicted = "UPDATE transfer SET next_attempt_ms = %s WHERE id = %s"
    asked.sql.app.execute(contradicted, (FOR_PEOPLE_MS, asked.held("bank-a", NOW_MS - 9_000)))
    asked.held_since_a_restore("bank-a", NOW_MS - 8_000)
    waits = asked.held("bank-b", NOW_MS - 5_000)
    wait = "UPDATE transfer SET next_attempt_ms = 10 ^ 12, recalled_reason = 'x' WHERE id = %s"
    asked.sql.app.execute(wait, (waits,))
    found = await asked.ask(lambda conn: queues.returns_due(conn, now_ms=NOW_MS, limit=50))
    assert sorted(found) == sorted([*due, waits])
    first = await asked.ask(lambda conn: queues.returns_due(conn, now_ms=NOW_MS, limit=1))
    assert waits in first and len(first) == len(BANKS)


async def test_burns_are_due_for_what_was_never_sent(asked: Queues) -> None:
    unsent, tried, done = (asked.held("bank-a", NOW_MS) for _ in range(3))
    for number in (1, 2):
        attempt = asked.sql.attempt(tried, number)
        close = "UPDATE attempt SET outcome = 'not_sent', closed_ms = 1, closed_by = %s, closed_token = 1 WHERE id = %s"
        asked.sql.app.execute(close, (FIRST, attempt))
    for transfer, burn_due in ((unsent, True), (tried, True), (done, False)):
        asked.sql.returned(transfer, burn_due=burn_due)
    found = await asked.ask(lambda conn: queues.burns_due(conn, 10))
    assert {(item.transfer, item.last) for item in found} == {(unsent, 1), (tried, 2)}


async def test_doubts_and_backlog_are_counted(asked: Queues) -> None:
    assert await asked.doubts() == (0, None)
    assert await asked.ask(lambda conn: queues.oldest_held(conn, "bank-a")) is None
    first = asked.held("bank-a", NOW_MS, received=77)
    asked.held("bank-a", NOW_MS + 1)
    assert await asked.ask(lambda conn: queues.oldest_held(conn, "bank-a")) == 77
    attempt = asked.sql.attempt(first)
    assert await asked.doubts() == (1, 1_000)
    assert await asked.doubts(attempt) == (0, None)
    assert await asked.doubts(before_ms=1_000) == (1, 1_000)
    assert await asked.doubts(before_ms=999) == (0, None)
    assert await asked.doubts(before_ms=999, holder=SECOND) == (0, None)
    assert await asked.doubts(before_ms=999, holder=FIRST) == (1, 1_000)


@pytest.mark.parametrize("query", [queues._OLDEST, queues._NEWEST, queues._RETURNS_DUE], ids=["old", "new", "returns"])
async def test_a_look_reads_no_more_than_it_takes(gateway_database: RoleAccess, query: str) -> None:
    """The planner, whose statistics are of an empty table, walks along the index and sorts nothing."""
    lanes = Lanes(gateway_database.app_url, size=1, name="test", setup=BY_KEY)
    sql = Sql.open(gateway_database)
    for number in range(50):
        values = sql.transfer_values(received=1, valid=NOW_MS + 1, return_at=NOW_MS + 2, deadline=NOW_MS + 10 + number)
        sql.app.execute(ADD_TRANSFER, values)
    values = {"now": NOW_MS, "share": 3, "limit": 3, "short": [], "for_people": FOR_PEOPLE_MS}
    plan = await lanes.run(lambda conn: _explained(conn, query, values), deadline_s=ANSWER_S)
    assert "Index Scan" in plan and "transfer_waiting" in plan, plan
    assert not [word for word in ("Bitmap", "Seq Scan", "Sort") if word in plan], plan
    by_instant = [line for line in plan.splitlines() if "Index Cond" in line and "return_at_ms <=" in line]
    assert bool(by_instant) == (query is queues._RETURNS_DUE), "what is not due yet is not read"
    sql.close()
    await lanes.close()


async def _explained(conn: Any, query: str, values: dict[str, Any]) -> str:
    return "\n".join(row[0] for row in await (await conn.execute("EXPLAIN " + query, values)).fetchall())


async def test_a_backlog_may_be_young(asked: Queues) -> None:
    """It came while nothing could be sent: the latest goes first, three of four, and the oldest beside it."""
    keys = [asked.held("bank-a", NOW_MS + 10_000 + n, received=NOW_MS - 2_000 + n) for n in range(40)]
    found: Claimable = await asked.ask(
        lambda conn: queues.claimable(conn, now_ms=NOW_MS, limit=8, short=[], live_ms=LIVE_MS, backlog_ms=500)
    )
    chosen = [held.id for held in found.chosen]
    assert [one for one in chosen if one in keys[:20]] == keys[:2]
    assert [one for one in chosen if one in keys[20:]] == keys[:-7:-1]
