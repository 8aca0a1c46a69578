"""Incidents as they are stored: rows of events, read whole and only ever added to.

Whoever adds events holds `lock` from before it reads until its commit, so that what it decides from is what it adds
to; PostgreSQL refuses numbers with gaps, a second open incident of one cause, an end without its conditions, and
a form that was sent before. What an event means is for `health/incident.py`.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

Connection = AsyncConnection[Any]
LOCK_KEY = 0x1C1DE27  # one writer of incidents at a time


class EventRow(NamedTuple):
    """One event; `act` is the form that it came from, None where a rule wrote it."""

    incident: UUID
    number: int
    at_ms: int
    actor: str
    kind: str
    body: dict[str, Any]
    act: UUID | None = None


class WindowRow(NamedTuple):
    """Announced work; `words` by language."""

    id: UUID
    from_ms: int
    to_ms: int
    components: list[str]
    words: dict[str, str]
    announced_ms: int
    announced_by: str
    cancelled_ms: int | None


_LOCK = "SELECT pg_advisory_xact_lock(%s)"
_CURRENT = """
SELECT incident, number, at_ms, actor, kind, body, act FROM incident_event
WHERE incident IN (SELECT incident FROM open_cause)
    OR incident IN (SELECT incident FROM incident_event WHERE kind IN ('closed', 'merged', 'overran') AND at_ms >= %s)
ORDER BY incident, number
"""
_SINCE = """
SELECT incident, number, at_ms, actor, kind, body, act FROM incident_event
WHERE incident IN (SELECT incident FROM open_cause)
    OR incident IN (SELECT id FROM incident WHERE opened_ms >= %s ORDER BY opened_ms DESC LIMIT %s)
ORDER BY incident, number
"""
_ONE = """
SELECT incident, number, at_ms, actor, kind, body, act FROM incident_event WHERE incident = %s ORDER BY number
"""
_ADD_INCIDENT = "INSERT INTO incident (id, opened_ms) VALUES (%s, %s)"
_ADD_EVENT = """
INSERT INTO incident_event (incident, number, at_ms, actor, kind, body, act) VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
_BY_ACT = "SELECT incident, number, at_ms, actor, kind, body, act FROM incident_event WHERE act = %s"
_WINDOWS = """
SELECT id, from_ms, to_ms, components, words, announced_ms, announced_by, cancelled_ms FROM maintenance
WHERE to_ms >= %s ORDER BY from_ms, id
"""
_ANNOUNCE = """
INSERT INTO maintenance (id, from_ms, to_ms, components, words, announced_ms, announced_by)
VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO NOTHING
"""
_CANCEL = "UPDATE maintenance SET cancelled_ms = %s WHERE id = %s AND cancelled_ms IS NULL AND to_ms > %s"


async def lock(conn: Connection) -> None:
    """Be the only writer of incidents until the transaction ends."""
    await conn.execute(_LOCK, (LOCK_KEY,))


async def current(conn: Connection, *, since_ms: int) -> list[EventRow]:
    """All events of the incidents that are open, or were closed, merged or opened by overrun work since then."""
    return _events(await (await conn.execute(_CURRENT, (since_ms,))).fetchall())


async def since(conn: Connection, *, opened_since_ms: int, limit: int) -> list[EventRow]:
    """All events of the open incidents and of the latest `limit` opened since then, in order."""
    return _events(await (await conn.execute(_SINCE, (opened_since_ms, limit))).fetchall())


async def of(conn: Connection, incident: UUID) -> list[EventRow]:
    """All events of one incident, in order; none when there is no such incident."""
    return _events(await (await conn.execute(_ONE, (incident,))).fetchall())


async def by_act(conn: Connection, act: UUID) -> list[EventRow]:
    """The events that an operator's form has made already."""
    return _events(await (await conn.execute(_BY_ACT, (act,))).fetchall())


async def add(conn: Connection, events: Sequence[EventRow]) -> None:
    """Add events in this order; number 1 begins its incident."""
    for row in events:
        if row.number == 1:
            await conn.execute(_ADD_INCIDENT, (row.incident, row.at_ms))
        await conn.execute(
            _ADD_EVENT, (row.incident, row.number, row.at_ms, row.actor, row.kind, Jsonb(row.body), row.act)
        )


async def windows(conn: Connection, *, ends_after_ms: int) -> list[WindowRow]:
    """Announced work that ends after this instant, cancelled or not, the earliest first."""
    return [WindowRow(*row) for row in await (await conn.execute(_WINDOWS, (ends_after_ms,))).fetchall()]


async def announce(conn: Connection, row: WindowRow) -> None:
    """Store announced work under its id; one that is there already stays as it is."""
    values = (row.id, row.from_ms, row.to_ms, row.components, Jsonb(row.words), row.announced_ms, row.announced_by)
    await conn.execute(_ANNOUNCE, values)


async def cancel(conn: Connection, window: UUID, now_ms: int) -> bool:
    """Cancel work that has not ended; False where there is none to cancel."""
    return (await conn.execute(_CANCEL, (now_ms, window, now_ms))).rowcount == 1


def _events(rows: Iterable[tuple[Any, ...]]) -> list[EventRow]:
    return [EventRow(*row) for row in rows]
