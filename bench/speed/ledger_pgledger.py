"""pgledger, a ledger of SQL functions (github.com/pgr0ss/pgledger): one transfer a call, each a commit of its own.

It comes in no package: PGLEDGER_SQL names a checkout of it, or its files in the order in which they are run, joined by
a colon. Accounts may go below zero there, which spares it a check that Hakika makes. 16 connections in 2 processes, a
thread on each, as for the plain SQL saga. Afterwards each balance has to be what its entries say, all of them have to
sum to nothing, and there have to be as many transfers as were acknowledged.
"""

import os
from collections.abc import Callable
from pathlib import Path

import psycopg

from bench.speed.peer import PeerFigure, PeerMissing, figure
from bench.speed.peer_books import ACCOUNTS, AMOUNT, SETTLE, Checks, Database
from bench.speed.peer_crew import READY, SEEDS_APART, Crew, Order, Post, ask_on_threads, until_closed

NAME = "pgledger"
SETTING = "PGLEDGER_SQL"
PROCESSES = 2
CONNECTIONS = 16
OPEN = "SELECT (pgledger_create_account('account ' || number, 'KES')).id FROM generate_series(1, %s) AS number"
IDS = "SELECT id FROM pgledger_accounts_view ORDER BY id"
TRANSFER = "SELECT id FROM pgledger_create_transfer(%s, %s, %s)"
CHECKS: Checks = (
    ("balances sum to", "SELECT sum(balance) FROM pgledger_accounts_view"),
    (
        "accounts that differ from their entries",
        """
        SELECT count(*) FROM pgledger_accounts_view AS a LEFT JOIN (
            SELECT account_id AS id, sum(amount) AS moved FROM pgledger_entries_view GROUP BY 1
        ) AS said USING (id) WHERE a.balance <> coalesce(said.moved, 0)
        """,
    ),
    (
        "transfers more than acknowledged",
        "SELECT count(*) - %(acknowledged)s FROM pgledger_transfers_view",
    ),
)


def run(database_url: str, *, seconds: float, warmup_s: float) -> PeerFigure:
    """Transfers between any two accounts, on the server of `database_url`, a superuser's."""
    return _measured(database_url, seconds, warmup_s, hot=False)


def run_hot(database_url: str, *, seconds: float, warmup_s: float) -> PeerFigure:
    """Every transfer to one account."""
    return _measured(database_url, seconds, warmup_s, hot=True)


def files(said: str) -> list[Path]:
    """What PGLEDGER_SQL names, in the order in which it is run. Raises PeerMissing."""
    place = Path(said)
    if said and place.is_dir():
        found = [*sorted(place.glob("vendor/*/*.sql")), place / "pgledger.sql"]
    else:
        found = [Path(one) for one in said.split(os.pathsep) if one]
    missing = [str(one) for one in found if not one.is_file()]
    if not found or missing:
        why = f"{missing[0]} is not there" if missing else f"{SETTING} does not name its SQL files"
        raise PeerMissing(NAME, f"{why}; set {SETTING} to a checkout of it")
    return found


def _measured(database_url: str, seconds: float, warmup_s: float, *, hot: bool) -> PeerFigure:
    scripts = files(os.environ.get(SETTING, ""))
    with Database(database_url, "peer_pgledger") as database:
        accounts = _opened(database.url, scripts)
        with Crew() as crew:
            each = CONNECTIONS // PROCESSES
            callers = [crew.hire(_work, database.url, accounts, each, n, hot)[0] for n in range(PROCESSES)]
            tally = crew.measure(callers, seconds=seconds, warmup_s=warmup_s)
        how = f"{CONNECTIONS} connections in {PROCESSES} processes, a call and a commit for each transfer"
        faults = database.faults(CHECKS, acknowledged=tally.acknowledged)
        return figure(NAME, tally, seconds=seconds, faults=faults, how=how)


def _opened(url: str, scripts: list[Path]) -> list[str]:
    """Its schema and as many accounts as every peer has; their ids."""
    with psycopg.connect(url, autocommit=True) as connection:
        for script in scripts:
            connection.execute(script.read_bytes())
        connection.execute(OPEN, (ACCOUNTS,))
        for statement in SETTLE:
            connection.execute(statement.replace("ANALYZE account", "ANALYZE").encode())
        return [str(row[0]) for row in connection.execute(IDS)]


def _work(post: Post, url: str, accounts: list[str], connections: int, number: int, hot: bool) -> None:
    asked = [_transfer(url, accounts) for _ in range(connections)]
    post.send(READY)
    post.send(ask_on_threads(asked, number * SEEDS_APART, post.recv(), hot=hot))
    until_closed(post)


def _transfer(url: str, accounts: list[str]) -> Callable[[Order], object]:
    """One transfer after the other on a connection of its own."""
    connection = psycopg.connect(url, autocommit=True, prepare_threshold=0)

    def transfer(order: Order) -> None:
        connection.execute(TRANSFER, (accounts[order.payer], accounts[order.payee], AMOUNT))

    return transfer
