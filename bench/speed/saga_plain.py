"""The two-step transfer as one would write it without a framework: psycopg 3 and two transactions for each saga.

Each step is one statement in autocommit, hence one round trip and one commit; its row in `step` makes it apply once,
and is what a recovery would read. 16 connections in 2 processes, a thread on each.

What was tried on 2 cores shared with other work: psycopg's asynchronous connections on an event loop (2.2 to 2.7 k/s
where threads make 3.4 to 3.8 k/s: 0.15 ms of CPU a saga in Python against 0.12), one process (3.0 k/s), 32 connections
(no more sagas, twice the latency). Statements are prepared on first use.
"""

from collections.abc import Callable

import psycopg

from bench.speed.peer import PeerFigure, figure
from bench.speed.peer_books import AMOUNT, CREDIT, DEBIT, Books
from bench.speed.peer_crew import READY, SEEDS_APART, Crew, Order, Post, ask_on_threads, until_closed

NAME = "plain SQL saga"
PROCESSES = 2
CONNECTIONS = 16


def run(
    database_url: str,
    *,
    seconds: float,
    warmup_s: float,
    processes: int = PROCESSES,
    connections: int = CONNECTIONS,
) -> PeerFigure:
    """Measure it on the server of `database_url`, a superuser's; `connections` are all connections together."""
    with Books(database_url, "peer_plain") as books:
        with Crew() as crew:
            each = connections // processes
            callers = [crew.hire(_work, books.url, each, number)[0] for number in range(processes)]
            tally = crew.measure(callers, seconds=seconds, warmup_s=warmup_s)
        how = f"psycopg {psycopg.__version__}, {connections} connections in {processes} processes, a statement a step"
        return figure(NAME, tally, seconds=seconds, faults=books.wrong(tally.acknowledged), how=how)


def _work(post: Post, url: str, connections: int, number: int) -> None:
    asked = [_saga(url) for _ in range(connections)]
    post.send(READY)
    post.send(ask_on_threads(asked, number * SEEDS_APART, post.recv()))
    until_closed(post)


def _saga(url: str) -> Callable[[Order], object]:
    """One saga after the other on a connection of its own."""
    connection = psycopg.connect(url, autocommit=True, prepare_threshold=0)

    def saga(order: Order) -> None:
        connection.execute(DEBIT, {"saga": order.saga, "account": order.payer, "amount": AMOUNT})
        connection.execute(CREDIT, {"saga": order.saga, "account": order.payee, "amount": AMOUNT})

    return saga
