"""ST: how statements are read, and what that costs each posting: the candidates of ADR 12; only when asked for by name.

The same postings (L1's plain work) on a ledger as it is, with each entry pointing to the one before it on both of its
accounts; with the two indexes that one would add instead; and with a table of histories, two rows an entry, filled by
the same statement. Then a page of 50 lines is read of 200 accounts each way, and of the account that has most entries.
"""

import random
import statistics
import time
from typing import Any, LiteralString

import psycopg

from bench.speed.context import Bench, Counted
from bench.speed.figures import Repeat, Row, Target
from bench.speed.l1 import plain, post_all
from bench.speed.ledger import Ledger, books, opened
from hakika.store.core.owners import statement
from hakika.store.lane import BY_KEY

ACCOUNTS = 10_000
BATCHES = 150
PAGE = 50
READERS = 200

INDEXES: tuple[LiteralString, ...] = (
    "CREATE INDEX bench_debit ON entry (debit, id)",
    "CREATE INDEX bench_credit ON entry (credit, id)",
)
BY_INDEX: LiteralString = """
SELECT entry.*, batch.at_ms FROM (
    (SELECT * FROM entry WHERE debit = %(account)s ORDER BY id DESC LIMIT %(limit)s)
    UNION ALL (SELECT * FROM entry WHERE credit = %(account)s ORDER BY id DESC LIMIT %(limit)s)
) AS entry JOIN batch USING (slot, seq) ORDER BY entry.id DESC LIMIT %(limit)s
"""
HISTORY: tuple[LiteralString, ...] = (
    "CREATE TABLE bench_history (account bigint, entry uuid, PRIMARY KEY (account, entry))",
    """
    CREATE FUNCTION bench_remember() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO bench_history
        SELECT debit, id FROM added WHERE refusal IS NULL UNION ALL SELECT credit, id FROM added WHERE refusal IS NULL;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER bench_history AFTER INSERT ON entry REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION bench_remember()
    """,
    "ALTER TABLE entry ENABLE ALWAYS TRIGGER bench_history",
    "GRANT SELECT, INSERT ON bench_history TO hakika_core_app, hakika_core_reader",
)
BY_HISTORY: LiteralString = """
SELECT entry.*, batch.at_ms FROM (
    SELECT entry AS id FROM bench_history WHERE account = %(account)s ORDER BY entry DESC LIMIT %(limit)s
) AS page JOIN entry USING (id) JOIN batch USING (slot, seq) ORDER BY entry.id DESC
"""
CANDIDATES: tuple[tuple[str, str, tuple[LiteralString, ...], LiteralString | None], ...] = (
    ("ST-pointers", "each entry points to the one before", (), None),
    ("ST-indexes", "two indexes on entry", INDEXES, BY_INDEX),
    ("ST-history", "a table of histories", HISTORY, BY_HISTORY),
)


async def measure(bench: Bench) -> list[Row]:
    """One row for each candidate; what reading costs is told beside."""
    return [await _row(bench, *candidate) for candidate in CANDIDATES]


async def _row(
    bench: Bench, id_: str, name: str, changes: tuple[LiteralString, ...], read: LiteralString | None
) -> Row:
    bench.say(f"{id_}: {name} ...")
    ledger = await opened(bench, ACCOUNTS)
    chance = random.Random(1)  # noqa: S311 - repeatable work
    entries = ACCOUNTS
    try:
        async with await psycopg.AsyncConnection.connect(
            bench.server.url(ledger.access.database), autocommit=True
        ) as owner:
            for change in changes:
                await owner.execute(change)

        async def work(number: int) -> Counted:
            nonlocal entries
            counted, _ = await post_all(ledger, plain(ledger, chance, BATCHES if number else BATCHES // 3))
            entries += counted.count
            return counted

        repeats: tuple[Repeat, ...] = await bench.repeated(id_, work)
        usual_ms, hot_ms = await _reading(ledger, chance, read)
        ok, words = await books(ledger.access, entries)
    finally:
        await ledger.close()
        await bench.server.drop(ledger.access)
    bench.say(f"  a page of {PAGE}: {usual_ms:.2f} ms, of the busiest account {hot_ms:.2f} ms; {words}")
    extra: dict[str, float | str] = {"page_ms": usual_ms, "page_hot_ms": hot_ms}
    return Row(id_, f"postings with statements by: {name}", "entries/s", repeats, ok, Target(), extra=extra)


async def _reading(ledger: Ledger, chance: random.Random, read: LiteralString | None) -> tuple[float, float]:
    """Milliseconds for a page of a usual account, and of the one that funded all others (medians)."""
    async with await psycopg.AsyncConnection.connect(ledger.access.app_url, autocommit=True) as reader:
        for setting in BY_KEY:
            await reader.execute(setting)
        usual = [await _page(reader, account, read) for account in chance.sample(list(ledger.accounts), READERS)]
        hot = [await _page(reader, ledger.settlement, read) for _ in range(20)]
    return statistics.median(usual), statistics.median(hot)


async def _page(reader: psycopg.AsyncConnection[Any], account: int, read: LiteralString | None) -> float:
    begun = time.perf_counter()
    if read is None:
        await statement(reader, account, None, PAGE)
    else:
        await (await reader.execute(read, {"account": account, "limit": PAGE})).fetchall()
    return 1000 * (time.perf_counter() - begun)
