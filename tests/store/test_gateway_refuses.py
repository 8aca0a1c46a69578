"""What PostgreSQL refuses whoever writes: one row a refusal, spoken in SQL, with the SQLSTATE that it must have.

Each row of `gateway_refusals.py` sets up lawful facts and tries the unlawful one. Every trigger of the schema and
every HK code of the migrations must have a row; and each row is tried again with its trigger switched off, so
that it is known to be that trigger which refuses.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from gateway_grants import grants
from gateway_kit import (
    ADD_FIRST,
    ADD_TRANSFER,
    CLOSE,
    CLOSE_UNSENT,
    FIRST,
    SECOND,
    SET_STATUS,
    TAKE_OVER,
    Sql,
    Templates,
)
from gateway_refusals import CASES as RULES
from gateway_refusals import Case, two_open_attempts
from psycopg import sql as compose

import hakika.store

CASES = {**RULES, **grants()}
MIGRATIONS = Path(hakika.store.__file__).parent / "gateway" / "migrations"
TRIGGERS: LiteralString = """
SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal
"""
APP_GRANTS: LiteralString = """
SELECT g.privilege_type, c.relname, '' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN aclexplode(c.relacl) g JOIN pg_roles r ON r.oid = g.grantee
WHERE n.nspname IN ('public', 'ops') AND r.rolname = 'hakika_gateway_app' AND g.privilege_type <> 'SELECT'
UNION ALL
SELECT g.privilege_type, c.relname, '.' || a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
CROSS JOIN aclexplode(a.attacl) g JOIN pg_roles r ON r.oid = g.grantee WHERE r.rolname = 'hakika_gateway_app'
"""
_INSERTS = (
    "message", "transfer", "attempt", "payment_return", "outgoing_message", "outbox", "recall", "reconciliation_break",
    "core_incarnation", "bank", "bank_key",
)  # fmt: skip
_UPDATES = {
    "transfer": "status status_ms reason fee_minor next_attempt_ms recalled_reason",
    "attempt": "lease_holder lease_token lease_until_ms outcome reason closed_ms closed_by closed_token "
    "core_incarnation chain_slot chain_seq chain_head",
    "payment_return": "acknowledged_ms burn_due",
    "outgoing_message": "next_send_ms tries settled_ms",
    "outbox": "msg_id",
    "core_incarnation": "redriven_ms",
    "bank": "name callback_url rule_pack",
    "bank_key": "revoked_ms",
}
APP_MAY = {f"INSERT {table}" for table in _INSERTS} | {
    f"UPDATE {table}.{column}" for table, columns in _UPDATES.items() for column in columns.split()
}


@pytest.fixture(scope="module")
def sql(templates: Templates) -> Iterator[Sql]:
    """Direct connections to one database for all rows: what is refused leaves nothing behind."""
    database = templates.copy("gateway")
    found = Sql.open(database)
    yield found
    found.close()
    templates.drop(database)


def _attempted(sql: Sql, case: Case) -> str | None:
    """The SQLSTATE with which the case's statement is refused, None when it is accepted."""
    statement, values = case.prepare(sql)
    try:
        getattr(sql, case.role).execute(statement, values or None)
    except psycopg.Error as error:
        return error.sqlstate
    finally:
        getattr(sql, case.role).rollback()
    return None


@pytest.mark.parametrize("name", CASES)
def test_refused(sql: Sql, name: str) -> None:
    """I-GW-2, I-GW-4, I-GW-6 to I-GW-9, held by PostgreSQL alone."""
    assert _attempted(sql, CASES[name]) == CASES[name].code


def _refusal(sql: Sql, role: str, statement: LiteralString, values: Any) -> str | None:
    """Code and words of the refusal; whatever is accepted is rolled back."""
    connection: psycopg.Connection[Any] = getattr(sql, role)
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement, values or None)
    except psycopg.Error as error:
        return f"{error.sqlstate} {error.diag.message_primary}"
    return None


GUARDED = [name for name, case in CASES.items() if case.guard]


