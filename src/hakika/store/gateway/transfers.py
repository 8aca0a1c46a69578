"""A transfer's facts, loaded under lock and written back as decided; set-based, one statement a table.

`load` locks the transfers in id order, so that two writers never wait for each other in a circle, and reads
attempts and return after the locks. `write` stores the effects of all decisions of a batch; the order of its
statements lets PostgreSQL check each: attempts are closed before a return is inserted, and a status is written
when the facts that it follows from are there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from psycopg import AsyncConnection

from hakika.domain.deadlines import Deadlines
from hakika.domain.reasons import Reason
from hakika.domain.transfer import Attempt, Outcome, Return, Transfer
from hakika.store.arrays import Texts, Uuids, byteas, ints, texts, uuids
from hakika.store.gateway.outgoing import NewMessage, add_messages

Connection = AsyncConnection[Any]
AttemptRow = tuple[UUID, UUID, int, int, UUID, int]  # id, transfer, number, recorded, holder, lease until
# transfer, bank, kind, what is said, when, the message that says it: one of this commit, or None while none does
FactRow = tuple[UUID, str, str, dict[str, Any], int, str | None]


class Loaded(msgspec.Struct, frozen=True):
    """A transfer's life with the columns that messages about it need."""

    id: UUID
    transfer: Transfer
    bank: str
    uetr: UUID
    status: str
    creditor_msisdn: str | None
    amount_minor: int | None
    currency: str | None
    msg_id: str | None
    end_to_end_id: str | None
    instruction_id: str | None
    transaction_id: str | None


class Evidence(msgspec.Struct, frozen=True):
    """Where the core's hash chain holds an answer."""

    incarnation: int
    slot: int
    seq: int
    head: bytes


@dataclass(slots=True)
class Changes:
    """What one batch writes; each list is one statement."""

    attempts: list[AttemptRow]
    closed: list[tuple[UUID, str, str | None, int, UUID, int | None, Evidence | None]]
    statuses: list[tuple[UUID, str, int, str | None, int | None, int, str | None]]
    returns: list[tuple[UUID, str, str, int, bool]]
    acknowledged: list[tuple[UUID, int]]
    burn_done: list[UUID]
    outbox: list[FactRow]
    messages: list[NewMessage]
    breaks: list[tuple[UUID, str, dict[str, Any], int]]

    @classmethod
    def none(cls) -> "Changes":
        """Nothing to write yet."""
        return cls([], [], [], [], [], [], [], [], [])


_LOCK = """
SELECT id, bank, uetr, status, valid_until_ms, return_at_ms, deadline_ms, recalled_reason, next_attempt_ms,
    burn_first, creditor_msisdn, amount_minor, currency, msg_id, end_to_end_id, instruction_id, transaction_id
FROM transfer WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""
_LOCK_FREE = f"{_LOCK} SKIP LOCKED"
_ATTEMPTS = """
SELECT transfer, number, outcome, reason, lease_token FROM attempt
WHERE transfer = ANY(%s) ORDER BY transfer, number
"""
_RETURNS = """
SELECT transfer, reason, acknowledged_ms IS NOT NULL, burn_due FROM payment_return
WHERE transfer = ANY(%s)
"""


async def load(conn: Connection, ids: Iterable[UUID], *, waits: bool = True) -> dict[UUID, Loaded]:
    """The named transfers, locked until the transaction ends; unknown ids are left out.

    So are those that another transaction has locked, where it does not wait for them.
    """
    wanted = uuids([key.bytes for key in sorted(set(ids))])
    locked = await conn.execute(_LOCK if waits else _LOCK_FREE, (wanted,))
    attempts = await conn.execute(_ATTEMPTS, (wanted,))
    returns = await conn.execute(_RETURNS, (wanted,))
    rows = await locked.fetchall()
    by_transfer: dict[UUID, list[Attempt]] = {}
    for owner, number, outcome, reason, token in await attempts.fetchall():
        attempt = Attempt(number, Outcome(outcome) if outcome else None, Reason(reason) if reason else None, token)
        by_transfer.setdefault(owner, []).append(attempt)
    returned = {r[0]: Return(Reason(r[1]), r[2], r[3]) for r in await returns.fetchall()}
    return {row[0]: _loaded(row, tuple(by_transfer.get(row[0], ())), returned.get(row[0])) for row in rows}


def _loaded(row: tuple[Any, ...], attempts: tuple[Attempt, ...], returned: Return | None) -> Loaded:
    """One row of `_LOCK` with its attempts and return."""
    key, bank, uetr, status, valid_until, return_at, deadline, recalled, next_attempt, burn_first, *columns = row
    transfer = Transfer(
        id=key,
        deadlines=Deadlines(valid_until or 0, return_at or 0, deadline or 0),
        attempts=attempts,
        returned=returned,
        rejected=status == "REJECTED",
        recalled=Reason(recalled) if recalled else None,
        next_attempt_ms=next_attempt,
        burn_first=burn_first,
    )
    return Loaded(key, transfer, bank, uetr, status, *columns)


ADD_ATTEMPTS = """
INSERT INTO attempt (id, transfer, number, recorded_ms, lease_holder, lease_until_ms)
SELECT unnest(%s), unnest(%s), unnest(%s), unnest(%s), unnest(%s), unnest(%s)
"""
_CLOSE_ATTEMPTS = """
UPDATE attempt a SET outcome = c.outcome, reason = c.reason, closed_ms = c.closed_ms, closed_by = c.closed_by,
    closed_token = coalesce(c.closed_token, a.lease_token), core_incarnation = c.incarnation,
    chain_slot = c.slot, chain_seq = c.seq, chain_head = c.head
