"""What PostgreSQL refuses, whoever asks: the application by its grants, the owner by triggers, all by constraints.

A statement that would break the books is sent as it is, past all Python, and must fail under the constraint's
name.
"""

from collections.abc import Iterator
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from core_kit import an_id, bench, burn, credit
from psycopg import sql

from hakika.store.server_roles import RoleAccess

ONE, TWO = 5, 6  # the wallets' accounts, opened after fee, loss, settlement and the position
SLOT = 9
ZERO = bytes(32)


@pytest.fixture
async def books(core_database: RoleAccess) -> RoleAccess:
    """A database with postings, a refusal, a burn and something pending in it."""
    async with bench(core_database, funding=10**9) as core:
        assert list(core.wallets.values()) == [ONE, TWO]
        await core.answers(credit("a"), burn("b"), credit("c", valid_until_ms=0), credit("d", 500_00, 2))
        await core.rows(
            "INSERT INTO anchor VALUES (1, DEFAULT, 1, 1, '{}', '{}', '{}', %s, %s) RETURNING 1", ZERO, ZERO
        )
    return core_database


FORBIDDEN_TO_APP: list[LiteralString] = [
    "UPDATE entry SET amount_minor = 1",
    "DELETE FROM entry",
    "TRUNCATE entry",
    "UPDATE batch SET hash = previous_hash",
    "DELETE FROM batch",
    "TRUNCATE batch CASCADE",
    "DELETE FROM anchor",
    "UPDATE anchor SET at_ms = 0",
    "DELETE FROM account",
    "UPDATE account SET debits_must_not_exceed_credits = false",
    "UPDATE account SET ceiling_minor = NULL",
    "UPDATE account SET currency = 'UGX'",
    "UPDATE wallet SET msisdn = '254799999999'",
    "DELETE FROM wallet",
    "UPDATE wallet_account SET account = 6",
    "UPDATE bank_position SET account = 5",
    "INSERT INTO incarnation VALUES (2, 0, 'mine', 0)",
    "UPDATE incarnation SET reason = 'mine'",
    "INSERT INTO writer_slot VALUES (60)",
    "ALTER TABLE entry DISABLE TRIGGER ALL",
    "DROP TRIGGER entry_append_only ON entry",
    "CREATE TABLE mine (x int)",
    "SET session_replication_role = replica",
]


@pytest.mark.parametrize("statement", FORBIDDEN_TO_APP)
async def test_the_application_may_not(books: RoleAccess, statement: LiteralString) -> None:
    with psycopg.connect(books.app_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


@pytest.mark.parametrize(
    "statement", ["INSERT INTO wallet VALUES ('254700000009', 'x', 'open', 0)", "DELETE FROM entry"]
)
async def test_the_reader_only_reads(books: RoleAccess, statement: LiteralString) -> None:
    with psycopg.connect(books.reader_url) as connection:
        assert connection.execute("SELECT count(*) FROM entry").fetchone() == (7,)
        connection.commit()
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)):
            connection.execute(statement)


REFUSED_TO_OWNER: dict[LiteralString, str] = {
    "UPDATE entry SET amount_minor = amount_minor + 1": "entry_append_only",
    "UPDATE entry SET refusal = NULL WHERE refusal IS NOT NULL": "entry_append_only",
    "DELETE FROM entry WHERE kind = 'burn'": "entry_append_only",
    "TRUNCATE entry": "entry_append_only",
    "UPDATE batch SET at_ms = 0": "batch_append_only",
    "DELETE FROM batch": "batch_append_only",
    "TRUNCATE batch": "batch_append_only",
    "UPDATE anchor SET at_ms = 0": "anchor_append_only",
    "DELETE FROM anchor": "anchor_append_only",
    "TRUNCATE anchor": "anchor_append_only",
    "DELETE FROM account": "account_append_only",
    "TRUNCATE account CASCADE": "account_append_only",
    "DELETE FROM wallet": "wallet_append_only",
    "UPDATE wallet_account SET account = 6": "wallet_account_append_only",
    "DELETE FROM bank_position": "bank_position_append_only",
    "DELETE FROM incarnation": "incarnation_append_only",
    "UPDATE incarnation SET redriven_ms = NULL": "incarnation_append_only",
    "UPDATE incarnation SET reason = 'none'": "incarnation_append_only",
    "UPDATE account SET credits_posted = credits_posted + 1 WHERE id = 5": "account_balanced",
    "UPDATE account SET credits_posted = credits_posted + 1, debits_posted = debits_posted + 1 WHERE id = 5":
        "account_follows_entry",
    "UPDATE account SET credits_posted = credits_posted + CASE id WHEN 5 THEN 1 ELSE -1 END WHERE id IN (5, 6)":
        "account_follows_entry",
    "UPDATE account SET last_entry = NULL WHERE id = 5": "account_follows_entry",
    "INSERT INTO account (role, currency, opened_ms, debits_must_not_exceed_credits, credits_must_not_exceed_debits, "
    "credits_posted) VALUES ('wallet', 'KES', 0, true, false, 5)": "account_opens_empty",
    "INSERT INTO account (role, currency, opened_ms, debits_must_not_exceed_credits, credits_must_not_exceed_debits) "
    "VALUES ('fee', 'KES', 0, true, false)": "account_house",
}  # fmt: skip


