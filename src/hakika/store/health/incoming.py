"""Evidence as it arrives from outside: results of synthetic tests, customers' reports, and counts of what was refused.

Every write may be executed again after a lost commit reply and changes nothing the second time, except the counts of
refusals, which nobody's decision rests on. A batch of reports has one origin (a network, a bank's desk, a feed);
batches of one origin take turns, so that its bound holds whoever writes.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection

Connection = AsyncConnection[Any]
HOUR_MS = 3_600_000


class ProbeRow(NamedTuple):
    """One synthetic test as its vantage saw it; instants are milliseconds since 1970 UTC."""

    id: UUID
    vantage: str
    probe: str
    component: str
    at_ms: int
    received_ms: int
    ok: bool
    latency_ms: int
    detail: str


class ReportRow(NamedTuple):
    """One person who says that a service does not work."""

    id: UUID
    component: str
    person: bytes


class Taken(NamedTuple):
    """What became of a batch of reports: counted, known already in this hour, over the origin's bound."""

    stored: int
    again: int
    over: int


_ADD_PROBES = """
INSERT INTO probe_result (id, vantage, probe, component, at_ms, received_ms, ok, latency_ms, detail)
SELECT unnest(%s::uuid[]), unnest(%s::text[]), unnest(%s::text[]), unnest(%s::text[]), unnest(%s::bigint[]),
    unnest(%s::bigint[]), unnest(%s::boolean[]), unnest(%s::integer[]), unnest(%s::text[])
ON CONFLICT (id) DO NOTHING
"""
_TURN = "SELECT pg_advisory_xact_lock(%s)"
_KNOWN = """
SELECT component, person FROM report WHERE day = %s AND hour = %s AND person = ANY(%s) AND component = ANY(%s)
"""
_PERSONS = "SELECT component, persons FROM report_origin WHERE origin = %s AND hour_ms = %s"
_ADD_REPORTS = """
INSERT INTO report (id, at_ms, component, person, source, day, hour)
SELECT unnest(%s::uuid[]), %s, unnest(%s::text[]), unnest(%s::bytea[]), %s, %s, %s
ON CONFLICT (person, component, day, hour) DO NOTHING RETURNING component
"""
_COUNT_PERSONS = """
INSERT INTO report_origin (origin, component, hour_ms, persons)
SELECT %s, unnest(%s::text[]), %s, unnest(%s::integer[])
ON CONFLICT (origin, component, hour_ms) DO UPDATE SET persons = report_origin.persons + excluded.persons
"""
_COUNT_REFUSED = """
INSERT INTO refused_input (kind, hour_ms, count) SELECT unnest(%s::text[]), %s, unnest(%s::bigint[])
ON CONFLICT (kind, hour_ms) DO UPDATE SET count = refused_input.count + excluded.count
"""
_PRUNE_ORIGINS = "DELETE FROM report_origin WHERE hour_ms < %s"


async def add_probes(conn: Connection, rows: Sequence[ProbeRow]) -> int:
    """Store results, each id once; how many were new."""
    if not rows:
        return 0
    return (await conn.execute(_ADD_PROBES, [list(column) for column in zip(*rows, strict=True)])).rowcount


async def add_reports(
    conn: Connection, rows: Sequence[ReportRow], *, source: str, origin: bytes, origin_max: int, at_ms: int, day: date
) -> Taken:
    """Count each person once a component and hour, and of this origin at most `origin_max` a component and hour.

    `day` is the UTC day of `at_ms`.
    """
    hour_ms = at_ms // HOUR_MS * HOUR_MS
    hour = hour_ms // HOUR_MS % 24
    distinct = {(row.component, row.person): row for row in rows}
    async with conn.transaction():
        await conn.execute(_TURN, (int.from_bytes(origin[:8], "big", signed=True),))
        persons, components = [row.person for row in rows], sorted({row.component for row in rows})
        found = await (await conn.execute(_KNOWN, (day, hour, persons, components))).fetchall()
        known = {(component, bytes(person)) for component, person in found}
        new = [row for key, row in distinct.items() if key not in known]
        counted = dict(await (await conn.execute(_PERSONS, (origin, hour_ms))).fetchall())
        fits = _fitting(new, counted, origin_max)
        stored = await _insert(conn, fits, source, at_ms, day, hour)
        if stored:
            values = (origin, list(stored), hour_ms, list(stored.values()))
            await conn.execute(_COUNT_PERSONS, values)
    total = sum(stored.values())
    return Taken(total, len(rows) - len(new) + len(fits) - total, len(new) - len(fits))


def _fitting(rows: Sequence[ReportRow], counted: dict[str, int], origin_max: int) -> list[ReportRow]:
    """Those of `rows` for which the origin has room, in order."""
    room = {component: origin_max - persons for component, persons in counted.items()}
    fits = []
    for row in rows:
        left = room.get(row.component, origin_max)
        if left > 0:
            fits.append(row)
        room[row.component] = left - 1
    return fits


async def _insert(
    conn: Connection, rows: Sequence[ReportRow], source: str, at_ms: int, day: date, hour: int
) -> dict[str, int]:
    """Rows stored, by component."""
    if not rows:
        return {}
    ids, components, persons = (list(column) for column in zip(*rows, strict=True))
    values = (ids, at_ms, components, persons, source, day, hour)
    stored: dict[str, int] = {}
    for (component,) in await (await conn.execute(_ADD_REPORTS, values)).fetchall():
        stored[component] = stored.get(component, 0) + 1
    return stored


async def count_refused(conn: Connection, counts: Mapping[str, int], hour_ms: int) -> None:
    """Add to the counts of what was not taken as evidence in the hour that began at `hour_ms`."""
    await conn.execute(_COUNT_REFUSED, (list(counts), hour_ms, list(counts.values())))


async def prune_origins(conn: Connection, before_ms: int) -> int:
    """Forget how many persons each origin had in hours before `before_ms`."""
    return (await conn.execute(_PRUNE_ORIGINS, (before_ms,))).rowcount
