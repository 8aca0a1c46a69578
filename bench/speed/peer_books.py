"""The books that every peer keeps: accounts with balances, and one row for each step of each saga.

All sagas run the same two statements, so that they differ only in how the steps are made durable. A statement applies
a step at most once: the row is the proof that it was, and a balance changes only together with it. What is checked
afterwards needs nobody's word: balances add up to what was put in, each account's balance is what its rows say,
every saga has both rows, and there are exactly as many sagas as were acknowledged. Money is in minor units.
"""

from dataclasses import dataclass
from types import TracebackType
from typing import LiteralString, Self
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

ACCOUNTS = 10_000
FUNDED = 1_000_000_000
AMOUNT = 1

ACCOUNT_TABLE: LiteralString = """
CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0)) WITH (fillfactor = 40)
"""
STEP_TABLE: LiteralString = """
CREATE TABLE step (
    saga uuid NOT NULL,
    number smallint NOT NULL CHECK (number IN (1, 2)),
    account int NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    PRIMARY KEY (saga, number)
)
"""
FUND: LiteralString = "INSERT INTO account SELECT id, %s FROM generate_series(0, %s - 1) AS id"
SETTLE: tuple[LiteralString, ...] = ("VACUUM ANALYZE account", "CHECKPOINT")

# Parameters: saga, account, amount. No row changes when the step is there already; too little money raises.
DEBIT: LiteralString = """
WITH fresh AS (
    INSERT INTO step VALUES (%(saga)s, 1, %(account)s, %(amount)s) ON CONFLICT DO NOTHING RETURNING 1
)
UPDATE account SET balance = balance - %(amount)s WHERE id = %(account)s AND EXISTS (SELECT FROM fresh)
"""
CREDIT: LiteralString = """
WITH fresh AS (
    INSERT INTO step VALUES (%(saga)s, 2, %(account)s, %(amount)s) ON CONFLICT DO NOTHING RETURNING 1
)
UPDATE account SET balance = balance + %(amount)s WHERE id = %(account)s AND EXISTS (SELECT FROM fresh)
"""

Checks = tuple[tuple[str, LiteralString], ...]  # what each counts has to be nothing

BALANCES_CHECK: tuple[str, LiteralString] = (
    "balances off by",
    "SELECT sum(balance) - %(funded)s * count(*) FROM account",
)


@dataclass(frozen=True, slots=True)
class Kind:
    """Which table is kept beside the accounts, and what must be nothing afterwards, each with its name."""

    table: LiteralString
    checks: Checks


SAGAS = Kind(
    STEP_TABLE,
    (
        BALANCES_CHECK,
        (
            "accounts that differ from their steps",
            """
            SELECT count(*) FROM account LEFT JOIN (
                SELECT account AS id, sum(CASE number WHEN 1 THEN -amount ELSE amount END) AS moved FROM step GROUP BY 1
            ) AS said USING (id) WHERE balance <> %(funded)s + coalesce(moved, 0)
            """,
        ),
        (
            "sagas without both steps",
            "SELECT count(*) FROM (SELECT FROM step GROUP BY saga HAVING count(*) <> 2) AS odd",
        ),
        ("sagas more than acknowledged", "SELECT count(DISTINCT saga) - %(acknowledged)s FROM step"),
    ),
)


class Database:
    """A database of its own on the server of `server_url`, a superuser's; dropped at the end of the block."""

    def __init__(self, server_url: str, name: str) -> None:
        self._server_url = server_url
        self._name = name
        self.url = urlsplit(server_url)._replace(path=f"/{name}").geturl()

    def __enter__(self) -> Self:
        self._drop()
        with psycopg.connect(self._server_url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self._name)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop()

    def _drop(self) -> None:
        with psycopg.connect(self._server_url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(self._name)))

    def faults(self, checks: Checks, **values: int) -> list[str]:
        """What of these is not nothing; empty when the books are right."""
        found: list[str] = []
        with psycopg.connect(self.url, autocommit=True) as connection:
            for name, statement in checks:
                row = connection.execute(statement, values).fetchone()
                if row is None or row[0]:
                    found.append(f"{name}: {row and row[0]}")
        return found


class Books(Database):
    """The common books in a database of their own."""

    def __init__(self, server_url: str, name: str, kind: Kind = SAGAS) -> None:
        super().__init__(server_url, name)
        self._kind = kind

    def __enter__(self) -> Self:
        super().__enter__()
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(ACCOUNT_TABLE)
            connection.execute(self._kind.table)
            connection.execute(FUND, (FUNDED, ACCOUNTS))
            for statement in SETTLE:
                connection.execute(statement)
        return self

    def wrong(self, acknowledged: int) -> list[str]:
        """What is wrong after so many were acknowledged, none in flight; empty when the books are right."""
        return self.faults(self._kind.checks, funded=FUNDED, acknowledged=acknowledged)
