"""The unlawful statements: lawful facts first, then the one statement that must be refused, with its SQLSTATE.

Numbers I-GW-n are those of docs/invariants.md. What the grants refuse is in `gateway_grants.py`,
the tests over both in `test_gateway_refuses.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, LiteralString

import gateway_kit as kit
from gateway_kit import ADD_ATTEMPT, ADD_RETURN, CLOSE, CLOSE_UNSENT, FIRST, SECOND, SET_STATUS, TAKE_OVER, Sql

Try = tuple[LiteralString, Any]
FINAL = ("COMPLETED", "RETURNED", "REJECTED")


@dataclass(frozen=True)
class Case:
    """`prepare` writes lawful rows and gives the statement that must be refused with `code`."""

    code: str
    guard: str  # the trigger that refuses, or "" where a constraint or a missing grant does
    prepare: Callable[[Sql], Try]
    role: Literal["app", "owner", "reader"] = "app"


def attempt_after_return(sql: Sql) -> Try:
    transfer = sql.returned(sql.transfer())
    return ADD_ATTEMPT, (sql.fresh(), transfer, 1, FIRST, 1, None, None)


def two_open_attempts(sql: Sql) -> Try:
    transfer = sql.transfer()
    sql.attempt(transfer)
    return ADD_ATTEMPT, (sql.fresh(), transfer, 2, SECOND, 1, None, None)


def two_open_in_one_statement(sql: Sql) -> Try:
    transfer = sql.transfer()
    rows: LiteralString = ADD_ATTEMPT + ", (%s, %s, %s, 1000, %s, %s, 1500, %s, %s)"
    one = (sql.fresh(), transfer, 1, FIRST, 1, None, None)
    return rows, (*one, sql.fresh(), transfer, 2, FIRST, 1, None, None)


def attempt_after_posted(sql: Sql) -> Try:
    transfer = sql.transfer()
    sql.closed(transfer, "posted")
    return ADD_ATTEMPT, (sql.fresh(), transfer, 2, FIRST, 1, None, None)


def attempt_of_rejected(sql: Sql) -> Try:
    return ADD_ATTEMPT, (sql.fresh(), sql.transfer("REJECTED"), 1, FIRST, 1, None, None)


def attempt_number(number: int) -> Callable[[Sql], Try]:
    def prepare(sql: Sql) -> Try:
        transfer = sql.transfer()
        sql.closed(transfer, "burnt")
        return ADD_ATTEMPT, (sql.fresh(), transfer, number, FIRST, 1, None, None)

    return prepare


def attempt_born(token: int, outcome: str | None) -> Callable[[Sql], Try]:
    def prepare(sql: Sql) -> Try:
        values = (sql.fresh(), sql.transfer(), 1, FIRST, token, outcome, 1600 if outcome else None)
        return ADD_ATTEMPT, values

    return prepare


def closed_attempt_set(change: LiteralString, outcome: str = "burnt") -> Callable[[Sql], Try]:
    statement: LiteralString = "UPDATE attempt SET " + change + " WHERE id = %s"

    def prepare(sql: Sql) -> Try:
        return statement, (sql.closed(sql.transfer(), outcome),)

    return prepare


def open_attempt_set(change: LiteralString, *values: Any) -> Callable[[Sql], Try]:
    statement: LiteralString = "UPDATE attempt SET " + change + " WHERE id = %s"

    def prepare(sql: Sql) -> Try:
        return statement, (*values, sql.attempt(sql.transfer()))

    return prepare


def lowered_token(sql: Sql) -> Try:
    attempt = sql.attempt(sql.transfer())
    sql.app.execute(TAKE_OVER, (SECOND, attempt))
    return "UPDATE attempt SET lease_holder = %s, lease_token = 1 WHERE id = %s", (FIRST, attempt)


def not_sent_by(holder: Any, token: int, *, taken_over: bool = False) -> Callable[[Sql], Try]:
    def prepare(sql: Sql) -> Try:
        attempt = sql.attempt(sql.transfer())
        if taken_over:
            sql.app.execute(TAKE_OVER, (SECOND, attempt))
        return CLOSE_UNSENT, (holder, token, attempt)

    return prepare


def not_sent_while_taking_over(sql: Sql) -> Try:
    attempt = sql.attempt(sql.transfer())
    statement: LiteralString = "UPDATE attempt SET lease_holder = %s, lease_token = 2, outcome = 'not_sent', "
    return statement + "closed_ms = 1, closed_by = %s, closed_token = 2 WHERE id = %s", (SECOND, SECOND, attempt)


def return_with_open_attempt(sql: Sql) -> Try:
    transfer = sql.transfer()
    sql.attempt(transfer)
    return ADD_RETURN, (transfer, "RTR1", False)


def return_past_everything(sql: Sql) -> Try:
    """Past validity, past the deadline, taken over twice: an open attempt is an open attempt."""
    transfer = sql.transfer("IN_FLIGHT")
    attempt = sql.attempt(transfer)
    for holder in (SECOND, FIRST):
        sql.app.execute(TAKE_OVER, (holder, attempt))
    return ADD_RETURN, (transfer, "RTR1", False)


def return_of_posted(sql: Sql) -> Try:
    transfer = sql.transfer()
    sql.closed(transfer, "refused")
    sql.closed(transfer, "posted", 2)
    return ADD_RETURN, (transfer, "RTR1", False)


def return_of_rejected(sql: Sql) -> Try:
    return ADD_RETURN, (sql.transfer("REJECTED"), "RTR1", False)


def attempt_beside_return(sql: Sql) -> Try:
    """Both in one statement, whose parts do not see each other."""
    transfer = sql.transfer()
    statement: LiteralString = "WITH attempted AS (" + ADD_ATTEMPT + " RETURNING 1) " + ADD_RETURN
    return statement, (sql.fresh(), transfer, 1, FIRST, 1, None, None, transfer, "RTR1", True)


def second_return(sql: Sql) -> Try:
    return ADD_RETURN, (sql.returned(sql.transfer()), "RTR-other", False)


def return_set(change: LiteralString, *, acknowledged: bool = False) -> Callable[[Sql], Try]:
    statement: LiteralString = "UPDATE payment_return SET " + change + " WHERE transfer = %s"

    def prepare(sql: Sql) -> Try:
        transfer = sql.returned(sql.transfer())
        if acknowledged:
            sql.app.execute("UPDATE payment_return SET acknowledged_ms = 1 WHERE transfer = %s", (transfer,))
        return statement, (transfer,)

    return prepare


def transfer_set(change: LiteralString, status: str = "RECEIVED") -> Callable[[Sql], Try]:
    statement: LiteralString = "UPDATE transfer SET " + change + " WHERE id = %s"

    def prepare(sql: Sql) -> Try:
        return statement, (sql.transfer(status),)

    return prepare


def restored_set(change: LiteralString) -> Callable[[Sql], Try]:
    """Of a transfer that is marked as older than a restore."""
    statement: LiteralString = "UPDATE transfer SET " + change + " WHERE id = %s"

    def prepare(sql: Sql) -> Try:
        found = sql.transfer()
        sql.owner.execute("UPDATE transfer SET burn_first = true WHERE id = %s", (found,))
        return statement, (found,)

    return prepare


def status_change(before: str, after: str) -> Callable[[Sql], Try]:
    def prepare(sql: Sql) -> Try:
        return SET_STATUS, (after, sql.transfer(before))

    return prepare


def new_transfer(**other: Any) -> Callable[[Sql], Try]:
    return lambda sql: (kit.ADD_TRANSFER, sql.transfer_values(**other))


def outgoing_set(change: LiteralString) -> Callable[[Sql], Try]:
    statement: LiteralString = "UPDATE outgoing_message SET " + change + " WHERE msg_id = %s"

    def prepare(sql: Sql) -> Try:
        key = sql.fresh().hex
        sql.app.execute(kit.ADD_OUTGOING, (key,))
        sql.app.execute("UPDATE outgoing_message SET settled_ms = 5 WHERE msg_id = %s", (key,))
        return statement, (key,)

    return prepare


def filled(statement: LiteralString) -> Callable[[Sql], Try]:
    """A statement over a database in which every table has a row."""

    def prepare(sql: Sql) -> Try:
        transfer = sql.transfer()
        sql.closed(transfer, "burnt")
        sql.returned(transfer)
        key = sql.fresh().hex
        sql.app.execute(kit.ADD_MESSAGE, (key, b"m" * 32, [sql.fresh()]))
        sql.app.execute(kit.ADD_OUTGOING, (key,))
        sql.app.execute(kit.ADD_FACT, (transfer, "return"))
        sql.app.execute(kit.ADD_BREAK, (transfer,))
        sql.app.execute(kit.ADD_RECALL, (key, sql.fresh()))
        sql.app.execute(kit.ADD_KEY, (key, b"k" * 32))
        sql.app.execute("INSERT INTO core_incarnation VALUES (2, 1, 1) ON CONFLICT DO NOTHING")
        return statement, ()

    return prepare


def beside_tombstone(sql: Sql) -> Try:
    """The recall was first: the transfer under its id finds the place taken."""
    gone = sql.transfer_values(status="REJECTED", reason="tombstoned")
    sql.app.execute(kit.ADD_TRANSFER, gone)
    return kit.ADD_TRANSFER, sql.transfer_values(uetr=gone["uetr"])


def twice(statement: LiteralString, values: Callable[[Sql], Any], again: Callable[[Any], Any]) -> Callable[[Sql], Try]:
    """A row whose key is taken; `again` gives the second row's values."""

    def prepare(sql: Sql) -> Try:
        first = values(sql)
        sql.app.execute(statement, first)
        return statement, again(first)

    return prepare


