"""What the workers ask for: transfers to send, attempts without an answer, returns that are due.

Each query walks one partial index and stops at its limit, however long the backlog is.
"""

from collections import Counter
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from psycopg import AsyncConnection

from hakika.domain.transfer import FOR_PEOPLE_MS

Connection = AsyncConnection[Any]


LIVE_MS = 10_000
LIVE_OF = 4  # beside a backlog all but one in so many are for live traffic, as far as there is any


class Held(NamedTuple):
    """A transfer in custody with no attempt open."""

    id: UUID
    bank: str
    received_ms: int


class OpenAttempt(msgspec.Struct, frozen=True):
    """An attempt with everything its instruction is made of: a resend has the same bytes."""

    id: UUID
    transfer: UUID
    number: int
    lease_token: int
    bank: str
    creditor_msisdn: str
    amount_minor: int
    currency: str
    valid_until_ms: int
    burn_only: bool  # recalled, or older than a restore of this gateway: the instruction is never sent again


class Claimable(NamedTuple):
    """What may be sent now: some of it, and when the most urgent one of any bank was received.

    `banks` is how many banks have any, and `more` tells that there may be more than was looked at.
    """

    chosen: list[Held]
    oldest_ms: int | None
    banks: int
    more: bool


class BurnDue(NamedTuple):
    """A transfer returned unsent whose ids are still to be burnt: attempts 1 to `last`."""

    transfer: UUID
    bank: str
    uetr: UUID
    last: int


_OLDEST = """
SELECT h.id, b.id, h.received_ms FROM bank b, LATERAL (
    SELECT t.id, t.received_ms FROM transfer t
    WHERE t.bank = b.id AND t.held AND t.valid_until_ms > %(now)s AND t.next_attempt_ms <= %(now)s
      AND t.recalled_reason IS NULL AND NOT t.burn_first
    ORDER BY t.return_at_ms LIMIT %(share)s FOR NO KEY UPDATE SKIP LOCKED
) h WHERE NOT b.id = ANY(%(short)s::text[])
"""

_NEWEST = """
SELECT h.id, b.id, h.received_ms FROM bank b, LATERAL (
    SELECT t.id, t.received_ms, t.valid_until_ms, t.next_attempt_ms, t.recalled_reason, t.burn_first
    FROM transfer t WHERE t.bank = b.id AND t.held
    ORDER BY t.return_at_ms DESC LIMIT %(share)s
) h WHERE h.valid_until_ms > %(now)s AND h.next_attempt_ms <= %(now)s AND h.recalled_reason IS NULL
  AND NOT h.burn_first AND NOT b.id = ANY(%(short)s::text[])
"""

_TAKE_OVER = """
UPDATE attempt a SET lease_holder = %(holder)s, lease_token = a.lease_token + 1, lease_until_ms = %(until)s
FROM (SELECT o.id FROM attempt o JOIN transfer held ON held.id = o.transfer
      WHERE o.outcome IS NULL AND o.lease_until_ms <= %(now)s
      ORDER BY o.lease_until_ms LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED) due, transfer t
WHERE a.id = due.id AND t.id = a.transfer
RETURNING a.id, a.transfer, a.number, a.lease_token, t.bank, t.creditor_msisdn, t.amount_minor, t.currency,
          t.valid_until_ms, t.recalled_reason IS NOT NULL OR t.burn_first
"""

_RELEASE = """
UPDATE attempt SET lease_until_ms = least(attempt.lease_until_ms, %s)
FROM (SELECT unnest(%s::uuid[]) AS id, unnest(%s::integer[]) AS token) AS mine
WHERE attempt.id = mine.id AND attempt.lease_token = mine.token AND attempt.outcome IS NULL
    AND attempt.lease_holder = %s
"""

