"""L2: the ledger over HTTP, one entry a request, each answered after the commit that holds it.

The core runs as a process of its own, as `hakika serve core` starts it; the load comes from another. 256 connections,
64, and 256 whose entries all credit one account. The wait of a request runs from its first byte sent to the last byte
of its answer.
"""

from collections.abc import Awaitable, Callable

from bench.speed.context import Bench, Counted
from bench.speed.cpu import Meter, mean
from bench.speed.cpu import told as in_words
from bench.speed.figures import Row, Target
from bench.speed.ledger import Ledger, books, opened
from bench.speed.loader import Loader
from bench.speed.peers import REQUESTS, measured, rates
from bench.speed.roles import Roles

ACCOUNTS = 10_000
PER_S_MAX = 40_000  # requests made before the clock starts: more than any machine of this size has answered
WORK = (
    ("L2-256", 256, False, Target(ratio=3.5, p99_ms=20.0)),
    ("L2-64", 64, False, Target(ratio=2.2, p99_ms=7.0)),
    ("L2-hot", 256, True, Target()),
)


async def measure(bench: Bench) -> list[Row]:
    """All three rows, on one core."""
    bench.say(f"L2: opening {ACCOUNTS:,} accounts and starting the core ...")
    peers = rates(await measured(bench, REQUESTS))
    ledger = await opened(bench, ACCOUNTS)
    await ledger.close()  # the core takes its writer slot
    roles = Roles(bench.folder / "l2")
    rows: list[Row] = []
    acknowledged = ACCOUNTS
    try:
        roles.take_ports("core")
        await roles.start_core(ledger.access)
        for id_, connections, hot, target in WORK:
            told: list[dict[str, float]] = []
            costs: list[dict[str, float]] = []
            repeats = await bench.repeated(id_, _worker(bench, roles, ledger, connections, hot, told, costs))
            acknowledged += int(sum(one["answered"] for one in told))
            ok, words = await books(ledger.access, acknowledged)
            bench.say(f"  books {'right' if ok else 'WRONG'}: {words}")
            share = max(one["cpu_share"] for one in told)
            cost = mean(costs[1:])
            bench.say(f"  processor time for one, ms: {in_words(cost)}")
            name = f"ledger over HTTP, {'one account in every entry' if hot else f'{connections} connections'}"
            extra: dict[str, float | str] = {"load_generator_cores": share}
            extra |= {f"cpu_ms_{part}": ms for part, ms in cost.items()}
            rows.append(Row(id_, name, "entries/s", repeats, ok, target, peers, extra))
    finally:
        await roles.stop()
        await bench.server.drop(ledger.access)
    return rows


def _worker(
    bench: Bench,
    roles: Roles,
    ledger: Ledger,
    connections: int,
    hot: bool,
    told: list[dict[str, float]],
    costs: list[dict[str, float]],
) -> Callable[[int], Awaitable[Counted]]:
    async def work(number: int) -> Counted:
        seconds = bench.seconds if number else min(3.0, bench.seconds)
        settings = {
            "host": "127.0.0.1",
            "port": roles.ports["core"],
            "token": roles.token("operator"),
            "accounts": list(ledger.accounts),
            "hot": hot,
            "connections": connections,
            "seconds": seconds,
            "requests": int(PER_S_MAX * seconds),
            "seed": 1000 * connections + number,
        }
        async with Loader("entries", settings, bench.folder) as loader:
            meter = Meter({"core": [roles.children["core"].pid]}, bench.server.postgres.pid)
            outcome, waits = await loader.go()
        costs.append({**meter.per_unit_ms(outcome["answered"]), "load": loader.cost_ms(outcome)})
        told.append(outcome)
        return Counted(int(outcome["count"]), outcome["seconds"], waits)

    return work
