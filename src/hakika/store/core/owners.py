"""Who owns accounts: wallets by telephone number, banks' positions, the operator's own; and their statements.

Opening is idempotent by its natural key, and one statement each: a lost reply is settled by doing it again.
A statement is read by walking back from the account's last entry, in the same time for every page.
"""

from typing import Any, LiteralString, NamedTuple
from uuid import UUID

import psycopg

from hakika.store.core.batches import Connection
from hakika.store.lane import StoreFault

HOUSE: LiteralString = """
INSERT INTO account (role, currency, opened_ms, debits_must_not_exceed_credits, credits_must_not_exceed_debits)
VALUES ('fee', %(currency)s, %(now_ms)s, true, false), ('loss', %(currency)s, %(now_ms)s, false, false),
    ('settlement', %(currency)s, %(now_ms)s, false, true)
ON CONFLICT (role, currency) WHERE role IN ('fee', 'loss', 'settlement') DO NOTHING
"""
HOUSE_ACCOUNTS: LiteralString = """
SELECT role, id FROM account WHERE currency = %s AND role IN ('fee', 'loss', 'settlement')
"""
OPEN_WALLET: LiteralString = """
WITH owner AS (
    INSERT INTO wallet (msisdn, name, opened_ms) VALUES (%(msisdn)s, %(name)s, %(now_ms)s) ON CONFLICT DO NOTHING
), opened AS (
    INSERT INTO account (role, currency, ceiling_minor, opened_ms, debits_must_not_exceed_credits,
        credits_must_not_exceed_debits)
    VALUES ('wallet', %(currency)s, %(ceiling)s, %(now_ms)s, true, false) RETURNING id
)
INSERT INTO wallet_account (msisdn, currency, account) SELECT %(msisdn)s, %(currency)s, id FROM opened
"""
OPEN_POSITION: LiteralString = """
WITH opened AS (
    INSERT INTO account (role, currency, opened_ms, debits_must_not_exceed_credits, credits_must_not_exceed_debits)
    VALUES ('position', %(currency)s, %(now_ms)s, true, false) RETURNING id
)
INSERT INTO bank_position (bank, currency, account) SELECT %(bank)s, %(currency)s, id FROM opened
"""
WALLETS: LiteralString = """
SELECT msisdn, name, status, wallet_account.currency, account, debits_pending, credits_pending, debits_posted,
    credits_posted, ceiling_minor
FROM wallet JOIN wallet_account USING (msisdn) JOIN account ON account.id = wallet_account.account
WHERE msisdn = %s ORDER BY wallet_account.currency
"""
POSITIONS: LiteralString = """
SELECT bank, bank_position.currency, account, debits_pending, credits_pending, debits_posted, credits_posted
FROM bank_position JOIN account ON account.id = bank_position.account WHERE bank = %s ORDER BY 2
"""
LOCK_WALLET: LiteralString = """
SELECT id FROM account WHERE id IN (SELECT account FROM wallet_account WHERE msisdn = %s)
ORDER BY id FOR NO KEY UPDATE
"""
SET_STATUS: LiteralString = "UPDATE wallet SET status = %s WHERE msisdn = %s"
ACCOUNT: LiteralString = """
SELECT id, role, currency, debits_pending, credits_pending, debits_posted, credits_posted, last_entry,
    debits_must_not_exceed_credits, credits_must_not_exceed_debits, ceiling_minor
FROM account WHERE id = %s
"""
STATEMENT: LiteralString = """
WITH RECURSIVE walk AS (
    SELECT 1 AS line, CASE
            WHEN %(before)s::uuid IS NULL THEN (SELECT last_entry FROM account WHERE id = %(account)s)
            ELSE (
                SELECT CASE WHEN debit = %(account)s THEN debit_previous ELSE credit_previous END
                FROM entry WHERE id = %(before)s::uuid AND %(account)s IN (debit, credit)
            )
        END AS id
    UNION ALL
    SELECT line + 1, CASE WHEN entry.debit = %(account)s THEN entry.debit_previous ELSE entry.credit_previous END
    FROM walk JOIN entry USING (id) WHERE line < %(limit)s
)
SELECT entry.id, entry.head, entry.kind, entry.debit, entry.credit, entry.amount_minor, entry.currency,
    entry.pending_id, batch.at_ms, entry.slot, entry.seq,
    CASE WHEN entry.debit = %(account)s THEN debit_debits_pending ELSE credit_debits_pending END,
    CASE WHEN entry.debit = %(account)s THEN debit_credits_pending ELSE credit_credits_pending END,
    CASE WHEN entry.debit = %(account)s THEN debit_debits_posted ELSE credit_debits_posted END,
    CASE WHEN entry.debit = %(account)s THEN debit_credits_posted ELSE credit_credits_posted END,
    CASE WHEN entry.debit = %(account)s THEN entry.debit_previous ELSE entry.credit_previous END
FROM walk JOIN entry USING (id) JOIN batch USING (slot, seq) ORDER BY line
"""