def status_after(outcome: str | None, status: str) -> Callable[[Sql], Try]:
    """A transfer in flight whose attempt is open, or has this answer, and is given a status."""

    def prepare(sql: Sql) -> Try:
        transfer = sql.transfer("IN_FLIGHT")
        if outcome is None:
            sql.attempt(transfer)
        else:
            sql.closed(transfer, outcome)
        return SET_STATUS, (status, transfer)

    return prepare


def key_set(change: LiteralString) -> Callable[[Sql], Try]:
    """Change a revoked key."""
    statement: LiteralString = "UPDATE bank_key SET " + change + " WHERE kid = %s"

    def prepare(sql: Sql) -> Try:
        kid = sql.fresh().hex
        sql.app.execute(kit.ADD_KEY, (kid, b"k" * 32))
        sql.app.execute("UPDATE bank_key SET revoked_ms = 5 WHERE kid = %s", (kid,))
        return statement, (kid,)

    return prepare


def fact_set(change: LiteralString) -> Callable[[Sql], Try]:
    """Change a fact that a message carries already."""
    statement: LiteralString = "UPDATE outbox SET " + change + " WHERE transfer = %s"

    def prepare(sql: Sql) -> Try:
        transfer, first, second = sql.transfer(), sql.fresh().hex, sql.fresh().hex
        for message in (first, second):
            sql.app.execute(kit.ADD_OUTGOING, (message,))
        sql.app.execute(kit.ADD_FACT, (transfer, "final"))
        sql.app.execute("UPDATE outbox SET msg_id = %s WHERE transfer = %s", (first, transfer))
        return statement, (second, transfer) if "%s" in change else (transfer,)

    return prepare


