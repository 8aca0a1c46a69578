"""The other programs, asked once in a run and kept: the same work done by them, on the same server.

A peer that is not installed is named with the way to get it, and left out; one that breaks is named too, and does not
end the run.
"""

import asyncio
import importlib
from dataclasses import asdict
from typing import Any

from bench.speed.context import Bench
from bench.speed.peer import PeerFailed, PeerFigure, PeerMissing

WARMUP_S = 3.0
SAGAS = {
    "plain SQL, two transactions": "bench.speed.saga_plain:run",
    "DBOS": "bench.speed.saga_dbos:run",
    "Restate": "bench.speed.saga_restate:run",
}
REQUESTS = {
    "a transaction a request": "bench.speed.saga_naive:run",
    "the same, hot account": "bench.speed.saga_naive:run_hot",
}
LEDGERS = {
    "pgledger": "bench.speed.ledger_pgledger:run",
    "TigerBeetle, batches of 1,000": "bench.speed.ledger_tigerbeetle:run",
    "TigerBeetle, batches of 8,189": "bench.speed.ledger_tigerbeetle:run_most",
}
LEDGERS_HOT = {"pgledger, hot account": "bench.speed.ledger_pgledger:run_hot"}


async def measured(bench: Bench, asked: dict[str, str]) -> dict[str, PeerFigure]:
    """The figures of these peers, from this run; those that are missing are left out."""
    for name, where in asked.items():
        if name in bench.peers:
            continue
        module, _, function = where.partition(":")
        run: Any = getattr(importlib.import_module(module), function)
        await bench.server.settle()
        try:
            found = await asyncio.to_thread(run, bench.server.url(), seconds=bench.seconds, warmup_s=WARMUP_S)
        except PeerMissing as missing:
            bench.say(f"  peer {name}: skipped, {missing.why}")
            continue
        except PeerFailed as fault:
            bench.say(f"  peer {name}: failed, {fault}")
            continue
        bench.peers[name] = found
        books = "right" if found.books_ok else "WRONG"
        waits = f"p50 {found.p50_ms:.1f} p99 {found.p99_ms:.1f} ms"
        bench.say(f"  peer {name}: {found.per_s:,.0f}/s, {waits}, books {books}; {found.how}")
    return {name: bench.peers[name] for name in asked if name in bench.peers}


def rates(figures: dict[str, PeerFigure]) -> dict[str, float]:
    """Peer by name: per second."""
    return {name: one.per_s for name, one in figures.items()}


def as_json(figures: dict[str, PeerFigure]) -> dict[str, Any]:
    """Everything that is known of the peers."""
    return {name: asdict(one) for name, one in figures.items()}