_RETURNS_DUE = """
SELECT h.id FROM bank b, LATERAL (
    SELECT t.id FROM transfer t
    WHERE t.bank = b.id AND t.held AND t.return_at_ms <= %(now)s
      AND t.next_attempt_ms <> %(for_people)s AND NOT t.burn_first
    ORDER BY t.return_at_ms LIMIT %(limit)s
) h
"""

_BURNS_DUE = """
SELECT r.transfer, t.bank, t.uetr,
       greatest(1, (SELECT coalesce(max(a.number), 0) FROM attempt a WHERE a.transfer = r.transfer))
FROM payment_return r JOIN transfer t ON t.id = r.transfer
WHERE r.burn_due ORDER BY r.decided_ms LIMIT %s
"""

_IN_DOUBT = """
SELECT count(*), min(recorded_ms) FROM attempt
WHERE outcome IS NULL AND NOT id = ANY (%s::uuid[])
    AND (recorded_ms <= coalesce(%s, recorded_ms) OR lease_holder = %s)
"""
_BACKLOG = """
SELECT (SELECT t.received_ms FROM transfer t WHERE t.bank = %s AND t.held
        ORDER BY t.return_at_ms LIMIT 1)
"""


_OPEN = """
SELECT h.id, b.id, h.creditor_msisdn, h.received_ms, h.next_attempt_ms FROM bank b, LATERAL (
    SELECT t.id, t.creditor_msisdn, t.received_ms, t.next_attempt_ms FROM transfer t
    WHERE t.bank = b.id AND t.held ORDER BY t.return_at_ms LIMIT %(limit)s
) h
UNION ALL
(SELECT t.id, t.bank, t.creditor_msisdn, t.received_ms, 0 FROM attempt a JOIN transfer t ON t.id = a.transfer
 WHERE a.outcome IS NULL ORDER BY a.lease_until_ms LIMIT %(limit)s)
ORDER BY 4
"""
_ENDED = "SELECT id FROM transfer WHERE id = ANY(%s::uuid[]) AND status IN ('COMPLETED', 'RETURNED')"


class Open(NamedTuple):
    """A transfer without an end, as it is found at a start."""

    id: UUID
    bank: str
    creditor_msisdn: str
    received_ms: int
    next_attempt_ms: int


async def open_transfers(conn: Connection, limit: int) -> list[Open]:
    """Transfers without an end by arrival: up to `limit` held of each bank, and as many in flight."""
    return [Open(*r) for r in await (await conn.execute(_OPEN, {"limit": limit})).fetchall()]


async def ended(conn: Connection, transfers: list[UUID]) -> list[UUID]:
    """Those of these transfers that have ended."""
    return [r[0] for r in await (await conn.execute(_ENDED, (transfers,))).fetchall()]


async def claimable(
    conn: Connection,
    *,
    now_ms: int,
    limit: int,
    short: list[str],
    share: int | None = None,
    turn: int = 0,
    live_ms: int = LIVE_MS,
    backlog_ms: int | None = None,
) -> Claimable:
    """Up to `limit` of what may be sent now, and of one bank up to `share`; banks in `short` are left out.

    `turn` counts the caller's rounds: it says which bank is first, so that all come round in a small window. Where
    something waits for longer than `backlog_ms` (`live_ms` unless given), what has come within `live_ms` is live, the
    latest first. What waits for longest is locked, and what others have locked is theirs: so processes beside each
    other do not choose the same.
    """
    share = limit if share is None else share
    values = {"now": now_ms, "share": share, "short": short}
    waiting = [Held(*r) for r in await (await conn.execute(_OLDEST, values)).fetchall()]
    oldest_ms = min((held.received_ms for held in waiting), default=None)
    before_ms = now_ms - (live_ms if backlog_ms is None else backlog_ms)
    live: list[Held] = []
    if oldest_ms is not None and oldest_ms < before_ms:
        latest = [Held(*r) for r in await (await conn.execute(_NEWEST, values)).fetchall()]
        live = [held for held in latest if held.received_ms >= now_ms - live_ms]
    each = Counter(held.bank for held in waiting)
    chosen = _fair(waiting, live, limit, turn, before_ms)
    more = len(chosen) < len({held.id for held in (*waiting, *live)}) or share in each.values()
    return Claimable(chosen, oldest_ms, len(each), more)