@pytest.mark.parametrize("statement", REFUSED_TO_OWNER)
async def test_even_the_owner_is_refused(books: RoleAccess, statement: LiteralString) -> None:
    with psycopg.connect(books.owner_url) as connection, pytest.raises(psycopg.errors.IntegrityError) as refused:
        connection.execute(statement)
    assert refused.value.diag.constraint_name == REFUSED_TO_OWNER[statement]


async def test_replica_mode_does_not_pass_by_the_triggers(books: RoleAccess, pg_server: Any) -> None:
    with psycopg.connect(pg_server.url(database=books.database)) as connection:
        connection.execute("SET session_replication_role = replica")
        with pytest.raises(psycopg.errors.IntegrityError):
            connection.execute("DELETE FROM entry")


class Raw:
    """Inserts a batch and its entries as told, in one transaction of the application."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def batch(self, **changes: Any) -> None:
        values = {
            "slot": SLOT, "seq": 1, "at_ms": 1, "incarnation": 1, "entries": 1, "previous_hash": ZERO,
            "hash": b"h" * 32,
        } | changes  # fmt: skip
        self._insert("batch", [values])

    def entries(self, *all_values: dict[str, Any]) -> None:
        self._insert("entry", [{"slot": SLOT, "seq": 1, **values} for values in all_values])

    def account(self, number: int, entry: str, **balances: int) -> None:
        columns = sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(c), v) for c, v in balances.items())
        statement = sql.SQL("UPDATE account SET last_entry = {}, {} WHERE id = {}")
        self.connection.execute(statement.format(uuid_of(entry), columns, number))

    def _insert(self, table: str, rows: list[dict[str, Any]]) -> None:
        names = list(dict.fromkeys(name for row in rows for name in row))
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        values = sql.SQL(", ").join(
            sql.SQL("({})").format(sql.SQL(", ").join(sql.Literal(row.get(name)) for name in names)) for row in rows
        )
        statement = sql.SQL("INSERT INTO {} ({}) VALUES {}")
        self.connection.execute(statement.format(sql.Identifier(table), columns, values))


def uuid_of(name: str) -> UUID:
    return UUID(bytes=an_id(name))


@pytest.fixture
def raw(books: RoleAccess) -> Iterator[Raw]:
    with psycopg.connect(books.app_url) as connection:
        yield Raw(connection)
        connection.rollback()


def burnt(name: str = "x", **changes: Any) -> dict[str, Any]:
    """A burn's row."""
    row = {"id": uuid_of(name), "head": uuid_of(name), "member": 0, "members": 1, "position": 0, "fee_minor": 0}
    return row | {"kind": "burn"} | changes


def posted(name: str = "x", **changes: Any) -> dict[str, Any]:
    """A posting of 10 from wallet 1 to wallet 2, with every balance after it as it must be."""
    after = (0, 0, 10, 995_00, 0, 0, 0, 495_10)
    sides = [f"{side}_{kind}_{state}" for side in ("debit", "credit") for state in ("pending", "posted") for kind in
             ("debits", "credits")]  # fmt: skip
    row = burnt(name, kind="posted", debit=ONE, credit=TWO, amount_minor=10, currency="KES")
    return row | dict(zip(sides, after, strict=True)) | changes


def refused(name: str = "x", **changes: Any) -> dict[str, Any]:
    return burnt(name, kind="posted", amount_minor=10, currency="KES", refusal="position_short") | changes


def test_the_raw_rows_are_sound(raw: Raw) -> None:
    """What the cases below break is accepted as long as it is whole."""
    raw.batch(entries=3)
    raw.entries(posted("p"), refused("r", position=1), burnt("b2", position=2))
    raw.connection.execute(
        """UPDATE account SET last_entry = %s, debits_posted = CASE id WHEN 5 THEN 10 ELSE 0 END,
            credits_posted = CASE id WHEN 5 THEN 99500 ELSE 49510 END WHERE id IN (5, 6)""",
        (uuid_of("p"),),
    )


def test_one_side_of_an_entry_alone_is_refused(raw: Raw) -> None:
    raw.batch()
    raw.entries(posted("p"))
    with pytest.raises(psycopg.errors.IntegrityError) as refused:
        raw.account(ONE, "p", debits_posted=10)
    assert refused.value.diag.constraint_name == "account_balanced"


