"""Statements that the roles of the gateway's database may not execute at all, whatever the rows are."""

from typing import LiteralString

from gateway_refusals import Case, filled

TABLES: tuple[LiteralString, ...] = (
    "message", "transfer", "attempt", "payment_return", "outgoing_message", "outbox", "recall", "reconciliation_break",
    "incarnation", "core_incarnation", "bank", "bank_key", "schema_migration",
)  # fmt: skip
FORBIDDEN: tuple[LiteralString, ...] = (
    "UPDATE transfer SET amount_minor = 1", "UPDATE transfer SET deadline_ms = 9",
    "UPDATE transfer SET bank = 'bank-b'", "UPDATE transfer SET burn_first = true",
    "UPDATE transfer SET creditor_msisdn = '254700000000'", "UPDATE transfer SET content_sha256 = NULL",
    "UPDATE attempt SET id = gen_random_uuid()", "UPDATE attempt SET number = 9", "UPDATE attempt SET recorded_ms = 1",
    "UPDATE payment_return SET reason = 'x'", "UPDATE payment_return SET return_id = 'x'",
    "UPDATE outgoing_message SET body = 'x'", "UPDATE outgoing_message SET bank = 'bank-b'",
    "UPDATE outbox SET fact = '{}'", "UPDATE outbox SET kind = 'held'", "UPDATE message SET body = 'x'",
    "UPDATE recall SET reason = 'x'", "UPDATE reconciliation_break SET kind = 'x'",
    "UPDATE bank_key SET public_key = decode(repeat('00', 32), 'hex')", "UPDATE bank_key SET bank = 'bank-b'",
    "UPDATE bank SET id = 'bank-c'", "UPDATE core_incarnation SET number = 9",
    "INSERT INTO incarnation VALUES (2, 1, 'x')", "INSERT INTO schema_migration VALUES (9, 'x', 'x')",
    "ALTER TABLE attempt DISABLE TRIGGER attempt_fits", "DROP TRIGGER attempt_fits ON attempt", "DROP TABLE outbox",
    "ALTER TABLE transfer ADD COLUMN x int", "CREATE INDEX x ON transfer (bank)",
    "SET session_replication_role = 'replica'",
    "SET ROLE hakika_gateway_owner", "SELECT * FROM ops.limbo", "COPY transfer TO PROGRAM 'cat'",
    "SELECT pg_read_file('/etc/hostname')", "SELECT setval('outbox_seq_seq', 1)",
    "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    )  # fmt: skip


def grants() -> dict[str, Case]:
    """One case for each of them."""
    cases = {statement: Case("42501", "", filled(statement)) for statement in FORBIDDEN}
    for table in TABLES:
        for words in ("DELETE FROM ", "TRUNCATE "):
            statement: LiteralString = words + table
            cases[statement] = Case("42501", "", filled(statement))
    writes: tuple[LiteralString, ...] = ("UPDATE transfer SET status = 'RETURNED'", "DELETE FROM outbox")
    for write in writes:
        insisting: LiteralString = "BEGIN READ WRITE; " + write
        cases[f"{write}, by the reader"] = Case("25006", "", filled(write), "reader")
        cases[f"{write}, by a reader who insists"] = Case("42501", "", filled(insisting), "reader")
    return cases
