"""The two-step transfer as a DBOS workflow of two steps, which DBOS checkpoints in PostgreSQL.

The workflow's id is the saga's id, so asking twice does it once; a step that DBOS repeats after a crash finds its row
in `step` and changes nothing. The workflow is called directly from threads, without a queue, which is DBOS's shortest
way; the books and DBOS's own tables are in one database.

What was tried on 2 cores shared with other work (sagas a second, CPU ms a saga): DBOS's transactional steps
(SQLAlchemyDatasource, READ COMMITTED: 92 to 126/s, 14.2 ms: they commit their checkpoint with the debit, then the
step's record in a second transaction as plain steps do, and are removed at the end) against plain steps (172 to 250/s,
7.4 ms: kept); asynchronous workflows (171/s, 8.8 ms); the pool's ping before each use off (on: a round trip more for
each of six transactions); 8 callers in 1, 2 and 4 processes (175 to 204, 172 to 251, 129 to 173/s; 6.4, 7.3 and
10 ms); 4 and 16 callers in a process (no faster).
"""

import queue
from typing import Any, LiteralString

from bench.speed import peer_venv
from bench.speed.peer import PeerFigure, figure
from bench.speed.peer_books import AMOUNT, CREDIT, DEBIT, Books
from bench.speed.peer_crew import READY, SEEDS_APART, Crew, Order, Post, ask_on_threads, until_closed

NAME = "DBOS saga"
PROCESSES = 2
CALLERS = 8  # threads in each process
SPARE = 4  # connections of DBOS beside those of its callers


def run(
    database_url: str, *, seconds: float, warmup_s: float, processes: int = PROCESSES, callers: int = CALLERS
) -> PeerFigure:
    """Measure it on the server of `database_url`, a superuser's. Raises PeerMissing without its environment."""
    settings = {"processes": processes, "callers": callers}
    return peer_venv.measured("dbos", database_url, seconds=seconds, warmup_s=warmup_s, settings=settings)


def measure(
    database_url: str, *, seconds: float, warmup_s: float, processes: int = PROCESSES, callers: int = CALLERS
) -> PeerFigure:
    """The same in this interpreter, which needs the package dbos."""
    version = peer_venv.version("dbos", NAME)
    with Books(database_url, "peer_dbos") as books:
        with Crew() as crew:
            # One after the other: the first makes DBOS's tables.
            members = [crew.hire(_work, books.url, callers, number)[0] for number in range(processes)]
            tally = crew.measure(members, seconds=seconds, warmup_s=warmup_s)
        how = f"dbos {version}, {processes} processes with {callers} callers each, plain steps"
        return figure(NAME, tally, seconds=seconds, faults=books.wrong(tally.acknowledged), how=how)


def _work(post: Post, url: str, callers: int, number: int) -> None:
    import dbos

    dbos.DBOS(
        config={
            "name": "peer",
            "application_version": "1",
            "executor_id": f"peer-{number}",
            "system_database_url": url,
            "sys_db_pool_size": callers + SPARE,
            "db_engine_kwargs": {"pool_pre_ping": False},
            "log_level": "ERROR",
        }
    )
    transfer = _workflow(dbos.DBOS, url, callers)
    dbos.DBOS.launch()

    def saga(order: Order) -> None:
        with dbos.SetWorkflowID(str(order.saga)):
            transfer(str(order.saga), order.payer, order.payee)

    post.send(READY)
    post.send(ask_on_threads([saga] * callers, number * SEEDS_APART, post.recv()))
    until_closed(post)
    dbos.DBOS.destroy()


def _workflow(framework: Any, url: str, callers: int) -> Any:
    """The workflow, registered, with a connection for each caller."""
    import psycopg

    free: queue.LifoQueue[psycopg.Connection[Any]] = queue.LifoQueue()
    for _ in range(callers):
        free.put(psycopg.connect(url, autocommit=True, prepare_threshold=0))

    def apply(statement: LiteralString, saga: str, account: int) -> None:
        connection = free.get()
        try:
            connection.execute(statement, {"saga": saga, "account": account, "amount": AMOUNT})
        finally:
            free.put(connection)

    def debit(saga: str, account: int) -> None:
        apply(DEBIT, saga, account)

    def credit(saga: str, account: int) -> None:
        apply(CREDIT, saga, account)

    debit_step = framework.step(name="debit")(debit)
    credit_step = framework.step(name="credit")(credit)

    def transfer(saga: str, payer: int, payee: int) -> None:
        debit_step(saga, payer)
        credit_step(saga, payee)

    return framework.workflow(name="transfer")(transfer)