class WalletRow(NamedTuple):
    """One currency of a wallet, with the balances of its account in minor units."""

    msisdn: str
    name: str
    status: str
    currency: str
    account: int
    debits_pending: int
    credits_pending: int
    debits_posted: int
    credits_posted: int
    ceiling: int | None


class PositionRow(NamedTuple):
    """One currency of what a bank has prefunded."""

    bank: str
    currency: str
    account: int
    debits_pending: int
    credits_pending: int
    debits_posted: int
    credits_posted: int


class AccountRow(NamedTuple):
    """One account with its balances and limits."""

    id: int
    role: str
    currency: str
    debits_pending: int
    credits_pending: int
    debits_posted: int
    credits_posted: int
    last_entry: UUID | None
    debits_must_not_exceed_credits: bool
    credits_must_not_exceed_debits: bool
    ceiling: int | None


class StatementLine(NamedTuple):
    """One entry seen from one account, the four balances after it included."""

    id: UUID
    head: UUID
    kind: str
    debit: int
    credit: int
    amount: int
    currency: str
    pending_id: UUID | None
    at_ms: int
    slot: int
    seq: int
    debits_pending: int
    credits_pending: int
    debits_posted: int
    credits_posted: int
    previous: UUID | None


async def open_house(connection: Connection, currency: str, now_ms: int) -> dict[str, int]:
    """The operator's accounts of a currency by role (fee, loss, settlement), opened where missing."""
    await connection.execute(HOUSE, {"currency": currency, "now_ms": now_ms})
    rows = await (await connection.execute(HOUSE_ACCOUNTS, (currency,))).fetchall()
    return dict(rows)


async def open_wallet(
    connection: Connection, msisdn: str, name: str, currency: str, ceiling: int, now_ms: int
) -> tuple[WalletRow, bool]:
    """The wallet's account in `currency` and whether it is new; the name of a known wallet stays as it is."""
    for _ in range(2):
        rows = {row.currency: row for row in await wallets(connection, msisdn)}
        if currency in rows:
            return rows[currency], False
        values = {"msisdn": msisdn, "name": name, "currency": currency, "ceiling": ceiling, "now_ms": now_ms}
        if await _insert(connection, OPEN_WALLET, values):
            rows = {row.currency: row for row in await wallets(connection, msisdn)}
            return rows[currency], True
    raise StoreFault(f"wallet in {currency} neither there nor new")


async def open_position(connection: Connection, bank: str, currency: str, now_ms: int) -> tuple[PositionRow, bool]:
    """The bank's position in `currency` and whether it is new."""
    for _ in range(2):
        rows = {row.currency: row for row in await positions(connection, bank)}
        if currency in rows:
            return rows[currency], False
        values = {"bank": bank, "currency": currency, "now_ms": now_ms}
        if await _insert(connection, OPEN_POSITION, values):
            rows = {row.currency: row for row in await positions(connection, bank)}
            return rows[currency], True
    raise StoreFault(f"position in {currency} neither there nor new")


async def wallets(connection: Connection, msisdn: str) -> list[WalletRow]:
    """Every currency of one wallet; empty when there is no such wallet."""
    return [WalletRow(*row) for row in await (await connection.execute(WALLETS, (msisdn,))).fetchall()]


async def positions(connection: Connection, bank: str) -> list[PositionRow]:
    """Every currency of one bank's position; empty when there is none."""
    return [PositionRow(*row) for row in await (await connection.execute(POSITIONS, (bank,))).fetchall()]


async def set_wallet_status(connection: Connection, msisdn: str, status: str) -> bool:
    """Change a wallet's status between two batches. False when there is no such wallet."""
    async with connection.transaction():
        await connection.execute(LOCK_WALLET, (msisdn,))
        changed = await connection.execute(SET_STATUS, (status, msisdn))
    return changed.rowcount == 1


async def account(connection: Connection, number: int) -> AccountRow | None:
    """One account, or None."""
    row = await (await connection.execute(ACCOUNT, (number,))).fetchone()
    return None if row is None else AccountRow(*row)


async def statement(connection: Connection, number: int, before: bytes | None, limit: int) -> list[StatementLine]:
    """Entries of an account, the latest first; those before entry `before` when it is given."""
    values: dict[str, Any] = {
        "account": number,
        "before": None if before is None else UUID(bytes=before),
        "limit": limit,
    }
    cursor = await connection.execute(STATEMENT, values)
    return [StatementLine(*row) for row in await cursor.fetchall()]


async def _insert(connection: Connection, statement: LiteralString, values: dict[str, Any]) -> bool:
    """False when somebody else has opened the same meanwhile."""
    try:
        await connection.execute(statement, values)
    except psycopg.errors.UniqueViolation:
        return False
    return True
