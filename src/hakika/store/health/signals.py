"""Rows of what the roles counted: stored once, read in the order in which they became visible, thrown away when old.

Writers take turns by a lock that ends with their transaction, so a reader that has seen `seq` has seen everything
below it, whichever process wrote it. What is stored already (same series, instant and source) is left as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

Connection = AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class IntervalRow:
    """What one series saw in one interval, as a source counted it; `at_ms` is its start by health's clock."""

    series: str
    source: str
    at_ms: int
    width_ms: int
    arrived: int = 0
    ended: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    own_errors: int = 0
    open_count: int = 0
    oldest_ms: int = 0
    seq: int = 0  # given by the database


@dataclass(frozen=True, slots=True)
class SilenceRow:
    """A source that did not answer when it was asked."""

    source: str
    at_ms: int
    seq: int = 0


@dataclass(frozen=True, slots=True)
class SourceRow:
    """Where the collector stands with a source: intervals of `life` up to number `upto` are stored."""

    source: str
    life: str
    upto: int
    correction_ms: int
    asked_ms: int


_TURN = "SELECT pg_advisory_xact_lock(4811707)"
_ADD = """
INSERT INTO signal_interval (series, source, at_ms, width_ms, arrived, ended, failed, own_errors, open_count, oldest_ms)
SELECT unnest(%s::text[]), unnest(%s::text[]), unnest(%s::bigint[]), unnest(%s::integer[]), unnest(%s::integer[]),
    unnest(%s::integer[]), unnest(%s::jsonb[]), unnest(%s::integer[]), unnest(%s::integer[]), unnest(%s::bigint[])
ON CONFLICT (series, at_ms, source) DO NOTHING
"""
_STAND = """
INSERT INTO signal_source (source, life, upto, correction_ms, asked_ms) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (source) DO UPDATE SET life = excluded.life, upto = excluded.upto,
    correction_ms = excluded.correction_ms, asked_ms = excluded.asked_ms
"""
_STANDS = "SELECT source, life, upto, correction_ms, asked_ms FROM signal_source"
_SILENT = "INSERT INTO silence (source, at_ms) VALUES (%s, %s) ON CONFLICT (source, at_ms) DO NOTHING"
_SINCE = """
SELECT series, source, at_ms, width_ms, arrived, ended, failed, own_errors, open_count, oldest_ms, seq
FROM signal_interval WHERE seq > %s ORDER BY seq LIMIT %s
"""
_SILENT_SINCE = "SELECT source, at_ms, seq FROM silence WHERE seq > %s ORDER BY seq LIMIT %s"
_HISTORY = """
SELECT series, source, at_ms, width_ms, arrived, ended, failed, own_errors, open_count, oldest_ms, seq
FROM signal_interval WHERE series = %s AND at_ms >= %s AND at_ms < %s ORDER BY at_ms, source
"""
_SERIES = """
WITH RECURSIVE step AS (
    SELECT min(series) AS series FROM signal_interval
    UNION ALL
    SELECT (SELECT min(i.series) FROM signal_interval i WHERE i.series > step.series) FROM step
    WHERE step.series IS NOT NULL
) SELECT series FROM step WHERE series IS NOT NULL
"""
# Each throws away at most so many rows that are older than an instant.
_PRUNE = (
    """
    DELETE FROM signal_interval WHERE (series, at_ms, source) IN (
        SELECT series, at_ms, source FROM signal_interval WHERE at_ms < %(before)s ORDER BY at_ms LIMIT %(limit)s)
    """,
    """
    DELETE FROM silence WHERE (source, at_ms) IN (
        SELECT source, at_ms FROM silence WHERE at_ms < %(before)s LIMIT %(limit)s)
    """,
    """
    DELETE FROM probe_result WHERE id IN (
        SELECT id FROM probe_result WHERE at_ms < %(before)s ORDER BY at_ms LIMIT %(limit)s)
    """,
    """
    DELETE FROM report WHERE id IN (SELECT id FROM report WHERE at_ms < %(before)s ORDER BY at_ms LIMIT %(limit)s)
    """,
    """
    DELETE FROM refused_input WHERE (kind, hour_ms) IN (
        SELECT kind, hour_ms FROM refused_input WHERE hour_ms < %(before)s LIMIT %(limit)s)
    """,
)


async def add(conn: Connection, intervals: Sequence[IntervalRow], stands: SourceRow) -> None:
    """Store intervals and how far they go, in one commit; executed again it changes nothing."""
    values = [
        (r.series, r.source, r.at_ms, r.width_ms, r.arrived, r.ended, Jsonb(dict(r.failed)), r.own_errors,
         r.open_count, r.oldest_ms)
        for r in intervals
    ]  # fmt: skip
    async with conn.transaction():
        await conn.execute(_TURN)
        if values:
            await conn.execute(_ADD, [list(column) for column in zip(*values, strict=True)])
        await conn.execute(_STAND, (stands.source, stands.life, stands.upto, stands.correction_ms, stands.asked_ms))


async def add_silence(conn: Connection, source: str, at_ms: int) -> None:
    """Store that a source did not answer."""
    async with conn.transaction():
        await conn.execute(_TURN)
        await conn.execute(_SILENT, (source, at_ms))


async def stands(conn: Connection) -> dict[str, SourceRow]:
    """Where the collector stands, by source."""
    return {r[0]: SourceRow(*r) for r in await (await conn.execute(_STANDS)).fetchall()}


async def since(conn: Connection, seq: int, limit: int) -> tuple[list[IntervalRow], list[SilenceRow]]:
    """Intervals and silences after `seq`, up to `limit` of each, and none beyond what both lists reach."""
    async with conn.transaction():
        await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        intervals = [IntervalRow(*r) for r in await (await conn.execute(_SINCE, (seq, limit))).fetchall()]
        silences = [SilenceRow(*r) for r in await (await conn.execute(_SILENT_SINCE, (seq, limit))).fetchall()]
    ends = [rows[-1].seq for rows in (intervals, silences) if len(rows) == limit]
    if ends:
        upto = min(ends)
        intervals = [row for row in intervals if row.seq <= upto]
        silences = [row for row in silences if row.seq <= upto]
    return intervals, silences


async def history(conn: Connection, series: str, from_ms: int, to_ms: int) -> list[IntervalRow]:
    """Everything stored of one series that began in [from_ms, to_ms), by instant."""
    return [IntervalRow(*r) for r in await (await conn.execute(_HISTORY, (series, from_ms, to_ms))).fetchall()]


async def known_series(conn: Connection) -> list[str]:
    """Every series with a stored interval; walks the index from name to name."""
    return [r[0] for r in await (await conn.execute(_SERIES)).fetchall()]


async def prune(conn: Connection, before_ms: int, limit: int) -> int:
    """Throw away evidence older than `before_ms`, at most `limit` rows of each table; the most rows of any."""
    return max([(await conn.execute(one, {"before": before_ms, "limit": limit})).rowcount for one in _PRUNE])