def fact_carried(bank: str | None) -> Callable[[Sql], Try]:
    """A fact of bank-a that a message to `bank` is said to carry, or one that is not there."""

    def prepare(sql: Sql) -> Try:
        transfer, message = sql.transfer(), sql.fresh().hex
        sql.app.execute(kit.ADD_FACT, (transfer, "final"))
        if bank is not None:
            sql.app.execute(kit.ADD_OUTGOING.replace("bank-a", bank), (message,))
        return "UPDATE outbox SET msg_id = %s WHERE transfer = %s", (message, transfer)

    return prepare


RULES = {
    # I-GW-7: one attempt at a time, and none after an end
    "attempt after a return": Case("HK002", "attempt_fits", attempt_after_return),
    "two open attempts": Case("23505", "", two_open_attempts),
    "two open attempts in one statement": Case("23505", "", two_open_in_one_statement),
    "attempt after a posted one": Case("HK004", "attempt_fits", attempt_after_posted),
    "attempt of a tombstone": Case("HK004", "attempt_fits", attempt_of_rejected),
    "attempt number with a gap": Case("HK005", "attempt_fits", attempt_number(3)),
    "attempt number again": Case("23505", "", attempt_number(1)),
    "attempt born closed": Case("HK006", "attempt_fits", attempt_born(1, "not_sent")),
    "attempt born taken over": Case("HK006", "attempt_fits", attempt_born(2, None)),
    # I-GW-6: an answer is kept as it came
    "closed attempt's outcome": Case("HK007", "attempt_closed_stays", closed_attempt_set("outcome = 'posted'")),
    "closed attempt's reason": Case("HK007", "attempt_closed_stays", closed_attempt_set("reason = 'other'")),
    "closed attempt's evidence": Case("HK007", "attempt_closed_stays", closed_attempt_set("chain_seq = 8")),
    "closed attempt opened": Case(
        "HK007", "attempt_closed_stays", closed_attempt_set("outcome = NULL, closed_ms = NULL")),
    "posted attempt burnt": Case("HK007", "attempt_closed_stays", closed_attempt_set("outcome = 'burnt'", "posted")),
    "closed attempt's lease": Case("HK007", "attempt_closed_stays", closed_attempt_set("lease_until_ms = 9")),
    "attempt's number": Case("HK007", "attempt_keeps_identity", open_attempt_set("number = 2"), "owner"),
    "attempt's id": Case("HK007", "attempt_keeps_identity", open_attempt_set("id = gen_random_uuid()"), "owner"),
    "attempt's time": Case("HK007", "attempt_keeps_identity", open_attempt_set("recorded_ms = 2"), "owner"),
    # I-GW-9: not sent is believed only of the first holder
    "takeover under the same token": Case(
        "HK008", "attempt_token_rises", open_attempt_set("lease_holder = %s", SECOND)),
    "token lowered": Case("HK008", "attempt_token_rises", lowered_token),
    "not sent, says another": Case("HK009", "attempt_unsent_by_holder", not_sent_by(SECOND, 1)),
    "not sent, says nobody": Case("HK009", "attempt_unsent_by_holder", not_sent_by(None, 1)),
    "not sent, under another token": Case("HK009", "attempt_unsent_by_holder", not_sent_by(FIRST, 2)),
    "not sent, says the first after a takeover": Case(
        "HK009", "attempt_unsent_by_holder", not_sent_by(FIRST, 1, taken_over=True)),
    "not sent, says the one who took over": Case(
        "HK009", "attempt_unsent_by_holder", not_sent_by(SECOND, 2, taken_over=True)),
    "not sent, said while taking over": Case("HK009", "attempt_unsent_by_holder", not_sent_while_taking_over),
    # I-GW-2: a return needs every id dead
    "return with an open attempt": Case("HK010", "return_guard", return_with_open_attempt),
    "return with an open attempt, late": Case("HK010", "return_guard", return_past_everything),
    "return beside an attempt": Case("HK002", "attempt_fits", attempt_beside_return),
    "return of a credited transfer": Case("HK011", "return_guard", return_of_posted),
    "return of a tombstone": Case("HK011", "return_guard", return_of_rejected),
    "return's reason": Case("HK012", "return_change_guard", return_set("reason = 'other'"), "owner"),
    "return's id": Case("HK012", "return_change_guard", return_set("return_id = 'other'"), "owner"),
    "return's time": Case("HK012", "return_change_guard", return_set("decided_ms = 1"), "owner"),
    "return's burn due again": Case("HK012", "return_change_guard", return_set("burn_due = true")),
    "return acknowledged anew": Case(
        "HK012", "return_change_guard", return_set("acknowledged_ms = 2", acknowledged=True)),
    "return's acknowledgement undone": Case(
        "HK012", "return_change_guard", return_set("acknowledged_ms = NULL", acknowledged=True)),
    # I-GW-4: final is final
    **{
        f"{before} becomes {after}": Case("HK014", "transfer_end_stays", status_change(before, after))
        for before in FINAL
        for after in ("RECEIVED", "IN_FLIGHT", *FINAL)
        if after != before
    },
    # I9: a status follows from its facts
    "completed, never attempted": Case("HK020", "transfer_follows", status_change("RECEIVED", "COMPLETED")),
    "completed on a burnt attempt": Case("HK020", "transfer_follows", status_after("burnt", "COMPLETED")),
    "returned without a return": Case("HK021", "transfer_follows", status_change("IN_FLIGHT", "RETURNED")),
    **{
        f"{status} with an open attempt": Case("HK019", "transfer_follows", status_after(None, status))
        for status in ("RECEIVED", "COMPLETED", "RETURNED")
    },
    "key unrevoked": Case("HK022", "bank_key_change_guard", key_set("revoked_ms = NULL")),
    "key revoked anew": Case("HK022", "bank_key_change_guard", key_set("revoked_ms = 9")),
    "key's owner": Case("HK022", "bank_key_change_guard", key_set("bank = 'bank-b'"), "owner"),
    "fact told by another message": Case("HK023", "outbox_told_once", fact_set("msg_id = %s")),
    "fact untold": Case("HK023", "outbox_told_once", fact_set("msg_id = NULL")),
    "fact's words": Case("HK023", "outbox_told_once", fact_set("fact = '{\"a\": 1}'"), "owner"),
    # I-GW-10: older than a restore, until it has ended by all its ids and after
    "mark of a restore unset": Case("HK024", "transfer_mark_stays", restored_set("burn_first = false"), "owner"),
    "mark of a restore unset by an end": Case(
        "HK024", "transfer_mark_stays", restored_set("burn_first = false, status = 'IN_FLIGHT'"), "owner"),
    **{
        f"{status} marked as older than a restore": Case(
            "HK024", "transfer_mark_stays", transfer_set("burn_first = true", status), "owner")
        for status in ("COMPLETED", "RETURNED", "REJECTED")
    },
    "custody rejected": Case("HK015", "transfer_not_rejected", status_change("RECEIVED", "REJECTED")),
    "transfer in flight rejected": Case("HK015", "transfer_not_rejected", status_change("IN_FLIGHT", "REJECTED")),
    **{
        f"transfer begins {status}": Case("HK017", "transfer_begins", new_transfer(status=status, reason="x"))
        for status in ("COMPLETED", "RETURNED")
    },
    "in flight without an attempt": Case("HK025", "transfer_begins_attempted", new_transfer(status="IN_FLIGHT")),
    "message settled anew": Case("HK016", "outgoing_keeps_bytes", outgoing_set("settled_ms = 6")),
    "message unsettled": Case("HK016", "outgoing_keeps_bytes", outgoing_set("settled_ms = NULL")),
    "message's bytes": Case("HK016", "outgoing_keeps_bytes", outgoing_set("body = 'other'"), "owner"),
}  # fmt: skip

