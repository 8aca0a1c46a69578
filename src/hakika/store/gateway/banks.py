"""Rows of banks and their keys."""

from typing import Any, NamedTuple

from psycopg import AsyncConnection

Connection = AsyncConnection[Any]


class BankRow(NamedTuple):
    """A row of `bank`."""

    id: str
    name: str
    callback_url: str
    rule_pack: str


class KeyRow(NamedTuple):
    """A key in force."""

    kid: str
    bank: str
    public_key: bytes


_BANKS = "SELECT id, name, callback_url, rule_pack FROM bank ORDER BY id"
_KEYS = "SELECT kid, bank, public_key FROM bank_key WHERE revoked_ms IS NULL"
_UPSERT_BANK = """
INSERT INTO bank (id, name, callback_url, rule_pack) VALUES (%s, %s, %s, %s)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, callback_url = excluded.callback_url,
    rule_pack = excluded.rule_pack
WHERE (bank.name, bank.callback_url, bank.rule_pack) IS DISTINCT FROM
      (excluded.name, excluded.callback_url, excluded.rule_pack)
"""
_ADD_KEY = "INSERT INTO bank_key (kid, bank, public_key, added_ms) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"


async def read_all(conn: Connection) -> tuple[list[BankRow], list[KeyRow]]:
    """All banks and every key in force."""
    banks = await (await conn.execute(_BANKS)).fetchall()
    keys = await (await conn.execute(_KEYS)).fetchall()
    return [BankRow(*r) for r in banks], [KeyRow(r[0], r[1], bytes(r[2])) for r in keys]


async def register(conn: Connection, bank: BankRow, key: KeyRow, now_ms: int) -> None:
    """Add or update a bank, and add its key; a key id is never given another key."""
    await conn.execute(_UPSERT_BANK, tuple(bank))
    await conn.execute(_ADD_KEY, (key.kid, key.bank, key.public_key, now_ms))
    row = await (await conn.execute("SELECT bank, public_key FROM bank_key WHERE kid = %s", (key.kid,))).fetchone()
    if row is None or (row[0], bytes(row[1])) != (key.bank, key.public_key):
        raise ValueError(f"bank key {key.kid}: another key is registered under this id; use a new kid")