ENTRIES: dict[str, tuple[dict[str, Any], str]] = {
    "amount of zero": (posted(amount_minor=0), "entry_amount_minor_check"),
    "negative amount": (posted(amount_minor=-10), "entry_amount_minor_check"),
    "one account on both sides": (posted(credit=ONE), "entry_shape"),
    "no credit account": (posted(credit=None), "entry_shape"),
    "balance left out": (posted(credit_credits_posted=None), "entry_shape"),
    "negative balance after": (posted(debit_debits_pending=-1), "entry_balances_not_negative"),
    "known id": (posted(id=uuid_of("a"), head=uuid_of("a")), "entry_pkey"),
    "refused id": (posted(id=uuid_of("c"), head=uuid_of("c")), "entry_pkey"),
    "burnt id": (posted(id=uuid_of("b"), head=uuid_of("b")), "entry_pkey"),
    "burn of a posted id": (burnt(id=uuid_of("a"), head=uuid_of("a")), "entry_pkey"),
    "account that is not there": (posted(credit=999), "entry_accounts"),
    "currency of neither account": (posted(currency="UGX"), "entry_accounts"),
    "burn that moves money": (posted(kind="burn"), "entry_shape"),
    "refusal with balances": (posted(refusal="x"), "entry_shape"),
    "refusal with a fee": (refused(fee_minor=1), "entry_shape"),
    "post without its pending entry": (posted(kind="post"), "entry_shape"),
    "post of nothing": (posted(kind="post", pending_id=uuid_of("nothing")), "entry_resolves_pending"),
    "post of what is not pending": (posted(kind="post", pending_id=uuid_of("d")), "entry_resolves_pending"),
    "member beyond its set": (posted(member=1), "entry_place"),
    "head that is not the first": (posted(head=uuid_of("other")), "entry_place"),
    "unknown kind": (posted(kind="gift"), "entry_kind_check"),
    "more entries than the batch says": (posted(seq=99), "entry_in_its_batch"),
    "an entry into an old batch": (posted(slot=0, seq=1), "entry_in_its_batch"),
}


@pytest.mark.parametrize("case", ENTRIES)
def test_an_entry_that_cannot_be_true_is_refused(raw: Raw, case: str) -> None:
    values, constraint = ENTRIES[case]
    raw.batch()
    with pytest.raises(psycopg.errors.IntegrityError) as refused:
        raw.entries(values)
    assert refused.value.diag.constraint_name == constraint


def test_a_pending_entry_is_resolved_once(raw: Raw) -> None:
    raw.batch(entries=3)
    pending = posted("p", kind="pending")
    resolutions = [posted(n, kind="post", pending_id=uuid_of("p"), position=i) for i, n in ((1, "one"), (2, "two"))]
    with pytest.raises(psycopg.errors.UniqueViolation) as refused:
        raw.entries(pending, *resolutions)
    assert refused.value.diag.constraint_name == "entry_resolved_once"


BATCHES: dict[str, tuple[dict[str, Any], str]] = {
    "gap in the chain": ({"seq": 3, "previous_hash": b"h" * 32}, "batch_follows"),
    "fork": ({"slot": 0, "seq": 2, "previous_hash": b"z" * 32}, "batch_pkey"),
    "wrong link": ({"seq": 2, "previous_hash": b"z" * 32}, "batch_follows"),
    "first that follows something": ({"seq": 1, "previous_hash": b"z" * 32}, "batch_first"),
    "sequence of zero": ({"seq": 0}, "batch_seq_check"),
    "no slot": ({"slot": 40}, "batch_slot_fkey"),
    "no incarnation": ({"incarnation": 7}, "batch_incarnation_fkey"),
    "empty batch": ({"entries": 0}, "batch_entries_check"),
    "short hash": ({"hash": b"h"}, "batch_hash_check"),
}


@pytest.mark.parametrize("case", BATCHES)
def test_a_batch_out_of_its_chain_is_refused(raw: Raw, case: str) -> None:
    values, constraint = BATCHES[case]
    if case in ("gap in the chain", "wrong link"):
        raw.batch()
    with pytest.raises(psycopg.errors.IntegrityError) as refused:
        raw.batch(**values)
    assert refused.value.diag.constraint_name == constraint


ACCOUNTS: dict[str, tuple[dict[str, Any], str]] = {
    "debits beyond credits": ({"debits_posted": 995_01}, "account_debits_within_credits"),
    "reserved beyond credits": ({"debits_pending": 995_01}, "account_debits_within_credits"),
    "above the ceiling": ({"credits_posted": 500_000_01}, "account_within_ceiling"),
    "negative": ({"credits_pending": -1}, "account_credits_pending_check"),
}


@pytest.mark.parametrize("case", ACCOUNTS)
def test_balances_that_may_not_be_are_refused(raw: Raw, case: str) -> None:
    values, constraint = ACCOUNTS[case]
    with pytest.raises(psycopg.errors.IntegrityError) as refused:
        raw.account(ONE, "a", **values)
    assert refused.value.diag.constraint_name == constraint


def test_an_anchor_out_of_its_chain_is_refused(raw: Raw) -> None:
    statement = "INSERT INTO anchor VALUES (%s, DEFAULT, 1, 1, %s, '{}', '{}', %s, %s)"
    for values, constraint in (
        ((3, [], ZERO, ZERO), "anchor_follows"),
        ((2, [], b"z" * 32, ZERO), "anchor_follows"),
        ((1, [], ZERO, ZERO), "anchor_pkey"),
        ((2, [1], ZERO, ZERO), "anchor_heads"),
    ):
        with pytest.raises(psycopg.errors.IntegrityError) as refused:
            raw.connection.execute(statement, values)
        assert refused.value.diag.constraint_name == constraint
        raw.connection.rollback()
