"""Accounts to measure the ledger with, and the recount of its books afterwards.

Wallets are opened in bulk by the database's owner and funded through the ledger itself, so that every limit is in
force and every balance has its entries. The recount is set-based SQL of its own: it uses no row that the ledger
derived except the entries themselves.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

import psycopg

from bench.speed.context import Bench
from hakika import clock
from hakika.domain.ledger import Entry, Kind, Set
from hakika.services.core.commands import Post
from hakika.services.core.posting import Poster
from hakika.store.core import owners
from hakika.store.embedded import RoleAccess
from hakika.store.lane import BY_KEY, Lane

CURRENCY = "KES"
BATCH = 1000
FUNDS_MINOR = 10**9
CEILING_MINOR = 10**15
FIRST_MSISDN = 254_700_000_000

WALLETS: LiteralString = """
WITH number AS (SELECT %(first)s + generate_series(0, %(count)s - 1) AS msisdn),
owner AS (
    INSERT INTO wallet (msisdn, name, opened_ms) SELECT msisdn::text, 'Bench ' || msisdn, %(now_ms)s FROM number
    RETURNING msisdn
), opened AS (
    INSERT INTO account (role, currency, ceiling_minor, opened_ms, debits_must_not_exceed_credits,
        credits_must_not_exceed_debits)
    SELECT 'wallet', %(currency)s, %(ceiling)s, %(now_ms)s, true, false FROM number
    RETURNING id
)
INSERT INTO wallet_account (msisdn, currency, account)
SELECT msisdn, %(currency)s, id
FROM (SELECT msisdn, row_number() OVER (ORDER BY msisdn) AS place FROM owner) AS a
JOIN (SELECT id, row_number() OVER (ORDER BY id) AS place FROM opened) AS b USING (place)
"""
ACCOUNTS: LiteralString = "SELECT account FROM wallet_account ORDER BY msisdn LIMIT %s"
WRONG: LiteralString = """
WITH moved AS (
    SELECT entry.debit, entry.credit, entry.kind, entry.amount_minor AS amount, pending.amount_minor AS released
    FROM entry LEFT JOIN entry AS pending ON pending.id = entry.pending_id
    WHERE entry.refusal IS NULL AND entry.kind <> 'burn'
), part AS (
    SELECT debit AS id, sum(CASE kind WHEN 'pending' THEN amount WHEN 'posted' THEN 0 ELSE -released END) AS dp,
        0 AS cp, sum(CASE WHEN kind IN ('posted', 'post') THEN amount ELSE 0 END) AS d, 0 AS c
    FROM moved GROUP BY debit
    UNION ALL
    SELECT credit, 0, sum(CASE kind WHEN 'pending' THEN amount WHEN 'posted' THEN 0 ELSE -released END), 0,
        sum(CASE WHEN kind IN ('posted', 'post') THEN amount ELSE 0 END)
    FROM moved GROUP BY credit
), counted AS (
    SELECT id, sum(dp) AS dp, sum(cp) AS cp, sum(d) AS d, sum(c) AS c FROM part GROUP BY id
)
SELECT count(*) FROM account LEFT JOIN counted USING (id)
WHERE (debits_pending, credits_pending, debits_posted, credits_posted)
    IS DISTINCT FROM (coalesce(dp, 0), coalesce(cp, 0), coalesce(d, 0), coalesce(c, 0))
"""
TOTALS: LiteralString = """
SELECT (SELECT sum(debits_posted) - sum(credits_posted) + sum(debits_pending) - sum(credits_pending) FROM account),
    (SELECT count(*) FROM entry), (SELECT sum(entries) FROM batch)
"""


@dataclass(frozen=True, slots=True)
class Ledger:
    """A core's database with `accounts`, every one of them funded, and a poster of its own."""

    access: RoleAccess
    lane: Lane
    poster: Poster
    accounts: Sequence[int]
    settlement: int

    async def close(self) -> None:
        """Let go of the connection."""
        await self.lane.close()


async def opened(bench: Bench, count: int, *, funded: int | None = None) -> Ledger:
    """A fresh ledger of `count` wallets, the first `funded` of them (all, unless said) with FUNDS_MINOR each."""
    access = await bench.server.fresh("core")
    async with await psycopg.AsyncConnection.connect(access.owner_url, autocommit=True) as owner:
        now_ms = clock.now_ms()
        values = {"first": FIRST_MSISDN, "count": count, "now_ms": now_ms, "currency": CURRENCY}
        await owner.execute(WALLETS, {**values, "ceiling": CEILING_MINOR})
        rows = await (await owner.execute(ACCOUNTS, (count,))).fetchall()
        house = await owners.open_house(owner, CURRENCY, now_ms)
        await owner.execute("VACUUM (ANALYZE) account, wallet, wallet_account")
    accounts = [int(row[0]) for row in rows]
    lane = Lane(access.app_url, name="bench", setup=BY_KEY)
    ledger = Ledger(access, lane, Poster(lane, {CURRENCY: house["fee"]}), accounts, house["settlement"])
    given = accounts[:funded]
    for start in range(0, len(given), BATCH):
        await ledger.poster.execute(
            [post(ledger.settlement, account, FUNDS_MINOR) for account in given[start : start + BATCH]]
        )
    return ledger


def post(debit: int, credit: int, amount: int, kind: Kind = Kind.POSTED, pending_id: bytes | None = None) -> Post:
    """A command with one entry under a fresh id."""
    return Post(Set((Entry(clock.new_id().bytes, kind, debit, credit, amount, CURRENCY, pending_id),)))


async def books(access: RoleAccess, expected: int | None = None) -> tuple[bool, str]:
    """Whether the books are right: balances are what the entries say, all money sums to zero, nothing is missing.

    `expected` is how many rows the ledger acknowledged; None where the caller counts otherwise. Words say the figures.
    """
    begun_s = time.monotonic()
    async with await psycopg.AsyncConnection.connect(access.reader_url, autocommit=True) as reader:
        wrong = await (await reader.execute(WRONG)).fetchone()
        totals = await (await reader.execute(TOTALS)).fetchone()
    if wrong is None or totals is None:
        return False, "the recount gave no answer"
    money, entries, in_batches = totals
    ok = wrong[0] == 0 and money == 0 and entries == in_batches and expected in (None, entries)
    took_s = time.monotonic() - begun_s
    return ok, f"{entries:,} entries, {wrong[0]} wrong accounts, money sums to {money} ({took_s:.0f} s)"
