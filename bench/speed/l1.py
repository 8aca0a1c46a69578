"""L1: the ledger in process, batches of 1,000 with every rule on; one batch after the other on one connection.

Four kinds of work: plain entries between 10,000 wallets; the same with every entry crediting one account (a merchant
on pay-day); mixed work (30 % two-phase, 10 % refused, 5 % sent twice); and plain entries between 1,000,000 wallets,
where each touches two pages that nothing else has just touched. Commands are made before the clock starts; what is
measured is everything from commands to answers after the commit.
"""

import gc
import os
import random
import time
from collections.abc import Callable

from bench.speed.context import Bench, Counted
from bench.speed.cpu import Meter, mean, told
from bench.speed.figures import Row, Target
from bench.speed.ledger import BATCH, Ledger, books, opened, post
from bench.speed.peers import LEDGERS, LEDGERS_HOT, measured, rates
from hakika import clock
from hakika.app import settle_memory
from hakika.domain.ledger import Kind
from hakika.services.core.commands import Command, Post
from hakika.services.core.posting import Reply

ACCOUNTS = 10_000
MANY = 1_000_000
SEED = 20_230_727
BATCHES = 300
AMOUNT_MAX = 10_000
MIXED_PENDING, MIXED_REFUSED, MIXED_REPLAYS = 0.15, 0.10, 0.05

Maker = Callable[[Ledger, random.Random, int], list[list[Post]]]


async def measure(bench: Bench) -> list[Row]:
    """All four rows."""
    many = 100_000 if bench.seconds < 5 else MANY
    return [
        await _row(bench, "L1", "plain", ACCOUNTS, plain, Target(ratio=10.0), LEDGERS),
        await _row(bench, "L1-mixed", "two-phase, refused, repeated", ACCOUNTS, _mixed, Target(ratio=9.0)),
        await _row(bench, "L1-hot", "one account in every entry", ACCOUNTS, _hot, Target(), LEDGERS_HOT),
        await _row(bench, "L1-1M", f"{many:,} accounts", many, plain, Target(ratio=4.5)),
    ]


async def _row(
    bench: Bench, id_: str, name: str, accounts: int, make: Maker, target: Target, asked: dict[str, str] | None = None
) -> Row:
    bench.say(f"{id_}: {name}; opening {accounts:,} accounts ...")
    begun_s = time.monotonic()
    ledger = await opened(bench, accounts, funded=accounts * 99 // 100)
    bench.say(f"  open and funded in {time.monotonic() - begun_s:.0f} s")
    chance = random.Random(SEED)  # noqa: S311 - repeatable work
    count = max(10, int(BATCHES * bench.seconds / 8))
    seen: list[int] = []
    costs: list[dict[str, float]] = []

    async def work(number: int) -> Counted:
        work_batches = make(ledger, chance, count if number else max(5, count // 5))
        meter = Meter({"ledger": [os.getpid()]}, bench.server.postgres.pid)
        counted, new = await post_all(ledger, work_batches)
        costs.append(meter.per_unit_ms(counted.count))
        seen.append(new)
        return counted

    try:
        repeats = await bench.repeated(id_, work)
        stored = sum(seen) + accounts * 99 // 100
        ok, words = await books(ledger.access, stored)
    finally:
        await ledger.close()
        await bench.server.drop(ledger.access)
    bench.say(f"  books {'right' if ok else 'WRONG'}: {words}")
    bench.say(f"  processor time for one, ms: {told(mean(costs[1:]))}")
    extra: dict[str, float | str] = {f"cpu_ms_{part}": ms for part, ms in mean(costs[1:]).items()}
    peers = rates(await measured(bench, asked or {}))
    return Row(id_, f"ledger in process, {name}", "entries/s", repeats, ok, target, peers, extra)


async def post_all(ledger: Ledger, work: list[list[Post]]) -> tuple[Counted, int]:
    """Post batch by batch; what was done, and how many new rows the answers promise.

    The clock runs from each batch's commands to its answers, not while the answers are counted.
    """
    waits: list[float] = []
    new = 0
    settle_memory()
    for batch in work:
        asked: list[Command] = list(batch)
        start_s = time.perf_counter()
        replies = await ledger.poster.execute(asked)
        waits.append(time.perf_counter() - start_s)
        new += _new_rows(replies)
    gc.unfreeze()
    return Counted(sum(map(len, work)), sum(waits), waits), new


def _new_rows(replies: list[Reply]) -> int:
    """Rows that were not there before: all answers but those of entries that exist already."""
    answers = [one for reply in replies if isinstance(reply, list) for one in reply]
    return sum(1 for one in answers if one.code != "exists" and one.result != "malformed")


def plain(ledger: Ledger, chance: random.Random, count: int) -> list[list[Post]]:
    funded = ledger.accounts[: len(ledger.accounts) * 99 // 100]
    return [[_pair(funded, chance) for _ in range(BATCH)] for _ in range(count)]


def _hot(ledger: Ledger, chance: random.Random, count: int) -> list[list[Post]]:
    merchant, *others = ledger.accounts[: len(ledger.accounts) * 99 // 100]
    return [
        [post(chance.choice(others), merchant, chance.randint(1, AMOUNT_MAX)) for _ in range(BATCH)]
        for _ in range(count)
    ]


def _mixed(ledger: Ledger, chance: random.Random, count: int) -> list[list[Post]]:
    """Each batch reserves, resolves what the batch before reserved, is refused for empty wallets, and repeats some."""
    funded, empty = _split(ledger)
    made: list[list[Post]] = []
    reserved: list[Post] = []
    moved: list[Post] = []
    for _ in range(count):
        batch: list[Post] = [_resolution(one, chance) for one in reserved]
        reserved = []
        for _ in range(int(BATCH * MIXED_PENDING)):
            debit, credit = chance.sample(funded, 2)
            reserved.append(post(debit, credit, chance.randint(1, AMOUNT_MAX), Kind.PENDING))
        batch += reserved
        batch += [
            post(chance.choice(empty), chance.choice(funded), chance.randint(1, AMOUNT_MAX))
            for _ in range(int(BATCH * MIXED_REFUSED))
        ]
        if made:
            batch += chance.sample(moved, int(BATCH * MIXED_REPLAYS))
        moved = [_pair(funded, chance) for _ in range(BATCH - len(batch))]
        batch += moved
        chance.shuffle(batch)
        made.append(batch)
    return made


def _split(ledger: Ledger) -> tuple[list[int], list[int]]:
    """Wallets with money, and wallets that never get any: nothing credits them."""
    edge = len(ledger.accounts) * 99 // 100
    return list(ledger.accounts[:edge]), list(ledger.accounts[edge:])


def _pair(accounts: list[int] | tuple[int, ...] | object, chance: random.Random) -> Post:
    assert isinstance(accounts, list)
    debit, credit = chance.sample(accounts, 2)
    return post(debit, credit, chance.randint(1, AMOUNT_MAX))


def _resolution(pending: Post, chance: random.Random) -> Post:
    """Three of four are posted, whole; the others are released."""
    (entry,) = pending.set.entries
    kind = Kind.POST if chance.random() < 0.75 else Kind.VOID
    changed = entry._replace(id=clock.new_id().bytes, kind=kind, pending_id=entry.id)
    return Post(pending.set._replace(entries=(changed,)))
