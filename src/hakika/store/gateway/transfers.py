"""A transfer's facts, loaded under lock and written back as decided; set-based, one statement a table.

`load` locks the transfers in id order, so that two writers never wait for each other in a circle, and reads
attempts and return after the locks. `write` stores the effects of all decisions of a batch; the order of its
statements lets PostgreSQL check each: attempts are closed before a return is inserted, and a status is written
when the facts that it follows from are there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from hakika.domain.deadlines import Deadlines
from hakika.domain.reasons import Reason
from hakika.domain.transfer import Attempt, Outcome, Return, Transfer

Connection = AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A transfer's life with the columns that messages about it need."""

    transfer: Transfer
    bank: str
    uetr: UUID
    status: str
    creditor_msisdn: str | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where the core's hash chain holds an answer."""

    incarnation: int
    slot: int
    seq: int
    head: bytes


@dataclass(slots=True)
class Changes:
    """What one batch writes; each list is one statement."""

    attempts: list[tuple[UUID, UUID, int, int, UUID, int]]  # id, transfer, number, recorded, holder, lease until
    closed: list[tuple[UUID, str, str | None, int, UUID, int | None, Evidence | None]]
    statuses: list[tuple[UUID, str, int, str | None, int | None, int, str | None]]
    returns: list[tuple[UUID, str, str, int, bool]]
    acknowledged: list[tuple[UUID, int]]
    burn_done: list[UUID]
    outbox: list[tuple[UUID, str, str, dict[str, Any], int]]
    breaks: list[tuple[UUID, str, dict[str, Any], int]]

    @classmethod
    def none(cls) -> "Changes":
        """Nothing to write yet."""
        return cls([], [], [], [], [], [], [], [])


_LOCK = """
SELECT id, bank, uetr, status, valid_until_ms, return_at_ms, deadline_ms, recalled_reason, next_attempt_ms,
    burn_first, creditor_msisdn
FROM transfer WHERE id = ANY(%s::uuid[]) ORDER BY id FOR NO KEY UPDATE
"""
_ATTEMPTS = """
SELECT transfer, number, outcome, reason, lease_token FROM attempt
WHERE transfer = ANY(%s::uuid[]) ORDER BY transfer, number
"""
_RETURNS = """
SELECT transfer, reason, acknowledged_ms IS NOT NULL, burn_due FROM payment_return
WHERE transfer = ANY(%s::uuid[])
"""


async def load(conn: Connection, ids: Iterable[UUID]) -> dict[UUID, Loaded]:
    """The named transfers, locked until the transaction ends; unknown ids are left out."""
    wanted = sorted(set(ids))
    locked = await conn.execute(_LOCK, (wanted,))
    attempts = await conn.execute(_ATTEMPTS, (wanted,))
    returns = await conn.execute(_RETURNS, (wanted,))
    rows = await locked.fetchall()
    by_transfer: dict[UUID, list[Attempt]] = {}
    for owner, number, outcome, reason, token in await attempts.fetchall():
        attempt = Attempt(number, Outcome(outcome) if outcome else None, Reason(reason) if reason else None, token)
        by_transfer.setdefault(owner, []).append(attempt)
    returned = {r[0]: Return(Reason(r[1]), r[2], r[3]) for r in await returns.fetchall()}
    loaded = {}
    for key, bank, uetr, status, valid_until, return_at, deadline, recalled, next_attempt, burn_first, msisdn in rows:
        transfer = Transfer(
            id=key,
            deadlines=Deadlines(valid_until or 0, return_at or 0, deadline or 0),
            attempts=tuple(by_transfer.get(key, ())),
            returned=returned.get(key),
            rejected=status == "REJECTED",
            recalled=Reason(recalled) if recalled else None,
            next_attempt_ms=next_attempt,
            burn_first=burn_first,
        )
        loaded[key] = Loaded(transfer, bank, uetr, status, msisdn)
    return loaded