FROM (SELECT unnest(%s) AS id, unnest(%s) AS outcome, unnest(%s) AS reason, unnest(%s) AS closed_ms,
        unnest(%s) AS closed_by, unnest(%s) AS closed_token, unnest(%s) AS incarnation, unnest(%s) AS slot,
        unnest(%s) AS seq, unnest(%s) AS head) AS c
WHERE a.id = c.id
"""
_SET_STATUS = """
UPDATE transfer t SET status = c.status, status_ms = CASE WHEN t.status = c.status THEN t.status_ms ELSE c.at END,
    reason = coalesce(c.reason, t.reason), fee_minor = coalesce(c.fee, t.fee_minor), next_attempt_ms = c.next_attempt,
    recalled_reason = coalesce(c.recalled, t.recalled_reason)
FROM (SELECT unnest(%s) AS id, unnest(%s) AS status, unnest(%s) AS at, unnest(%s) AS reason, unnest(%s) AS fee,
        unnest(%s) AS next_attempt, unnest(%s) AS recalled) AS c
WHERE t.id = c.id
"""
_ADD_RETURNS = """
INSERT INTO payment_return (transfer, return_id, reason, decided_ms, burn_due)
SELECT unnest(%s), unnest(%s), unnest(%s), unnest(%s), unnest(%s) <> 0
"""
_ACKNOWLEDGE = """
UPDATE payment_return r SET acknowledged_ms = c.at
FROM (SELECT unnest(%s) AS id, unnest(%s) AS at) AS c
WHERE r.transfer = c.id AND r.acknowledged_ms IS NULL
"""
_SETTLE_RETURNS = """
UPDATE outgoing_message m SET settled_ms = c.at
FROM (SELECT unnest(%s) AS id, unnest(%s) AS at) AS c
JOIN outbox o ON o.transfer = c.id AND o.kind = 'return'
WHERE m.msg_id = o.msg_id AND m.settled_ms IS NULL
"""
_BURN_DONE = "UPDATE payment_return SET burn_due = false WHERE transfer = ANY(%s) AND burn_due"
_ADD_OUTBOX = """
INSERT INTO outbox (transfer, bank, kind, fact, created_ms, msg_id)
SELECT unnest(%s), unnest(%s), unnest(%s), unnest(%s)::jsonb, unnest(%s), unnest(%s)
"""
_ADD_BREAKS = """
INSERT INTO reconciliation_break (transfer, kind, evidence, opened_ms)
SELECT unnest(%s), unnest(%s), unnest(%s)::jsonb, unnest(%s)
ON CONFLICT (transfer, kind) DO NOTHING
"""


async def write(conn: Connection, changes: Changes) -> None:
    """Store a batch's effects, in the order in which PostgreSQL's own rules can check them."""
    if changes.closed:
        await conn.execute(_CLOSE_ATTEMPTS, _closed_columns(changes))
    if changes.attempts:
        await conn.execute(ADD_ATTEMPTS, attempt_columns(changes.attempts))
    if changes.returns:
        owners, return_ids, reasons, decided, burn_due = zip(*changes.returns, strict=True)
        due = [int(one) for one in burn_due]
        await conn.execute(_ADD_RETURNS, (_keys(owners), texts(return_ids), texts(reasons), ints(decided), ints(due)))
    if changes.statuses:
        ids, statuses, at, reasons, fees, next_attempts, recalled = zip(*changes.statuses, strict=True)
        await conn.execute(
            _SET_STATUS,
            (_keys(ids), texts(statuses), ints(at), texts(reasons), ints(fees), ints(next_attempts), texts(recalled)),
        )
    if changes.acknowledged:
        owners, at = zip(*changes.acknowledged, strict=True)
        await conn.execute(_ACKNOWLEDGE, (_keys(owners), ints(at)))
        await conn.execute(_SETTLE_RETURNS, (_keys(owners), ints(at)))
    if changes.burn_done:
        await conn.execute(_BURN_DONE, (_keys(changes.burn_done),))
    if changes.messages:
        await add_messages(conn, changes.messages)
    if changes.outbox:
        owners, banks, kinds, facts, at, carriers = zip(*changes.outbox, strict=True)
        await conn.execute(
            _ADD_OUTBOX,
            (_keys(owners), texts(banks), texts(kinds), _documents(facts), ints(at), texts(carriers)),
        )
    if changes.breaks:
        owners, kinds, evidence, at = zip(*changes.breaks, strict=True)
        await conn.execute(_ADD_BREAKS, (_keys(owners), texts(kinds), _documents(evidence), ints(at)))


def attempt_columns(rows: Sequence[AttemptRow]) -> tuple[Any, ...]:
    """What ADD_ATTEMPTS takes: attempts, open, of transfers that the transaction has locked or inserts with them."""
    ids, owners, numbers, recorded, holders, until = zip(*rows, strict=True)
    return _keys(ids), _keys(owners), ints(numbers), ints(recorded), _keys(holders), ints(until)


def _closed_columns(changes: Changes) -> tuple[Any, ...]:
    ids, outcomes, reasons, at, holders, tokens, evidence = zip(*changes.closed, strict=True)
    nothing = (None, None, None, None)
    incarnations, slots, seqs, heads = zip(
        *((e.incarnation, e.slot, e.seq, e.head) if e else nothing for e in evidence), strict=True
    )
    return (
        _keys(ids), texts(outcomes), texts(reasons), ints(at), _keys(holders), ints(tokens),
        ints(incarnations), ints(slots), ints(seqs), byteas(heads),
    )  # fmt: skip


def _keys(values: Iterable[UUID]) -> Uuids:
    return uuids([value.bytes for value in values])


def _documents(values: Iterable[dict[str, Any]]) -> Texts:
    return texts([msgspec.json.encode(value).decode() for value in values])
