"""The bank's books: one SQLite file, one writer thread, commits shared by whoever waits.

Every change is a command: a function over the connection, run inside the transaction of its batch under a
savepoint of its own, so that one that fails takes no other down. A caller is answered after the commit, which
is on disk by then (WAL, synchronous=FULL). Crash points lie on both sides of the commit. What a command does to
money is `bookings.py`; this file only guarantees that it is done whole, once and in order.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from hakika import clock

log = logging.getLogger(__name__)

T = TypeVar("T")

SCHEMA = Path(__file__).with_name("schema.sql")
SCHEMA_VERSION = 2  # also PRAGMA user_version in schema.sql
BATCH_MAX = 256
QUEUE_MAX = 4096
DEADLINE_S = 10.0  # a caller's patience with the disk; the command may still be committed
STOP_WITHIN_S = 10.0


class BooksBusy(Exception):
    """Too many commands wait for the disk, or the books are closing: nothing was written."""


class BooksUnanswered(Exception):
    """The commit's answer did not come in time: the command may be in the books; do it again by its id."""


class BooksUnfit(Exception):
    """The file cannot be used as these books; the message says why."""


@dataclass(slots=True)
class _Command(Generic[T]):
    kind: str
    work: Callable[[sqlite3.Connection], T]
    answer: "asyncio.Future[T]"
    loop: asyncio.AbstractEventLoop


