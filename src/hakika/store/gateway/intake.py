"""Rows of intake: messages and transfers of banks, looked up by id and inserted; nothing is decided here.

Both look-ups run before both inserts in one transaction. Two writers that met the same fresh id collide on
the unique index: the second waits for the first and gets a unique violation, and its whole batch is repeated.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from psycopg import AsyncConnection

from hakika.store.arrays import Uuids, byteas, ints, texts, uuids
from hakika.store.gateway.transfers import ADD_ATTEMPTS, AttemptRow, attempt_columns

Connection = AsyncConnection[Any]


class MessageRow(msgspec.Struct, frozen=True):
    """One accepted pacs.008; `received_ms` and `receipt_kid` are what its custody receipt is made from."""

    bank: str
    msg_id: str
    body_sha256: bytes
    body: bytes
    signature: str
    received_ms: int
    receipt_kid: str
    uetrs: tuple[UUID, ...]


class CustodyRow(msgspec.Struct, frozen=True):
    """What a receipt and a status report say about one transfer; immutable columns only."""

    bank: str
    uetr: UUID
    content_sha256: bytes | None
    tracking: bytes | None
    end_to_end_id: str | None
    instruction_id: str | None
    transaction_id: str | None
    received_ms: int
    deadline_ms: int | None
    rejected: bool
    reason: str | None


class NewTransfer(msgspec.Struct, frozen=True):
    """A transfer on its way into custody; field order is the column order of the insert."""

    id: UUID
    bank: str
    uetr: UUID
    tracking: bytes | None  # None for what is refused: there is nothing to follow
    content_sha256: bytes
    msg_id: str
    end_to_end_id: str
    instruction_id: str | None
    transaction_id: str | None
    amount_minor: int
    currency: str
    debtor_name: str
    debtor_phone: str | None
    debtor_email: str | None
    debtor_language: str | None
    creditor_name: str
    creditor_msisdn: str
    received_ms: int
    valid_until_ms: int
    return_at_ms: int
    deadline_ms: int
    status: str = "RECEIVED"
    reason: str | None = None
    burn_first: bool = False  # may be older than a restore of this database

    def custody(self) -> CustodyRow:
        """The same transfer as a receipt sees it."""
        return CustodyRow(
            self.bank, self.uetr, self.content_sha256, self.tracking, self.end_to_end_id, self.instruction_id,
            self.transaction_id, self.received_ms, self.deadline_ms, self.status == "REJECTED", self.reason,
        )  # fmt: skip


_KNOWN_MESSAGES = """
SELECT m.bank, m.msg_id, m.body_sha256, m.received_ms, m.receipt_kid
FROM unnest(%s, %s) AS asked (bank, msg_id)
JOIN message m ON m.bank = asked.bank AND m.msg_id = asked.msg_id
"""

_KNOWN_TRANSFERS = """
SELECT t.bank, t.uetr, t.content_sha256, t.tracking, t.end_to_end_id, t.instruction_id, t.transaction_id,
       t.received_ms, t.deadline_ms, t.status = 'REJECTED', t.reason
FROM unnest(%s, %s) AS asked (bank, uetr)
JOIN transfer t ON t.bank = asked.bank AND t.uetr = asked.uetr
"""

_INSERT_MESSAGES = """
INSERT INTO message (bank, msg_id, body_sha256, body, signature, received_ms, receipt_kid, uetrs)
SELECT unnest(%s), unnest(%s), unnest(%s), unnest(%s), unnest(%s), unnest(%s), unnest(%s), unnest(%s)::uuid[]
"""

_INSERT_TRANSFERS = """
INSERT INTO transfer (id, bank, uetr, tracking, content_sha256, msg_id, end_to_end_id, instruction_id,
    transaction_id, amount_minor, currency, debtor_name, debtor_phone, debtor_email, debtor_language,
    creditor_name, creditor_msisdn, received_ms, valid_until_ms, return_at_ms, deadline_ms, status, reason, burn_first,
    status_ms)
SELECT *, received_ms FROM (
    SELECT unnest(%s), unnest(%s), unnest(%s), unnest(%s), unnest(%s), unnest(%s), unnest(%s), unnest(%s), unnest(%s),
        unnest(%s), unnest(%s), unnest(%s), unnest(%s), unnest(%s), unnest(%s), unnest(%s), unnest(%s),
        unnest(%s) AS received_ms, unnest(%s), unnest(%s), unnest(%s), unnest(%s), unnest(%s), unnest(%s) <> 0
) AS fresh
"""

# In one statement: what is in flight has its attempt when it ends.
_INSERT_BEGUN = f"WITH custody AS ({_INSERT_TRANSFERS}) {ADD_ATTEMPTS}"

_INSERT_TOMBSTONE = """
INSERT INTO transfer (id, bank, uetr, received_ms, status, status_ms, reason)
VALUES (%s, %s, %s, %s, 'REJECTED', %s, %s) ON CONFLICT (bank, uetr) DO NOTHING
"""

_INSERT_RECALL = """
INSERT INTO recall (bank, cancellation_id, uetr, assignment_id, reason, asked_ms)
VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""

