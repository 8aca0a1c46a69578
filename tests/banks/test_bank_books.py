"""The bank's books under random words of the gateway, doubled, reordered and contradictory, against a model.

The model knows only this: the first of RJCT (without a receipt), ACCC and a fitting pacs.004 moves the money,
once. After every message the books sum to zero and transit holds exactly what has not ended.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hakika.counterparties import bookings
from hakika.counterparties.bookings import Debited, Evidence, NotDebited, Order, Statement
from hakika.counterparties.books import Books, Customer, connect, move, prepare
from hakika.counterparties.rules import Said, Step, Word

OPENING_MINOR = 100_000
TRANSFERS = 4
AMOUNTS = (10_000, 25_050, 1, 40_000)
CUSTOMERS = [Customer(n, f"Customer {n}", "254700000001", "c@customers.example", "en") for n in (1, 2)]


def compose(msg_id: str, at_ms: int, carried: Sequence[object]) -> bytes:
    return f"{msg_id}:{len(carried)}".encode()


def acknowledge(statement: Statement, booked: bool, at_ms: int) -> bytes:
    return f"{statement.said.return_id}:{booked}".encode()


def order(number: int, **changes: object) -> Order:
    values: dict[str, object] = {
        "request_id": f"r{number}",
        "customer": 1 + number % 2,
        "creditor_msisdn": "254712345678",
        "creditor_name": "Wallet holder",
        "amount_minor": AMOUNTS[number % len(AMOUNTS)],
        "currency": "KES",
        "language": None,
        "uetr": str(UUID(int=number + 1)),
        "end_to_end_id": f"e{number}",
    }
    return Order(**{**values, **changes})  # type: ignore[arg-type]


def fresh(file: str = ":memory:") -> sqlite3.Connection:
    conn = sqlite3.connect(file, isolation_level=None)
    conn.row_factory = sqlite3.Row
    conn.execute("PRAGMA foreign_keys = ON")
    prepare(conn, CUSTOMERS, OPENING_MINOR)
    return conn


def balance(conn: sqlite3.Connection, name: str) -> int:
    row = conn.execute("SELECT balance_minor FROM account WHERE name = ?", (name,)).fetchone()
    found: int = row[0]
    return found


class BooksUnderWords(RuleBasedStateMachine):
    """Random words about four transfers of two customers."""

    def __init__(self) -> None:
        super().__init__()
        self.conn = fresh()
        self.ended: dict[str, str] = {}  # UETR -> how
        self.held: set[str] = set()
        self.messages = 0

    @initialize()
    def debit_all(self) -> None:
        for number in range(TRANSFERS):
            (result,) = self.debit(number)
            assert isinstance(result, Debited)
            assert result.outbox_id is not None

    def debit(self, number: int) -> list[bookings.Debit]:
        return bookings.debit(self.conn, [order(number)], "bank-b", f"m{number}", compose, 1)

    def say(self, number: int, said: Said, uetr: str | None = None) -> Step:
        self.messages += 1
        statement = Statement(uetr or str(UUID(int=number + 1)), said, tracking="t", deadline_ms=5)
        evidence = Evidence(f"{self.messages:064x}", "signature", b"body")
        self.conn.execute("BEGIN")
        applied = bookings.apply(self.conn, evidence, [statement], acknowledge, 2)
        self.conn.execute("COMMIT")
        return applied.steps[0]

    @rule(number=st.integers(0, TRANSFERS - 1))
    def debit_again(self, number: int) -> None:
        (result,) = self.debit(number)
        assert result == Debited(str(UUID(int=number + 1)), f"e{number}", None)

    @rule(number=st.integers(0, TRANSFERS - 1), other=st.booleans())
    def receipt(self, number: int, other: bool) -> None:
        uetr = str(UUID(int=number + 1))
        first = uetr not in self.held and self.ended.get(uetr) != "rejected"
        step = self.say(number, Said(Word.RECEIPT, f"m{number}", f"e{number}", receipt="other" if other else "same"))
        assert (step in (Step.ACCEPT, Step.KEEP)) is first
        if first:
            self.held.add(uetr)

    @rule(number=st.integers(0, TRANSFERS - 1))
    def refusal(self, number: int) -> None:
        uetr = str(UUID(int=number + 1))
        step = self.say(number, Said(Word.REFUSAL, f"m{number}"))
        if uetr not in self.held and uetr not in self.ended:
            assert step is Step.REJECT
            self.ended[uetr] = "rejected"
        else:
            assert step in (Step.SAME, Step.CONTRADICT)

    @rule(number=st.integers(0, TRANSFERS - 1), wrong=st.sampled_from(["", "message", "id"]))
    def completion(self, number: int, wrong: str) -> None:
        uetr = str(UUID(int=number + 1))
        said = Said(
            Word.COMPLETION,
            "elsewhere" if wrong == "message" else f"m{number}",
            "elsewhere" if wrong == "id" else f"e{number}",
        )
        step = self.say(number, said)
        if not wrong and uetr not in self.ended:
            assert step is Step.COMPLETE
            self.ended[uetr] = "completed"
        else:
            assert step in (Step.SAME, Step.CONTRADICT)

    @rule(number=st.integers(0, TRANSFERS - 1), return_of=st.integers(0, TRANSFERS - 1), short=st.booleans())
    def money_back(self, number: int, return_of: int, short: bool) -> None:
        uetr = str(UUID(int=number + 1))
        taken = self.conn.execute(
            "SELECT 1 FROM transfer WHERE return_id = ? AND uetr <> ?", (f"rtr{return_of}", uetr)
        ).fetchone()
        amount = AMOUNTS[number] + (1 if short else 0)
        said = Said(
            Word.RETURN,
            f"m{number}",
            f"e{number}",
            return_id=f"rtr{return_of}",
            amount_minor=amount,
            currency="KES",
        )
        step = self.say(number, said)
        if not short and taken is None and uetr not in self.ended:
            assert step is Step.RETURN
            self.ended[uetr] = "returned"
        else:
            assert step in (Step.SAME, Step.CONTRADICT)

    @rule(number=st.integers(0, TRANSFERS - 1), status=st.sampled_from(["RCVD", "ACSP", "PDNG"]))
    def progress(self, number: int, status: str) -> None:
        assert self.say(number, Said(Word.PROGRESS, f"m{number}")) in (Step.NOTE, Step.CONTRADICT)

    @rule(word=st.sampled_from(list(Word)))
    def stranger(self, word: Word) -> None:
        said = Said(word, return_id="rtr-x" if word is Word.RETURN else None)
        assert self.say(0, said, uetr=str(UUID(int=99))) is Step.CONTRADICT

    @invariant()
    def all_sums_to_zero(self) -> None:
        assert self.conn.execute("SELECT sum(balance_minor) FROM account").fetchone()[0] == 0

    @invariant()
    def transit_holds_what_has_not_ended(self) -> None:
        open_minor = sum(AMOUNTS[number] for number in range(TRANSFERS) if str(UUID(int=number + 1)) not in self.ended)
        if self.conn.execute("SELECT count(*) FROM transfer").fetchone()[0]:
            assert balance(self.conn, "in_transit") == open_minor

    @invariant()
    def everybody_has_what_is_theirs(self) -> None:
        if not self.conn.execute("SELECT count(*) FROM transfer").fetchone()[0]:
            return
        ended = {int(UUID(uetr)) - 1: how for uetr, how in self.ended.items()}
        for customer in (1, 2):
            gone = sum(
                AMOUNTS[number]
                for number in range(TRANSFERS)
                if 1 + number % 2 == customer and ended.get(number, "open") in ("open", "completed")
            )
            assert balance(self.conn, f"customer:{customer}") == OPENING_MINOR - gone
        completed = sum(AMOUNTS[number] for number, how in ended.items() if how == "completed")
        assert balance(self.conn, "position_mirror") == completed

    @invariant()
    def states_and_journal_agree(self) -> None:
        for uetr, state, receipt in self.conn.execute("SELECT uetr, state, receipt FROM transfer"):
            assert state == self.ended.get(uetr, "accepted" if uetr in self.held else "debited")
            assert (receipt is not None) == (uetr in self.held)
            events = [e for (e,) in self.conn.execute("SELECT event FROM journal WHERE uetr = ?", (uetr,))]
            assert events == ["debited", *([self.ended[uetr]] if uetr in self.ended else [])]

    @invariant()
    def each_return_is_acknowledged_by_what_was_booked(self) -> None:
        kept = dict(self.conn.execute("SELECT key, body FROM outbox WHERE kind = 'acknowledgement'").fetchall())
        for (return_id,) in self.conn.execute("SELECT return_id FROM transfer WHERE return_id IS NOT NULL"):
            assert return_id in kept

    def teardown(self) -> None:
        self.conn.close()


TestBooksUnderWords = BooksUnderWords.TestCase
TestBooksUnderWords.settings = settings(
    max_examples=250, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_one_request_id_is_one_debit_with_one_content() -> None:
    conn = fresh()
    first = bookings.debit(conn, [order(0)], "bank-b", "m0", compose, 1)
    again = bookings.debit(conn, [order(0, uetr="x", end_to_end_id="y")], "bank-b", "m1", compose, 1)
    assert isinstance(first[0], Debited) and isinstance(again[0], Debited)
    assert (again[0].uetr, again[0].end_to_end_id) == (first[0].uetr, first[0].end_to_end_id)
    other = bookings.debit(conn, [order(0, amount_minor=7)], "bank-b", "m2", compose, 1)
    assert other == [NotDebited("request_id_conflict")]
    assert conn.execute("SELECT count(*) FROM outbox").fetchone()[0] == 1


def test_several_transfers_share_one_message_and_one_who_cannot_pay_stays_out() -> None:
    conn = fresh()
    orders = [order(0), order(1, amount_minor=OPENING_MINOR + 1), order(2)]
    results = bookings.debit(conn, orders, "bank-b", "m0", compose, 1)
    assert [type(result) for result in results] == [Debited, NotDebited, Debited]
    assert conn.execute("SELECT body FROM outbox").fetchall()[0][0] == b"m0:2"
    assert {row[0] for row in conn.execute("SELECT msg_id FROM transfer")} == {"m0"}


def test_the_database_itself_refuses_a_second_end_and_an_edit() -> None:
    conn = fresh()
    bookings.debit(conn, [order(0)], "bank-b", "m0", compose, 1)
    uetr = order(0).uetr
    move(conn, "in_transit", "position_mirror", AMOUNTS[0], uetr, "completed", 2)
    conn.execute("UPDATE account SET balance_minor = balance_minor + 100000 WHERE name = 'in_transit'")
    with pytest.raises(sqlite3.IntegrityError):
        move(conn, "in_transit", "customer:1", AMOUNTS[0], uetr, "returned", 3)
    for statement in (
        "UPDATE journal SET amount_minor = 1",
        "DELETE FROM journal",
        "UPDATE outbox SET body = x'00'",
        "UPDATE transfer SET state = 'completed'",  # without its end
    ):
        with pytest.raises(sqlite3.IntegrityError):
            conn.execute(statement)


def test_opening_the_books_again_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "books.sqlite"
    for _ in range(2):
        conn = connect(file)
        prepare(conn, CUSTOMERS, OPENING_MINOR)
        assert balance(conn, "own_funds") == -2 * OPENING_MINOR
        assert conn.execute("PRAGMA synchronous").fetchone()[0] == 2
        conn.close()


async def test_a_command_that_fails_takes_no_other_down(tmp_path: Path) -> None:
    import asyncio

    books = Books(tmp_path / "books.sqlite", lambda name: None)
    books.start(CUSTOMERS, OPENING_MINOR)

    def overdraw(conn: sqlite3.Connection) -> None:
        move(conn, "customer:1", "in_transit", 1, None, "opening", 1)
        move(conn, "customer:1", "in_transit", OPENING_MINOR, None, "opening", 1)

    def pay(conn: sqlite3.Connection) -> int:
        move(conn, "customer:2", "in_transit", 5, None, "opening", 1)
        return 5

    results = await asyncio.gather(
        *(books.submit("debit", work) for work in (overdraw, pay, overdraw, pay)), return_exceptions=True
    )
    assert [type(result) for result in results] == [sqlite3.IntegrityError, int, sqlite3.IntegrityError, int]
    assert balance(books.reader, "in_transit") == 10
    assert balance(books.reader, "customer:1") == OPENING_MINOR
    await books.stop()
