"""What one would write first: an HTTP server, a pool of connections, one transaction for each ledger entry.

Tuned so that only the idea is slow. The server is Hakika's own door on uvloop and not a framework; a
transaction is one statement in autocommit, so it costs one round trip and its locks are held for no longer than its
commit; entries are of an account chosen evenly, or all in favour of one account. 64 callers, each with one request in
flight, in a process of their own.

What was tried on 2 cores shared with other work: BEGIN, three statements and COMMIT in turn, which is how it is usually
written (1.7 k/s, hot account 0.8 k/s), the same in pipeline mode (1.3 and 0.8 k/s), one statement (3.5 and 1.7 k/s:
kept); 8, 16 and 32 connections (3.3, 3.5 and 3.8 k/s, within the noise), 4 for the hot account (no faster). That was
with granian as the server.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, LiteralString

import httptools
import psycopg
import uvloop

from bench.speed.peer import PeerFailed, PeerFigure, figure
from bench.speed.peer_books import AMOUNT, BALANCES_CHECK, Books, Kind
from bench.speed.peer_crew import READY, Crew, Order, Post, ask_on_loop, told, until_closed
from bench.speed.peer_http import HOST, Caller
from hakika.channels.door import Door, Request, Response, Route, serve

NAME = "one transaction a request"
CALLERS = 64
CONNECTIONS = 16
CONCURRENCY_MAX = 1000
PATH = "/entries"

ENTRIES = Kind(
    """
    CREATE TABLE entry (
        id uuid PRIMARY KEY,
        debit int NOT NULL,
        credit int NOT NULL,
        amount bigint NOT NULL CHECK (amount > 0)
    )
    """,
    (
        BALANCES_CHECK,
        (
            "accounts that differ from their entries",
            """
            SELECT count(*) FROM account LEFT JOIN (
                SELECT id, sum(amount) AS moved FROM (
                    SELECT debit AS id, -amount AS amount FROM entry UNION ALL SELECT credit, amount FROM entry
                ) AS side GROUP BY id
            ) AS said USING (id) WHERE balance <> %(funded)s + coalesce(moved, 0)
            """,
        ),
        ("entries more than acknowledged", "SELECT count(*) - %(acknowledged)s FROM entry"),
    ),
)
# The accounts are locked in id order, so that opposite transfers do not wait for each other for ever.
ENTER: LiteralString = """
WITH locked AS MATERIALIZED (
    SELECT id FROM account WHERE id IN (%(debit)s, %(credit)s) ORDER BY id FOR NO KEY UPDATE
), fresh AS (
    INSERT INTO entry VALUES (%(id)s, %(debit)s, %(credit)s, %(amount)s) ON CONFLICT DO NOTHING RETURNING 1
)
UPDATE account SET balance = balance + CASE account.id WHEN %(debit)s THEN -%(amount)s ELSE %(amount)s END
FROM locked WHERE account.id = locked.id AND EXISTS (SELECT FROM fresh)
"""


def run(
    database_url: str,
    *,
    seconds: float,
    warmup_s: float,
    callers: int = CALLERS,
    connections: int = CONNECTIONS,
    hot: bool = False,
) -> PeerFigure:
    """Measure it on the server of `database_url`, a superuser's; with `hot` every transfer is to one account."""
    with Books(database_url, "peer_naive", ENTRIES) as books:
        with Crew() as crew:
            _, port = crew.hire(_serve, books.url, connections)
            caller, _ = crew.hire(_call, port, callers, bool(hot))
            tally = crew.measure([caller], seconds=seconds, warmup_s=warmup_s)
        how = (
            f"httptools {httptools.__version__}, psycopg {psycopg.__version__}, {callers} callers over HTTP, "
            f"{connections} connections, a statement an entry"
        )
        name = f"{NAME}, hot account" if hot else NAME
        return figure(name, tally, seconds=seconds, faults=books.wrong(tally.acknowledged), how=how)


def run_hot(database_url: str, *, seconds: float, warmup_s: float) -> PeerFigure:
    """The same with every transfer to one account."""
    return run(database_url, seconds=seconds, warmup_s=warmup_s, hot=True)


def _serve(post: Post, url: str, connections: int) -> None:
    uvloop.run(_serve_until_closed(post, url, connections))


async def _serve_until_closed(post: Post, url: str, connections: int) -> None:
    free: asyncio.LifoQueue[psycopg.AsyncConnection[Any]] = asyncio.LifoQueue()
    for _ in range(connections):
        free.put_nowait(await psycopg.AsyncConnection.connect(url, autocommit=True, prepare_threshold=0))

    async def enter(request: Request) -> Response:
        values = json.loads(request.body)
        connection = await free.get()
        try:
            await connection.execute(ENTER, values)
        finally:
            free.put_nowait(connection)
        return Response(201)

    running = await serve(Door([Route("POST", PATH, enter)], concurrency_max=CONCURRENCY_MAX), HOST, 0)
    post.send(running.port)
    await asyncio.to_thread(until_closed, post)
    await running.stop()


def _call(post: Post, port: int, callers: int, hot: bool) -> None:
    asyncio.run(_call_all(post, port, callers, hot))


async def _call_all(post: Post, port: int, callers: int, hot: bool) -> None:
    lines = [await Caller.connect(port) for _ in range(callers)]
    post.send(READY)
    post.send(await ask_on_loop([_entry(line) for line in lines], 0, await told(post), hot=hot))
    for line in lines:
        line.close()
    await asyncio.to_thread(until_closed, post)


def _entry(line: Caller) -> Callable[[Order], Awaitable[object]]:
    async def enter(order: Order) -> None:
        values = {"id": str(order.saga), "debit": order.payer, "credit": order.payee, "amount": AMOUNT}
        status, answer = await line.post(PATH, json.dumps(values).encode())
        if status != 201:
            raise PeerFailed(f"{NAME}: {status} {answer[:200]!r}")

    return enter
