"""Two sessions at once: an attempt against a return, two attempts, two returns, at every isolation level.

Exactly one wins; the other waits for the lock on the transfer's row and is then refused by what the first has
committed, never by what it had seen before (I-GW-2, I-GW-7, I-GW-8).
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import LiteralString
from uuid import UUID

import psycopg
import pytest
from gateway_kit import ADD_ATTEMPT, ADD_RETURN, CLOSE, FIRST, Sql, Templates
from gateway_refusals import Try


@pytest.fixture(scope="module")
def sql(templates: Templates) -> Iterator[Sql]:
    """Direct connections to one database; each test has transfers of its own."""
    database = templates.copy("gateway")
    found = Sql.open(database)
    yield found
    found.close()
    templates.drop(database)


ATTEMPT_THEN = {"attempt": "23505", "return": "HK010"}
RETURN_THEN = {"attempt": "HK002", "return": "23505"}


def _statement(sql: Sql, kind: str, transfer: UUID) -> Try:
    if kind == "attempt":
        return ADD_ATTEMPT, (sql.fresh(), transfer, 1, FIRST, 1, None, None)
    return ADD_RETURN, (transfer, "RTR" + transfer.hex, True)


def _other_session(sql: Sql, begin: LiteralString, kind: str, transfer: UUID) -> str | None:
    """The second session: its own transaction, from its first snapshot to its commit."""
    statement, values = _statement(sql, kind, transfer)
    with psycopg.connect(sql.database.app_url, autocommit=True) as connection:
        try:
            connection.execute(begin)
            connection.execute("SELECT count(*) FROM attempt")
            sql.barrier.wait(10)
            connection.execute(statement, values)
            connection.execute("COMMIT")
        except psycopg.Error as error:
            return error.sqlstate
    return None


@pytest.mark.parametrize("first", ["attempt", "return"])
@pytest.mark.parametrize("second", ["attempt", "return"])
def test_the_second_session_waits_and_is_refused(sql: Sql, first: str, second: str) -> None:
    """The first has written and not yet committed; the second must not act on what it saw before."""
    transfer = sql.transfer()
    statement, values = _statement(sql, first, transfer)
    with ThreadPoolExecutor(1) as pool:
        with sql.app.transaction():
            sql.app.execute(statement, values)
            other = pool.submit(_other_session, sql, "BEGIN", second, transfer)
            sql.barrier.wait(10)
            wait_for_a_lock(sql)
            assert not other.done()
        codes = ATTEMPT_THEN if first == "attempt" else RETURN_THEN
        assert other.result(10) == codes[second]


def test_the_second_session_goes_on_when_the_first_gives_up(sql: Sql) -> None:
    transfer = sql.transfer()
    statement, values = _statement(sql, "attempt", transfer)
    with ThreadPoolExecutor(1) as pool:
        with sql.app.transaction(force_rollback=True):
            sql.app.execute(statement, values)
            other = pool.submit(_other_session, sql, "BEGIN", "return", transfer)
            sql.barrier.wait(10)
            wait_for_a_lock(sql)
        assert other.result(10) is None


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("second", ["attempt", "return"])
def test_an_old_snapshot_is_refused(sql: Sql, level: LiteralString, second: str) -> None:
    """Under a snapshot of its own a session could not see what the other has committed: HK018."""
    transfer = sql.transfer()
    first = "return" if second == "attempt" else "attempt"
    begin: LiteralString = "BEGIN ISOLATION LEVEL " + level
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(_other_session, sql, begin, second, transfer)
        statement, values = _statement(sql, first, transfer)
        sql.app.execute(statement, values)
        sql.barrier.wait(10)
        assert other.result(10) == "HK018"


def test_exactly_one_wins(sql: Sql) -> None:
    """Attempt against return, many times, both at the same instant and neither told to wait."""
    winners = set()
    with ThreadPoolExecutor(2) as pool:
        for _ in range(25):
            transfer = sql.transfer()
            kinds = ("attempt", "return")
            both = [pool.submit(_other_session, sql, "BEGIN", kind, transfer) for kind in kinds]
            results = dict(zip(kinds, (each.result(10) for each in both), strict=True))
            assert results in ({"attempt": None, "return": "HK010"}, {"attempt": "HK002", "return": None})
            winners |= {kind for kind, refused in results.items() if refused is None}
    assert winners  # usually both; which one is the scheduler's choice


def test_closing_and_returning_at_once(sql: Sql) -> None:
    """While the answer `posted` is being written, the attempt is still open for everybody else."""
    transfer = sql.transfer()
    attempt = sql.attempt(transfer)
    with psycopg.connect(sql.database.app_url, autocommit=True) as other:
        with sql.app.transaction():
            sql.app.execute(CLOSE, ("posted", None, FIRST, 1, attempt))
            with pytest.raises(psycopg.Error) as before:
                other.execute(ADD_RETURN, (transfer, "RTR1", False))
        with pytest.raises(psycopg.Error) as after:
            other.execute(ADD_RETURN, (transfer, "RTR1", False))
    assert (before.value.sqlstate, after.value.sqlstate) == ("HK010", "HK011")


def wait_for_a_lock(sql: Sql) -> None:
    """Until some session waits for a lock."""
    for _ in range(500):
        row = sql.owner.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
        if row and row[0]:
            return
        Event().wait(0.01)
    raise AssertionError("nobody waits")