def test_it_is_the_guard_that_refuses(sql: Sql) -> None:
    """With its own trigger switched off each row gets another answer: none of them passes by accident."""
    for name in GUARDED:
        case = CASES[name]
        statement, values = case.prepare(sql)
        found = sql.owner.execute(TRIGGERS + " AND t.tgname = %s", (case.guard,)).fetchone()
        assert found is not None, case.guard
        names = compose.Identifier(found[0]), compose.Identifier(case.guard)
        with_guard = _refusal(sql, case.role, statement, values)
        sql.owner.execute(compose.SQL("ALTER TABLE {} DISABLE TRIGGER {}").format(*names))
        without = _refusal(sql, case.role, statement, values)
        sql.owner.execute(compose.SQL("ALTER TABLE {} ENABLE TRIGGER {}").format(*names))
        assert without != with_guard, name


def test_every_trigger_has_a_row(sql: Sql) -> None:
    names = {name for _, name in sql.owner.execute(TRIGGERS).fetchall()}
    assert names == {case.guard for case in CASES.values()} - {""}


def test_every_code_has_a_row() -> None:
    written = set()
    for path in MIGRATIONS.glob("*.sql"):
        written |= set(re.findall(r"'(HK\d{3})'", path.read_text()))
    assert written == {case.code for case in CASES.values() if case.code.startswith("HK")} | {"HK003", "HK018"}


def test_the_application_may_write_no_more_than_listed(sql: Sql) -> None:
    """Every column and table that the application's role may change, as a list that a reviewer reads."""
    grants = sql.owner.execute(APP_GRANTS).fetchall()
    assert {f"{privilege} {table}{column}" for privilege, table, column in grants} == APP_MAY


def test_lawful_lives_are_accepted(sql: Sql) -> None:
    """The other side of every refusal: what a life needs is let through."""
    credited = sql.transfer("IN_FLIGHT")
    sql.closed(credited, "burnt")
    sql.closed(credited, "posted", 2)
    sql.app.execute(SET_STATUS, ("COMPLETED", credited))
    returned = sql.transfer("IN_FLIGHT")
    unsent = sql.attempt(returned)
    sql.app.execute(CLOSE_UNSENT, (FIRST, 1, unsent))
    taken = sql.attempt(returned, 2)
    sql.app.execute(TAKE_OVER, (SECOND, taken))
    sql.app.execute(CLOSE, ("refused", "wallet_unknown", SECOND, 2, taken))
    sql.returned(returned, burn_due=True)
    sql.app.execute("UPDATE payment_return SET burn_due = false WHERE transfer = %s", (returned,))
    sql.app.execute("UPDATE payment_return SET acknowledged_ms = 5 WHERE transfer = %s", (returned,))
    sql.app.execute(SET_STATUS, ("RETURNED", returned))
    sql.app.execute("UPDATE transfer SET recalled_reason = 'x' WHERE id = %s", (returned,))
    begun = sql.transfer_values(status="IN_FLIGHT")
    sql.app.execute("WITH custody AS (" + ADD_TRANSFER + ") " + ADD_FIRST, begun)


def test_one_open_attempt_by_trigger_too(sql: Sql) -> None:
    """I-GW-7: the trigger refuses a second open attempt even where the unique index has gone."""
    statement, values = two_open_attempts(sql)
    with sql.owner.transaction(force_rollback=True):
        sql.owner.execute("DROP INDEX attempt_one_open")
        with pytest.raises(psycopg.Error) as refused:
            sql.owner.execute(statement, values)
    assert refused.value.sqlstate == "HK003"


def test_a_transfer_has_64_numbers(sql: Sql) -> None:
    """I-GW-10: what a restore burns is all that there can be."""
    transfer = sql.transfer()
    for number in range(1, 65):
        sql.closed(transfer, "burnt", number)
    with pytest.raises(psycopg.errors.CheckViolation, match="attempt_number_max"):
        sql.attempt(transfer, 65)