ORDER_COLUMNS: tuple[LiteralString, ...] = (
    "id = gen_random_uuid()", "bank = 'bank-b'", "uetr = gen_random_uuid()", "tracking = '0123456789abcdef'",
    "content_sha256 = sha256('x')", "amount_minor = 1", "currency = 'UGX'", "creditor_msisdn = '254700000000'",
    "received_ms = 1", "valid_until_ms = 2001", "return_at_ms = 3001", "deadline_ms = 4001",
)  # fmt: skip
ORDER = {
    f"transfer's {change.split()[0]}": Case("HK013", "transfer_keeps_order", transfer_set(change), "owner")
    for change in ORDER_COLUMNS
}

APPEND_ONLY: dict[str, tuple[LiteralString, LiteralString]] = {
    "message_append_only": ("DELETE FROM message", "UPDATE message SET signature = 'x'"),
    "recall_append_only": ("DELETE FROM recall", "UPDATE recall SET reason = 'x'"),
    "break_append_only": ("DELETE FROM reconciliation_break", "UPDATE reconciliation_break SET kind = 'x'"),
    "incarnation_append_only": ("DELETE FROM incarnation", "UPDATE incarnation SET reason = 'x'"),
    "transfer_no_delete": ("DELETE FROM transfer", ""),
    "attempt_no_delete": ("DELETE FROM attempt", ""),
    "return_no_delete": ("DELETE FROM payment_return", ""),
    "outgoing_no_delete": ("DELETE FROM outgoing_message", ""),
    "outbox_no_delete": ("DELETE FROM outbox", ""),
    "message_no_truncate": ("TRUNCATE message", ""),
    "transfer_no_truncate": ("TRUNCATE transfer CASCADE", ""),
    "attempt_no_truncate": ("TRUNCATE attempt", ""),
    "return_no_truncate": ("TRUNCATE payment_return", ""),
    "outgoing_no_truncate": ("TRUNCATE outgoing_message CASCADE", ""),
    "recall_no_truncate": ("TRUNCATE recall", ""),
    "bank_no_delete": ("DELETE FROM bank WHERE id = 'bank-b'", ""),
    "bank_key_no_delete": ("DELETE FROM bank_key", ""),
    "core_incarnation_no_delete": ("DELETE FROM core_incarnation", ""),
    "bank_no_truncate": ("TRUNCATE bank CASCADE", ""),
    "bank_key_no_truncate": ("TRUNCATE bank_key", ""),
    "core_incarnation_no_truncate": ("TRUNCATE core_incarnation", ""),
    "incarnation_no_truncate": ("TRUNCATE incarnation", ""),
    "outbox_no_truncate": ("TRUNCATE outbox", ""),
    "break_no_truncate": ("TRUNCATE reconciliation_break", ""),
}
HISTORY = {
    f"{statement.lower()}, by the owner": Case("HK001", guard, filled(statement), "owner")
    for guard, statements in APPEND_ONLY.items()
    for statement in statements
    if statement
}

