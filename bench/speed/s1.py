"""S1: growth. The same work on a ledger that holds 100 times as many entries.

Plain entries between 10,000 wallets, batches of 1,000, at 100,000 entries and again at 10,000,000 (`--full`; 1,000,000
otherwise) in one database: what is compared is the second rate with the first, and nothing is vacuumed or analysed in
between but by the server itself.
"""

import random
import statistics

from bench.speed.context import Bench
from bench.speed.figures import Repeat, Row, Target, quantile
from bench.speed.l1 import plain, post_all
from bench.speed.ledger import BATCH, books, opened

ACCOUNTS = 10_000
SMALL, LARGE, LARGE_FULL, LARGE_QUICK = 100_000, 1_000_000, 10_000_000, 150_000
MEASURED = 60  # batches of one measurement
REPEATS = 3
TARGET = Target(ratio=0.8)


async def measure(bench: Bench) -> list[Row]:
    """One row, whose ratio is not to P but to its own beginning."""
    large = LARGE_FULL if bench.full else LARGE if bench.seconds >= 4 else LARGE_QUICK
    bench.say(f"S1: {SMALL:,} entries, then {large:,} ...")
    ledger = await opened(bench, ACCOUNTS)
    chance = random.Random(1)  # noqa: S311 - repeatable work
    entries = ACCOUNTS

    async def grow(to: int) -> None:
        nonlocal entries
        while entries < to:
            work = plain(ledger, chance, min(100, -(-(to - entries) // BATCH)))
            await post_all(ledger, work)
            entries += len(work) * BATCH

    async def rates() -> list[tuple[float, list[float]]]:
        nonlocal entries
        found = []
        for _ in range(REPEATS):
            await bench.server.settle()
            counted, _ = await post_all(ledger, plain(ledger, chance, MEASURED))
            entries += counted.count
            found.append((counted.count / counted.seconds, sorted(counted.waits_s)))
        return found

    try:
        await grow(SMALL)
        small = statistics.median(rate for rate, _ in await rates())
        await grow(large)
        after = await rates()
        ok, words = await books(ledger.access, entries)
    finally:
        await ledger.close()
        await bench.server.drop(ledger.access)
    bench.say(f"  {small:,.0f}/s at {SMALL:,}; books {'right' if ok else 'WRONG'}: {words}")
    repeats = tuple(
        Repeat(rate, small, 1000 * quantile(waits, 0.5), 1000 * quantile(waits, 0.99), 1000 * waits[-1])
        for rate, waits in after
    )
    name = f"ledger at {large:,} entries against {SMALL:,}"
    return [Row("S1", name, "entries/s", repeats, ok, TARGET, extra={"small_per_s": small})]