_FIND = "SELECT id, status FROM transfer WHERE bank = %s AND uetr = %s"


async def known(
    conn: Connection, messages: list[tuple[str, str]], transfers: list[tuple[str, UUID]]
) -> tuple[dict[tuple[str, str], tuple[bytes, int, str]], dict[tuple[str, UUID], CustodyRow]]:
    """What is stored under these ids, asked for together.

    By (bank, msg_id) the hash of the body, received_ms and receipt kid of messages taken before; by (bank, uetr) the
    transfers.
    """
    banks, msg_ids = texts([key[0] for key in messages]), texts([key[1] for key in messages])
    before = await conn.execute(_KNOWN_MESSAGES, (banks, msg_ids))
    owners, uetrs = texts([key[0] for key in transfers]), _keys([key[1] for key in transfers])
    stored = await conn.execute(_KNOWN_TRANSFERS, (owners, uetrs))
    return (
        {(r[0], r[1]): (bytes(r[2]), r[3], r[4]) for r in await before.fetchall()},
        {(row.bank, row.uetr): row for row in (CustodyRow(*r) for r in await stored.fetchall())},
    )


async def insert(
    conn: Connection, messages: list[MessageRow], transfers: list[NewTransfer], attempts: Sequence[AttemptRow] = ()
) -> None:
    """Insert all rows; psycopg's UniqueViolation means that another writer was first: repeat the batch.

    `attempts` are the first ones of some of these transfers, which are in flight from the start.
    """
    if transfers:
        begun = {row[1] for row in attempts}
        columns = {name: [getattr(transfer, name) for transfer in transfers] for name in _PACKED}
        if begun:
            statuses = zip(columns["id"], columns["status"], strict=True)
            columns["status"] = ["IN_FLIGHT" if key in begun else status for key, status in statuses]
        packed = [pack(column) for pack, column in zip(_PACKED.values(), columns.values(), strict=True)]
        if begun:
            await conn.execute(_INSERT_BEGUN, (*packed, *attempt_columns(attempts)))
        else:
            await conn.execute(_INSERT_TRANSFERS, packed)
    if messages:
        await conn.execute(_INSERT_MESSAGES, _message_columns(messages))


def _message_columns(messages: list[MessageRow]) -> tuple[Any, ...]:
    banks, msg_ids, hashes, bodies, signatures, received, kids, uetrs = zip(
        *((m.bank, m.msg_id, m.body_sha256, m.body, m.signature, m.received_ms, m.receipt_kid, m.uetrs)
          for m in messages), strict=True
    )  # fmt: skip
    carried = [f"{{{','.join(map(str, each))}}}" for each in uetrs]
    return (
        texts(banks), texts(msg_ids), byteas(hashes), byteas(bodies), texts(signatures), ints(received), texts(kids),
        texts(carried),
    )  # fmt: skip


def _keys(values: Sequence[UUID]) -> Uuids:
    return uuids([value.bytes for value in values])


# How each column of NewTransfer goes to the server, in its order
_PACKED: Mapping[str, Callable[[Any], Any]] = {
    "id": _keys,
    "bank": texts,
    "uetr": _keys,
    "tracking": byteas,
    "content_sha256": byteas,
    "msg_id": texts,
    "end_to_end_id": texts,
    "instruction_id": texts,
    "transaction_id": texts,
    "amount_minor": ints,
    "currency": texts,
    "debtor_name": texts,
    "debtor_phone": texts,
    "debtor_email": texts,
    "debtor_language": texts,
    "creditor_name": texts,
    "creditor_msisdn": texts,
    "received_ms": ints,
    "valid_until_ms": ints,
    "return_at_ms": ints,
    "deadline_ms": ints,
    "status": texts,
    "reason": texts,
    "burn_first": ints,
}


async def insert_recall(
    conn: Connection,
    *,
    bank: str,
    cancellation_id: str,
    uetr: UUID,
    assignment_id: str,
    reason: str,
    now_ms: int,
) -> None:
    """Keep a cancellation request; the same one twice is one."""
    await conn.execute(_INSERT_RECALL, (bank, cancellation_id, uetr, assignment_id, reason, now_ms))


async def insert_tombstone(
    conn: Connection, *, transfer_id: UUID, bank: str, uetr: UUID, reason: str, now_ms: int
) -> None:
    """Refuse whatever may arrive under this id later; waits for an intake of it that is in the middle."""
    await conn.execute(_INSERT_TOMBSTONE, (transfer_id, bank, uetr, now_ms, now_ms, reason))


async def find(conn: Connection, bank: str, uetr: UUID) -> tuple[UUID, str] | None:
    """(transfer id, status) under (bank, uetr)."""
    row = await (await conn.execute(_FIND, (bank, uetr))).fetchone()
    return (row[0], row[1]) if row else None