CONSTRAINTS = {
    # two returns, two transfers, two messages under one id: unique for ever
    "two returns": Case("23505", "", second_return),
    "two returns under one RtrId": Case(
        "23505", "", twice(ADD_RETURN, lambda s: (s.transfer(), "R", True), lambda v: (*v,))),
    "two transfers under one UETR": Case(
        "23505", "", twice(kit.ADD_TRANSFER, lambda s: s.transfer_values(),
                           lambda v: {**v, "id": v["uetr"], "tracking": b"t" * 16})),
    "transfer beside a tombstone": Case("23505", "", beside_tombstone),
    "two transfers under one reference": Case(
        "23505", "", twice(kit.ADD_TRANSFER, lambda s: s.transfer_values(),
                           lambda v: {**v, "id": v["uetr"], "uetr": v["id"]})),
    "message id replayed": Case(
        "23505", "", twice(kit.ADD_MESSAGE, lambda s: ("M1", b"m" * 32, [s.fresh()]),
                           lambda v: (v[0], b"o" * 32, v[2]))),
    "final told twice": Case("23505", "", twice(kit.ADD_FACT, lambda s: (s.transfer(), "final"), lambda v: v)),
    "return told twice": Case("23505", "", twice(kit.ADD_FACT, lambda s: (s.transfer(), "return"), lambda v: v)),
    "amount of zero": Case("23514", "", new_transfer(amount=0)),
    "amount below zero": Case("23514", "", new_transfer(amount=-1)),
    "no amount": Case("23514", "", new_transfer(amount=None)),
    "currency in small letters": Case("23514", "", new_transfer(currency="kes")),
    "msisdn with a plus": Case("23514", "", new_transfer(msisdn="+254712345678")),
    "msisdn in Arabic digits": Case("23514", "", new_transfer(msisdn="٢٥٤٧١٢٣٤٥٦٧٨")),
    "no deadline": Case("23514", "", new_transfer(deadline=None)),
    "no validity": Case("23514", "", new_transfer(valid=None)),
    "no instant of return": Case("23514", "", new_transfer(return_at=None)),
    "valid until its return": Case("23514", "", new_transfer(valid=kit.RETURN_AT_MS)),
    "returned at its deadline": Case("23514", "", new_transfer(return_at=kit.DEADLINE_MS)),
    "no reference": Case("23514", "", new_transfer(tracking=None)),
    "short reference": Case("23514", "", new_transfer(tracking=b"short")),
    "rejected without a reason": Case("23514", "", new_transfer(status="REJECTED")),
    "unknown status": Case("23514", "", status_change("RECEIVED", "LOST")),
    "burnt without evidence": Case("23514", "", open_attempt_set("outcome = 'burnt', closed_ms = 1")),
    "posted without evidence": Case("23514", "", open_attempt_set("outcome = 'posted', closed_ms = 1")),
    "refused without a reason": Case(
        "23514", "", lambda s: (CLOSE, ("refused", None, FIRST, 1, s.attempt(s.transfer())))),
    "closed without an outcome": Case("23514", "", open_attempt_set("closed_ms = 1")),
    "timed out as an outcome": Case("23514", "", open_attempt_set("outcome = 'timeout', closed_ms = 1")),
    # in place of foreign keys
    "attempt of nothing": Case(
        "23503", "attempt_fits", lambda s: (ADD_ATTEMPT, (s.fresh(), s.fresh(), 1, FIRST, 1, None, None))),
    "transfer of no bank": Case("23503", "transfer_bank", new_transfer(bank="bank-z")),
    "message of no bank": Case("23503", "message_bank", lambda s: (
        kit.ADD_MESSAGE.replace("bank-a", "bank-z"), (s.fresh().hex, b"m" * 32, [s.fresh()]))),
    "message to no bank": Case(
        "23503", "outgoing_bank", lambda s: (kit.ADD_OUTGOING.replace("bank-a", "bank-z"), (s.fresh().hex,))),
    "fact of nothing": Case("23503", "outbox_fits", lambda s: (kit.ADD_FACT, (s.fresh(), "final"))),
    "fact for another bank": Case(
        "23503", "outbox_fits", lambda s: (kit.ADD_FACT.replace("bank-a", "bank-b"), (s.transfer(), "final"))),
    "fact born in no message": Case("23503", "outbox_fits", lambda s: (kit.ADD_TOLD, (s.transfer(), "gone"))),
    "fact told by no message": Case("23503", "outbox_carried", fact_carried(None)),
    "fact told by a message to another bank": Case("23503", "outbox_carried", fact_carried("bank-b")),
    "bank's id": Case(
        "HK026", "bank_keeps_id", lambda s: ("UPDATE bank SET id = 'bank-c' WHERE id = 'bank-b'", ()), "owner"),
}  # fmt: skip

CASES = {**RULES, **ORDER, **HISTORY, **CONSTRAINTS}