def connect(file: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode with the durability that the books promise."""
    if not read_only:
        file.touch(mode=0o600)
    mode = "ro" if read_only else "rw"
    conn = sqlite3.connect(
        f"{file.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
    )
    conn.row_factory = sqlite3.Row
    conn.execute("PRAGMA busy_timeout = 5000")
    conn.execute("PRAGMA foreign_keys = ON")
    if not read_only:
        conn.execute("PRAGMA journal_mode = WAL")
        conn.execute("PRAGMA synchronous = FULL")
    return conn


@dataclass(frozen=True, slots=True)
class Customer:
    """One seeded customer."""

    number: int
    name: str
    phone: str
    email: str
    language: str


def prepare(conn: sqlite3.Connection, customers: Iterable[Customer], opening_minor: int) -> None:
    """Create tables and accounts, or open what is there; customers that are missing are added.

    One commit each for the schema and for the accounts; opening balances come from own_funds, so all sum to 0.
    """
    version: int = conn.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, SCHEMA_VERSION):
        raise BooksUnfit(f"these books have version {version}, this program writes version {SCHEMA_VERSION}")
    conn.execute("BEGIN IMMEDIATE")
    try:
        if version == 0:
            _run_script(conn, SCHEMA.read_text())
            for name in ("in_transit", "position_mirror", "own_funds"):
                conn.execute("INSERT INTO account VALUES (?, 0)", (name,))
        for customer in customers:
            _open_account(conn, customer, opening_minor)
        conn.execute("COMMIT")
    except BaseException:
        conn.execute("ROLLBACK")
        raise


def _run_script(conn: sqlite3.Connection, script: str) -> None:
    """Each statement by itself: executescript would commit first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            conn.execute(statement)
            statement = ""


def _open_account(conn: sqlite3.Connection, customer: Customer, opening_minor: int) -> None:
    values = (customer.number, customer.name, customer.phone, customer.email, customer.language)
    added = conn.execute("INSERT OR IGNORE INTO customer VALUES (?, ?, ?, ?, ?)", values)
    if added.rowcount == 0:
        return
    account = f"customer:{customer.number}"
    conn.execute("INSERT INTO account VALUES (?, 0)", (account,))
    if opening_minor:
        move(conn, "own_funds", account, opening_minor, None, "opening", clock.now_ms())


def move(
    conn: sqlite3.Connection, debit: str, credit: str, amount_minor: int, uetr: str | None, event: str, at_ms: int
) -> None:
    """One journal entry with both balances; SQLite refuses a balance below zero and a second end."""
    conn.execute(
        "INSERT INTO journal (at_ms, debit, credit, amount_minor, uetr, event) VALUES (?, ?, ?, ?, ?, ?)",
        (at_ms, debit, credit, amount_minor, uetr, event),
    )
    conn.execute("UPDATE account SET balance_minor = balance_minor - ? WHERE name = ?", (amount_minor, debit))
    conn.execute("UPDATE account SET balance_minor = balance_minor + ? WHERE name = ?", (amount_minor, credit))


class Books:
    """The writer thread and a reading connection for the event loop's short look-ups."""

    def __init__(self, file: Path, crash_point: Callable[[str], None]) -> None:
        """`crash_point` is called with `before_<kind>_commit` and `after_<kind>_commit` for each command."""
        self._writer = connect(file)
        self._crash_point = crash_point
        self._queue: queue.Queue[_Command[Any] | None] = queue.Queue(QUEUE_MAX)
        self._thread = threading.Thread(target=self._write, name="books", daemon=True)
        self._closing = False
        self.reader = connect(file, read_only=True)

    def start(self, customers: Iterable[Customer], opening_minor: int) -> None:
        """Create or open the books and start writing."""
        prepare(self._writer, customers, opening_minor)
        self._thread.start()

    async def submit(self, kind: str, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in the next commit and return its result after it; raises what `work` raised.

        BooksBusy: nothing was written. BooksUnanswered: unknown, so do the same command again.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        command = _Command(kind, work, answer, loop)
        try:
            if self._closing:
                raise BooksBusy("the books are closing")
            self._queue.put_nowait(command)
        except queue.Full:
            raise BooksBusy("the books are busy") from None
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await answer
        except TimeoutError:
            raise BooksUnanswered(f"{kind}: no answer from the disk within {DEADLINE_S:g} s") from None

    async def stop(self) -> None:
        """Commit what waits, then close."""
        self._closing = True
        await asyncio.to_thread(self._queue.put, None)
        await asyncio.to_thread(self._thread.join, STOP_WITHIN_S)
        self.reader.close()
        if not self._thread.is_alive():
            self._writer.close()

    def _write(self) -> None:
        while True:
            first = self._queue.get()
            if first is None:
                return
            batch, ended = [first], False
            with suppress(queue.Empty):
                while len(batch) < BATCH_MAX:
                    command = self._queue.get_nowait()
                    if command is None:
                        ended = True
                        break
                    batch.append(command)
            answers = self._commit(batch)
            batch[0].loop.call_soon_threadsafe(_deliver, batch, answers)
            if ended:
                return

    def _commit(self, batch: list[_Command[Any]]) -> list[tuple[bool, Any]]:
        """The outcome of each command: (True, result) after the commit, or (False, exception)."""
        kinds = dict.fromkeys(command.kind for command in batch)
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            answers = [self._one(command) for command in batch]
            for kind in kinds:
                self._crash_point(f"before_{kind}_commit")
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            log.exception("the books could not commit %d commands", len(batch))
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            return [(False, error)] * len(batch)
        for kind in kinds:
            self._crash_point(f"after_{kind}_commit")
        return answers

    def _one(self, command: _Command[Any]) -> tuple[bool, Any]:
        self._writer.execute("SAVEPOINT command")
        try:
            answer = (True, command.work(self._writer))
        except Exception as error:  # noqa: BLE001 - handed to the caller, its work undone
            self._writer.execute("ROLLBACK TO command")
            answer = (False, error)
        self._writer.execute("RELEASE command")
        return answer


def _deliver(batch: list[_Command[Any]], answers: list[tuple[bool, Any]]) -> None:
    for command, (done, value) in zip(batch, answers, strict=True):
        if command.answer.done():
            continue  # the caller stopped waiting
        if done:
            command.answer.set_result(value)
        else:
            command.answer.set_exception(value)