def _fair(oldest: list[Held], live: list[Held], limit: int, turn: int, before_ms: int) -> list[Held]:
    """Alternate over the banks; in each the most urgent first, and beside a backlog what has just come.

    Most of what can be sent is for live traffic then: with less than it needs, it would wait for the whole backlog. As
    long as nothing waits from before, all of a bank's are sent in order, and none waits for who came later.
    """
    lanes: dict[str, tuple[list[Held], list[Held]]] = {}
    for held in oldest:
        lanes.setdefault(held.bank, ([], []))[0].append(held)
    for held in live:
        if (lane := lanes.get(held.bank)) is not None and lane[0][0].received_ms < before_ms:
            lane[1].append(held)
    if not lanes:
        return []
    share, first = divmod(turn, len(lanes))
    banks = sorted(lanes)
    order = [lanes[bank] for bank in banks[first:] + banks[:first]]
    chosen: dict[UUID, Held] = {}
    while len(chosen) < limit and any(old or new for old, new in order):
        for old, new in order:
            source = new if new and (share % LIVE_OF != 0 or not old) else old
            while source and source[0].id in chosen:
                source.pop(0)
            if source and len(chosen) < limit:
                held = source.pop(0)
                chosen[held.id] = held
        share += 1
    return list(chosen.values())


async def take_over(conn: Connection, *, holder: UUID, now_ms: int, until_ms: int, limit: int) -> list[OpenAttempt]:
    """Take the lease of open attempts whose lease has ended; each takeover raises the token.

    Transfers that are being decided at this moment are left to the next turn: a decision and a takeover
    never overlap.
    """
    values = {"holder": holder, "until": until_ms, "now": now_ms, "limit": limit}
    return [OpenAttempt(*r) for r in await (await conn.execute(_TAKE_OVER, values)).fetchall()]


async def release(conn: Connection, leases: list[tuple[UUID, int]], holder: UUID, now_ms: int) -> None:
    """Let others take these attempts at once: no answer came. Each lease by its token: a later one is not ended."""
    ids, tokens = [attempt for attempt, _ in leases], [token for _, token in leases]
    await conn.execute(_RELEASE, (now_ms, ids, tokens, holder))


async def returns_due(conn: Connection, *, now_ms: int, limit: int) -> list[UUID]:
    """Held transfers, up to `limit` a bank, that have reached the instant at which the clock returns them."""
    values = {"now": now_ms, "limit": limit, "for_people": FOR_PEOPLE_MS}
    return [r[0] for r in await (await conn.execute(_RETURNS_DUE, values)).fetchall()]


async def burns_due(conn: Connection, limit: int) -> list[BurnDue]:
    """Transfers returned unsent whose ids the core has not burnt yet."""
    return [BurnDue(*r) for r in await (await conn.execute(_BURNS_DUE, (limit,))).fetchall()]


async def in_doubt(
    conn: Connection, but: list[UUID], *, before_ms: int | None = None, holder: UUID | None = None
) -> tuple[int, int | None]:
    """(open attempts, when the oldest was recorded), without those in `but`.

    Those recorded after `before_ms`, where it is given, count as far as they are `holder`'s.
    """
    row = await (await conn.execute(_IN_DOUBT, (but, before_ms, holder))).fetchone()
    return (row[0], row[1]) if row else (0, None)


async def oldest_held(conn: Connection, bank: str) -> int | None:
    """When the oldest transfer of a bank that still waits was received."""
    row = await (await conn.execute(_BACKLOG, (bank,))).fetchone()
    return row[0] if row else None
