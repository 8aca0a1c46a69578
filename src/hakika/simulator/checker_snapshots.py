"""What a recount reads: one frozen moment of each database and of each bank's books, never written to.

PostgreSQL is read in one REPEATABLE READ, read-only transaction, through cursors on the server, so that memory
stays small however many rows there are. A server that falls silent holds nobody: at the deadline the socket is
shut. A bank's file is read in one SQLite transaction. Everything that gives no answer raises CannotCheck.
"""

import os
import socket
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, LiteralString, Self

import psycopg

from hakika.simulator.checker_findings import CannotCheck, Check, Tally

CONNECT_S = 5
FETCH_ROWS = 5000
BOOKS_BUSY_S = 5.0
BOOKS_STEPS = 100_000  # of SQLite's machine, between two looks at the deadline
SESSION = (
    "-c default_transaction_read_only=on -c idle_in_transaction_session_timeout=0 -c lock_timeout=5s -c jit=off"
    " -c cursor_tuple_fraction=1.0 -c enable_nestloop=off -c work_mem=64MB -c search_path=public"
)

Row = tuple[Any, ...]


class DatabaseSnapshot:
    """One moment of one role's database; `name` stands in findings. The moment is that of construction."""

    def __init__(self, url: str, name: str, *, deadline_s: float) -> None:
        """Connect and freeze the moment; CannotCheck when the database does not answer."""
        self.name = name
        self._deadline_s = deadline_s
        self._numbers = count(1)
        self._late = threading.Event()
        try:
            self._connection = psycopg.connect(
                url,
                connect_timeout=CONNECT_S,
                application_name="hakika verify",
                options=f"{SESSION} -c statement_timeout={int(deadline_s * 1000)}",
            )
        except psycopg.Error as error:
            raise CannotCheck(name, _words(error)) from error
        self._watchdog = threading.Timer(deadline_s, self._shut)
        self._watchdog.daemon = True
        self._watchdog.start()
        self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        self._connection.read_only = True
        try:
            self.one("SELECT 1")
        except CannotCheck:
            self.close()
            raise

    def rows(self, statement: LiteralString, values: Sequence[Any] | None = None) -> Iterator[Row]:
        """Stream a query's rows; several streams may be open at once."""
        cursor = None
        try:
            cursor = self._connection.cursor(name=f"recount_{next(self._numbers)}", binary=True)
            cursor.itersize = FETCH_ROWS
            cursor.execute(statement, values)
            yield from cursor
        except psycopg.Error as error:
            raise CannotCheck(self.name, self._why(error)) from error
        finally:
            if cursor is not None:
                with suppress(psycopg.Error):
                    cursor.close()

    def one(self, statement: LiteralString, values: Sequence[Any] | None = None) -> Row:
        """The one row of a query."""
        try:
            row = self._connection.execute(statement, values, binary=True).fetchone()
        except psycopg.Error as error:
            raise CannotCheck(self.name, self._why(error)) from error
        if row is None:
            raise CannotCheck(self.name, "a query that always has one row had none")
        return row

    def close(self) -> None:
        """Give the moment back."""
        self._watchdog.cancel()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _shut(self) -> None:
        """The deadline has passed: psycopg would wait on for a peer that only acknowledges, so the socket goes."""
        self._late.set()
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self._connection.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)

    def _why(self, error: psycopg.Error) -> str:
        late = self._late.is_set() or isinstance(error, psycopg.errors.QueryCanceled)
        return too_slow(self._deadline_s) if late else _words(error)


class BooksSnapshot:
    """One moment of one bank's books."""

    def __init__(self, bank: str, file: Path, *, deadline_s: float) -> None:
        """Open read-only and freeze the moment; CannotCheck when this is not a readable SQLite file."""
        self.bank = bank
        self.name = f"books of {bank}"
        self._deadline_s = deadline_s
        if not file.is_file():
            raise CannotCheck(self.name, f"there is no file {file}")
        try:
            uri = f"{file.absolute().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(
                uri, uri=True, isolation_level=None, timeout=BOOKS_BUSY_S, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise CannotCheck(self.name, str(error)) from error
        self._late = threading.Event()
        self._connection.set_progress_handler(lambda: self._late.is_set(), BOOKS_STEPS)
        self._watchdog = threading.Timer(deadline_s, self._late.set)
        self._watchdog.daemon = True
        self._watchdog.start()
        try:
            self._connection.execute("BEGIN")
            self.one("SELECT count(*) FROM sqlite_schema")
        except (sqlite3.Error, CannotCheck) as error:
            self.close()
            raise CannotCheck(self.name, str(error)) from error

    def rows(self, statement: LiteralString) -> Iterator[Row]:
        """Stream a query's rows."""
        try:
            yield from self._connection.execute(statement)
        except sqlite3.Error as error:
            late = self._late.is_set()
            raise CannotCheck(self.name, too_slow(self._deadline_s) if late else str(error)) from error

    def one(self, statement: LiteralString) -> Row:
        """The one row of a query."""
        for row in self.rows(statement):
            return row
        raise CannotCheck(self.name, "a query that always has one row had none")

    def close(self) -> None:
        """Give the moment back."""
        self._watchdog.cancel()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def too_slow(deadline_s: float) -> str:
    """What is said of a part that has not been read in its time: more rows than that, or a peer that is silent."""
    return f"no answer within {deadline_s:g} s; if it works on, a larger --deadline-s lets it end"


def open_database(
    stack: ExitStack, tally: Tally, url: str | None, name: str, deadline_s: float
) -> DatabaseSnapshot | None:
    """A snapshot that the stack closes; None, with the finding noted, when it cannot be had."""
    if url is None:
        return None
    try:
        return stack.enter_context(DatabaseSnapshot(url, name, deadline_s=deadline_s))
    except CannotCheck as fault:
        tally.cannot(fault)
        return None


def recount(snapshot: DatabaseSnapshot | BooksSnapshot, checks: Sequence[Check], tally: Tally) -> None:
    """Run every query; each of its rows is a finding about its subject."""
    for check in checks:
        for subject, text in snapshot.rows(check.sql):
            tally.find(check.code, str(subject), str(text))


def merged(*streams: Iterable[Row]) -> Iterator[tuple[Any, list[Row | None]]]:
    """Walk sorted streams side by side by their first column: (key, its row in each stream or None)."""
    walks = [iter(stream) for stream in streams]
    heads: list[Row | None] = [next(walk, None) for walk in walks]
    while any(head is not None for head in heads):
        key = min(head[0] for head in heads if head is not None)
        rows = [head if head is not None and head[0] == key else None for head in heads]
        for number, row in enumerate(rows):
            if row is not None:
                heads[number] = next(walks[number], None)
        yield key, rows


def _words(error: psycopg.Error) -> str:
    """The first line of what the server or the network said."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