_ADD_ATTEMPTS = """
INSERT INTO attempt (id, transfer, number, recorded_ms, lease_holder, lease_until_ms)
SELECT unnest(%s::uuid[]), unnest(%s::uuid[]), unnest(%s::integer[]), unnest(%s::bigint[]), unnest(%s::uuid[]),
    unnest(%s::bigint[])
"""
_CLOSE_ATTEMPTS = """
UPDATE attempt a SET outcome = c.outcome, reason = c.reason, closed_ms = c.closed_ms, closed_by = c.closed_by,
    closed_token = coalesce(c.closed_token, a.lease_token), core_incarnation = c.incarnation,
    chain_slot = c.slot, chain_seq = c.seq, chain_head = c.head
FROM (SELECT unnest(%s::uuid[]) AS id, unnest(%s::text[]) AS outcome, unnest(%s::text[]) AS reason,
        unnest(%s::bigint[]) AS closed_ms, unnest(%s::uuid[]) AS closed_by, unnest(%s::integer[]) AS closed_token,
        unnest(%s::integer[]) AS incarnation, unnest(%s::integer[]) AS slot, unnest(%s::bigint[]) AS seq,
        unnest(%s::bytea[]) AS head) AS c
WHERE a.id = c.id
"""
_SET_STATUS = """
UPDATE transfer t SET status = c.status, status_ms = CASE WHEN t.status = c.status THEN t.status_ms ELSE c.at END,
    reason = coalesce(c.reason, t.reason), fee_minor = coalesce(c.fee, t.fee_minor), next_attempt_ms = c.next_attempt,
    recalled_reason = coalesce(c.recalled, t.recalled_reason)
FROM (SELECT unnest(%s::uuid[]) AS id, unnest(%s::text[]) AS status, unnest(%s::bigint[]) AS at,
        unnest(%s::text[]) AS reason, unnest(%s::bigint[]) AS fee, unnest(%s::bigint[]) AS next_attempt,
        unnest(%s::text[]) AS recalled) AS c
WHERE t.id = c.id
"""
_ADD_RETURNS = """
INSERT INTO payment_return (transfer, return_id, reason, decided_ms, burn_due)
SELECT unnest(%s::uuid[]), unnest(%s::text[]), unnest(%s::text[]), unnest(%s::bigint[]), unnest(%s::boolean[])
"""
_ACKNOWLEDGE = """
UPDATE payment_return r SET acknowledged_ms = c.at
FROM (SELECT unnest(%s::uuid[]) AS id, unnest(%s::bigint[]) AS at) AS c
WHERE r.transfer = c.id AND r.acknowledged_ms IS NULL
"""
_SETTLE_RETURNS = """
UPDATE outgoing_message m SET settled_ms = c.at
FROM (SELECT unnest(%s::uuid[]) AS id, unnest(%s::bigint[]) AS at) AS c
JOIN outbox o ON o.transfer = c.id AND o.kind = 'return'
WHERE m.msg_id = o.msg_id AND m.settled_ms IS NULL
"""
_BURN_DONE = "UPDATE payment_return SET burn_due = false WHERE transfer = ANY(%s::uuid[]) AND burn_due"
_ADD_OUTBOX = """
INSERT INTO outbox (transfer, bank, kind, fact, created_ms)
SELECT unnest(%s::uuid[]), unnest(%s::text[]), unnest(%s::text[]), unnest(%s::jsonb[]), unnest(%s::bigint[])
"""
_ADD_BREAKS = """
INSERT INTO reconciliation_break (transfer, kind, evidence, opened_ms)
SELECT unnest(%s::uuid[]), unnest(%s::text[]), unnest(%s::jsonb[]), unnest(%s::bigint[])
ON CONFLICT (transfer, kind) DO NOTHING
"""


async def write(conn: Connection, changes: Changes) -> None:
    """Store a batch's effects, in the order in which PostgreSQL's own rules can check them."""
    if changes.closed:
        rows = [
            (
                i,
                outcome,
                reason,
                at,
                by,
                token,
                *((e.incarnation, e.slot, e.seq, e.head) if e else (None,) * 4),
            )
            for i, outcome, reason, at, by, token, e in changes.closed
        ]
        await conn.execute(_CLOSE_ATTEMPTS, _columns(rows))
    if changes.attempts:
        await conn.execute(_ADD_ATTEMPTS, _columns(changes.attempts))
    if changes.returns:
        await conn.execute(_ADD_RETURNS, _columns(changes.returns))
    if changes.statuses:
        await conn.execute(_SET_STATUS, _columns(changes.statuses))
    if changes.acknowledged:
        await conn.execute(_ACKNOWLEDGE, _columns(changes.acknowledged))
        await conn.execute(_SETTLE_RETURNS, _columns(changes.acknowledged))
    if changes.burn_done:
        await conn.execute(_BURN_DONE, (changes.burn_done,))
    if changes.outbox:
        facts = [(t, bank, kind, Jsonb(fact), at) for t, bank, kind, fact, at in changes.outbox]
        await conn.execute(_ADD_OUTBOX, _columns(facts))
    if changes.breaks:
        evidence = [(t, kind, Jsonb(fact), at) for t, kind, fact, at in changes.breaks]
        await conn.execute(_ADD_BREAKS, _columns(evidence))


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
