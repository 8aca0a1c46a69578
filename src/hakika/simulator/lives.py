"""What the databases and the banks' books say after the run about each transfer: its life, instant by instant.

Read with the readers' accounts, in plain queries of its own. These are the facts that claims made during the
run are held against; nothing here decides anything.
"""

import json
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from hakika.simulator.plan import synthetic_wallets
from hakika.store.lane import Lane

READ_S = 60.0
TESTS = [wallet.msisdn for wallet in synthetic_wallets()]  # transfers to these are no customer's and not told here


class AttemptRow(NamedTuple):
    """One submission to the core."""

    id: str  # 32 hex digits
    recorded_ms: int
    closed_ms: int | None
    outcome: str | None


@dataclass(slots=True)
class Life:
    """One transfer in the gateway's custody."""

    uetr: str
    bank: str
    status: str
    status_ms: int
    reason: str | None
    amount_minor: int
    currency: str
    fee_minor: int | None
    creditor_msisdn: str
    creditor_name: str
    debtor_name: str
    received_ms: int
    deadline_ms: int
    attempts: list[AttemptRow] = field(default_factory=list)
    decided_ms: int | None = None  # the return's decision
    acknowledged_ms: int | None = None

    @property
    def final_ms(self) -> int | None:
        """When the gateway made it final; None while it is not."""
        return self.status_ms if self.status in ("COMPLETED", "RETURNED") else None

    @property
    def settled_ms(self) -> int | None:
        """When the money was where it belongs: credited, or back on the bank's word."""
        return self.acknowledged_ms if self.status == "RETURNED" else self.final_ms

    def open_at(self, at_ms: int) -> AttemptRow | None:
        """The attempt without an answer at an instant."""
        for attempt in self.attempts:
            if attempt.recorded_ms <= at_ms and (attempt.closed_ms is None or attempt.closed_ms > at_ms):
                return attempt
        return None


class Booked(NamedTuple):
    """One transfer in a bank's books."""

    uetr: str
    bank: str
    request_id: str
    customer: int
    state: str
    debited_ms: int
    accepted_ms: int | None
    deadline_ms: int | None
    final_ms: int | None
    reason: str | None


_TRANSFERS = """
SELECT replace(t.uetr::text, '-', ''), t.bank, t.status, t.status_ms, t.reason, t.amount_minor, t.currency, t.fee_minor,
       t.creditor_msisdn, coalesce(t.creditor_name, ''), coalesce(t.debtor_name, ''), t.received_ms, t.deadline_ms,
       r.decided_ms, r.acknowledged_ms
FROM transfer t LEFT JOIN payment_return r ON r.transfer = t.id
WHERE t.status <> 'REJECTED' AND t.creditor_msisdn <> ALL(%s) ORDER BY t.received_ms
"""
_ATTEMPTS = """
SELECT replace(t.uetr::text, '-', ''), replace(a.id::text, '-', ''), a.recorded_ms, a.closed_ms, a.outcome
FROM attempt a JOIN transfer t ON t.id = a.transfer ORDER BY a.transfer, a.number
"""
_POSTED = """
SELECT replace(id::text, '-', '') FROM entry WHERE member = 0 AND kind = 'posted' AND refusal IS NULL
"""
_BOOKED = """
SELECT uetr, request_id, customer, state, debited_ms, accepted_ms, deadline_ms, final_ms, reason FROM transfer
WHERE creditor_msisdn NOT IN (SELECT value FROM json_each(?))
"""
_COUNTS = """
SELECT count(*) FILTER (WHERE status <> 'REJECTED'), count(*) FILTER (WHERE status = 'COMPLETED'),
       count(*) FILTER (WHERE status = 'RETURNED'), count(*) FILTER (WHERE status = 'RECEIVED'),
       count(*) FILTER (WHERE status = 'IN_FLIGHT'),
       (SELECT count(*) FROM payment_return r JOIN transfer o ON o.id = r.transfer
        WHERE r.acknowledged_ms IS NULL AND o.creditor_msisdn <> ALL(%(tests)s))
FROM transfer WHERE creditor_msisdn <> ALL(%(tests)s)
"""


_DOUBTFUL = """
SELECT t.uetr::text, t.bank FROM attempt a JOIN transfer t ON t.id = a.transfer
WHERE a.outcome IS NULL AND a.recorded_ms < %s AND t.creditor_msisdn <> ALL(%s) ORDER BY a.recorded_ms LIMIT %s
"""


class Counts(NamedTuple):
    """How many transfers stand where, now."""

    accepted: int
    completed: int
    returned: int
    held: int
    in_doubt: int  # an attempt is open
    unacknowledged: int  # returned, the bank has not confirmed


async def lives(gateway_url: str) -> dict[str, Life]:
    """Every transfer in custody by UETR (32 hex digits). Raises store.lane.StoreFault."""

    async def read(conn: psycopg.AsyncConnection[Any]) -> tuple[list[Any], list[Any]]:
        transfers = await (await conn.execute(_TRANSFERS, (TESTS,))).fetchall()
        return transfers, await (await conn.execute(_ATTEMPTS)).fetchall()

    transfers, attempts = await _run(gateway_url, read)
    found: dict[str, Life] = {}
    for row in transfers:
        life = Life(*row[:13])
        life.decided_ms, life.acknowledged_ms = row[13], row[14]
        found[life.uetr] = life
    for uetr, identifier, recorded_ms, closed_ms, outcome in attempts:
        if uetr in found:
            found[uetr].attempts.append(AttemptRow(identifier, recorded_ms, closed_ms, outcome))
    return found


async def posted_heads(core_url: str) -> set[str]:
    """Ids of every posted set in the core's ledger, as 32 hex digits."""

    async def read(conn: psycopg.AsyncConnection[Any]) -> list[Any]:
        return await (await conn.execute(_POSTED)).fetchall()

    return {row[0] for row in await _run(core_url, read)}


async def counts(lane: Lane, deadline_s: float) -> Counts:
    """Where transfers stand now. Raises store.lane.StoreFault."""

    async def read(conn: psycopg.AsyncConnection[Any]) -> Counts:
        row = await (await conn.execute(_COUNTS, {"tests": TESTS})).fetchone()
        return Counts(*(row or (0, 0, 0, 0, 0, 0)))

    return await lane.run(read, deadline_s=deadline_s)


async def doubtful(lane: Lane, before_ms: int, limit: int, deadline_s: float) -> list[tuple[str, str]]:
    """UETR (as banks write it) and bank of transfers sent before an instant and still without an answer."""

    async def read(conn: psycopg.AsyncConnection[Any]) -> list[tuple[str, str]]:
        return list(await (await conn.execute(_DOUBTFUL, (before_ms, TESTS, limit))).fetchall())

    return await lane.run(read, deadline_s=deadline_s)


def booked(bank: str, file: Path) -> dict[str, Booked]:
    """Every transfer in a bank's books by UETR (32 hex digits), read without touching them."""
    connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=10.0)
    try:
        rows = connection.execute(_BOOKED, (json.dumps(TESTS),)).fetchall()
    finally:
        connection.close()
    found = {}
    for uetr, *rest in rows:
        key = uetr.replace("-", "")
        found[key] = Booked(key, bank, *rest)
    return found


async def _run(url: str, read: Any) -> Any:
    lane = Lane(url, name="hakika replay")
    try:
        return await lane.run(read, deadline_s=READ_S)
    finally:
        await lane.close()
