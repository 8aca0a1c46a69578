"""`make bench`: measure the kinds of work that are asked for, show a table, keep the rows.

Without names it measures everything that fits into 40 minutes. A short run (`--quick`) says so in its table: it is
there to see that a benchmark works, not to quote.
"""

import argparse
import asyncio
import importlib
import sys
from pathlib import Path

from rich.console import Console

from bench.speed.context import Bench
from bench.speed.figures import Row, keep
from bench.speed.page import write_page
from bench.speed.peer_pgbench import DATABASE, Pgbench
from bench.speed.probe import machine
from bench.speed.server import running
from bench.speed.table import table

WORK = {
    "L1": "bench.speed.l1",
    "L2": "bench.speed.l2",
    "G1": "bench.speed.g1",
    "G2": "bench.speed.g2",
    "D1": "bench.speed.d1",
    "S1": "bench.speed.s1",
    "M1": "bench.speed.m1",
    "OVER": "bench.speed.over",
    "ST": "bench.speed.st",
    "H1": "bench.speed.h1",
    "KILL": "bench.speed.kill",
}
BY_NAME_ONLY = frozenset({"ST", "H1", "KILL"})
GATEWAYS = 2  # a process of the gateway is busy with one core at most
FOLDER = Path("var/bench")
LATEST = "latest.json"


def main(arguments: list[str]) -> int:
    """Measure; 0 when every row's books are right, 1 when any is not, 2 for a name that does not exist."""
    asked = _parser().parse_args(arguments)
    console = Console()
    if asked.page:
        write_page(FOLDER / LATEST, Path())
        return 0
    names = [name.upper() for name in asked.names] or [name for name in WORK if name not in BY_NAME_ONLY]
    unknown = [name for name in names if name not in WORK]
    if unknown:
        print(f"There is no benchmark {', '.join(unknown)}. There are: DET, {', '.join(WORK)}", file=sys.stderr)
        return 2
    rows = asyncio.run(_measure(names, asked, console))
    return 0 if all(row.books_ok for row in rows) else 1


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="make bench", description="Measure how fast, beside other programs.")
    made.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(WORK)}")
    made.add_argument("--repeats", type=int, default=3)
    made.add_argument("--seconds", type=float, default=8.0, help="how long one repeat is, about")
    made.add_argument("--quick", action="store_true", help="one short repeat: to see that it works")
    made.add_argument("--full", action="store_true", help="full size where a benchmark has a smaller one by default")
    made.add_argument("--gateways", type=int, default=GATEWAYS, help=f"processes of the gateway ({GATEWAYS})")
    made.add_argument("--page", action="store_true", help="measure nothing: put the kept rows into docs/performance.md")
    return made


async def _measure(names: list[str], asked: argparse.Namespace, console: Console) -> list[Row]:
    facts = machine(FOLDER)
    console.print(
        f"{facts['cores']} cores, {facts['memory_gib']} GiB, load {facts['load_before']}, "
        f"fdatasync {facts['fsync_us']} us, Python {facts['python']}",
        style="dim",
        highlight=False,
    )
    rows: list[Row] = []
    async with running(FOLDER / "postgres") as server:
        await server.execute(f"CREATE DATABASE {DATABASE}")
        pgbench = Pgbench(server.url())
        repeats, seconds = (1, 2.0) if asked.quick else (asked.repeats, asked.seconds)
        bench = Bench(server, pgbench, console, FOLDER, repeats, seconds, asked.full, asked.gateways)
        bench.say("P: filling pgbench's tables, then the best of 4, 16 and 32 clients ...")
        await pgbench.prepare()
        await pgbench.best()
        found = ", ".join(f"{clients}: {per_s:,.0f}/s" for clients, per_s in pgbench.by_clients.items())
        bench.say(f"  {found}")
        for name in names:
            rows += await importlib.import_module(WORK[name]).measure(bench)
            keep(rows, facts, FOLDER / LATEST)
    console.print(table(rows, quick=asked.quick))
    return rows
