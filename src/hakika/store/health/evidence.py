"""Stored evidence as the judge reads it: signals, silences, probes and reports after a mark, in the order of time.

Marks are instants, not numbers: evidence may arrive late (a source that was cut off is caught up with), and whoever
feeds detectors drops what they have seen.
Each read is bounded by rows; a reader that is behind goes on with the next read.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from psycopg import AsyncConnection

from hakika.domain.reasons import Reason

Connection = AsyncConnection[Any]
ROWS_MAX = 50_000
RETURNED = frozenset(reason.value for reason in Reason)


class SignalRow(NamedTuple):
    """What one source counted for one series in one interval; milliseconds."""

    series: str
    source: str
    at_ms: int
    width_ms: int
    arrived: int
    ended: int
    failed: dict[str, int]
    own_errors: int
    open_count: int
    oldest_ms: int


class SilenceRow(NamedTuple):
    """A source that did not answer."""

    source: str
    at_ms: int


class ProbeRow(NamedTuple):
    """One synthetic test."""

    component: str
    vantage: str
    probe: str
    at_ms: int
    received_ms: int
    ok: bool
    latency_ms: int
    detail: str


class ReportRow(NamedTuple):
    """How many persons reported a component in an interval that begins at `at_ms`."""

    component: str
    at_ms: int
    persons: int


class RefusedRow(NamedTuple):
    """What was not taken as evidence in one hour."""

    kind: str
    hour_ms: int
    times: int


class Ended(NamedTuple):
    """How the transfers of some series ended in a span of time."""

    ended: int
    own_errors: int
    failed: dict[str, int]

    @property
    def returned(self) -> int:
        """Outcomes under a reason of ours: the money went back."""
        return self.own_errors + sum(count for reason, count in self.failed.items() if reason in RETURNED)

    @property
    def arrived(self) -> int:
        """Outcomes that were neither a customer's error nor a failure."""
        return max(0, self.ended - self.own_errors - sum(self.failed.values()))


_SIGNALS = """
SELECT s.series, s.source, s.at_ms, s.width_ms, s.arrived, s.ended, s.failed, s.own_errors, s.open_count, s.oldest_ms
FROM unnest(%s::text[], %s::bigint[]) AS mark (series, after_ms)
JOIN signal_interval s ON s.series = mark.series AND s.at_ms > greatest(mark.after_ms, %s) AND s.at_ms <= %s
ORDER BY s.at_ms, s.series, s.source LIMIT %s
"""
_NEW_SIGNALS = """
SELECT series, source, at_ms, width_ms, arrived, ended, failed, own_errors, open_count, oldest_ms FROM signal_interval
WHERE at_ms > %s AND at_ms <= %s AND series <> ALL(%s::text[]) ORDER BY at_ms, series, source LIMIT %s
"""
_OF_SERIES = """
SELECT series, source, at_ms, width_ms, arrived, ended, failed, own_errors, open_count, oldest_ms FROM signal_interval
WHERE series = %s AND at_ms > %s AND at_ms <= %s ORDER BY at_ms, source LIMIT %s
"""
_SERIES = "SELECT DISTINCT series FROM signal_interval WHERE at_ms > %s"
_SILENCES = "SELECT source, at_ms FROM silence WHERE at_ms > %s AND at_ms <= %s ORDER BY at_ms, source LIMIT %s"
_PROBES = """
SELECT component, vantage, probe, at_ms, received_ms, ok, latency_ms, detail FROM probe_result
WHERE at_ms > %s AND received_ms <= %s ORDER BY at_ms + latency_ms, vantage, id LIMIT %s
"""
_REPORTS = """
SELECT component, at_ms / %s * %s AS begins, count(*)::integer FROM report WHERE at_ms >= %s AND at_ms < %s
GROUP BY component, begins ORDER BY begins, component LIMIT %s
"""
_TOTALS = """
SELECT coalesce(sum(ended), 0)::bigint, coalesce(sum(own_errors), 0)::bigint FROM signal_interval
WHERE series = ANY(%s) AND at_ms >= %s AND at_ms < %s
"""
_TOTAL_FAILED = """
SELECT f.key, sum(f.value::bigint)::bigint FROM signal_interval s, jsonb_each_text(s.failed) f
WHERE s.series = ANY(%s) AND s.at_ms >= %s AND s.at_ms < %s GROUP BY f.key
"""
_SHARE = """
SELECT s.at_ms / 60000 * 60000 AS minute, sum(s.ended)::bigint,
    sum((SELECT coalesce(sum(f.value::bigint), 0) FROM jsonb_each_text(s.failed) f))::bigint
FROM signal_interval s WHERE s.series = ANY(%s) AND s.at_ms >= %s AND s.at_ms < %s GROUP BY minute ORDER BY minute
"""
_PEAK = """
SELECT coalesce(max(together), 0)::bigint FROM (SELECT sum(open_count) AS together FROM signal_interval
    WHERE series = ANY(%s) AND at_ms >= %s AND at_ms < %s GROUP BY at_ms / 5000) AS moments
"""
_LATE = """
SELECT count(DISTINCT series)::bigint FROM signal_interval
WHERE series = ANY(%s) AND at_ms >= %s AND at_ms < %s AND oldest_ms > %s AND open_count > 0
"""
_REPORTERS = """
SELECT count(DISTINCT person)::bigint FROM report WHERE component = ANY(%s) AND at_ms >= %s AND at_ms < %s
"""
_REFUSED = "SELECT kind, hour_ms, count FROM refused_input WHERE hour_ms >= %s ORDER BY hour_ms DESC, kind LIMIT 200"


async def signals(conn: Connection, marks: Mapping[str, int], *, floor_ms: int, upto_ms: int) -> list[SignalRow]:
    """Intervals of each known series that began after its mark, and of new ones after `floor_ms`, oldest first."""
    known = (list(marks), list(marks.values()), floor_ms, upto_ms, ROWS_MAX)
    rows = await _rows(conn, _SIGNALS, known)
    rows += await _rows(conn, _NEW_SIGNALS, (floor_ms, upto_ms, list(marks), ROWS_MAX))
    return sorted((SignalRow(*row) for row in rows), key=lambda row: (row.at_ms, row.series, row.source))


async def signals_of(conn: Connection, series: str, *, after_ms: int, upto_ms: int) -> list[SignalRow]:
    """The same of one series alone."""
    return [SignalRow(*row) for row in await _rows(conn, _OF_SERIES, (series, after_ms, upto_ms, ROWS_MAX))]


async def series_since(conn: Connection, after_ms: int) -> list[str]:
    """Series that anything is known of since then."""
    return sorted(row[0] for row in await _rows(conn, _SERIES, (after_ms,)))


async def silences(conn: Connection, *, after_ms: int, upto_ms: int) -> list[SilenceRow]:
    """Silences after `after_ms`, the oldest first."""
    return [SilenceRow(*row) for row in await _rows(conn, _SILENCES, (after_ms, upto_ms, ROWS_MAX))]


async def probes(conn: Connection, *, after_ms: int, upto_ms: int) -> list[ProbeRow]:
    """Tests made after `after_ms` and received up to `upto_ms`, in the order in which they ended."""
    return [ProbeRow(*row) for row in await _rows(conn, _PROBES, (after_ms, upto_ms, ROWS_MAX))]


async def reports(conn: Connection, *, from_ms: int, to_ms: int, width_ms: int) -> list[ReportRow]:
    """Persons who reported, by component and interval of `width_ms`; an interval without a report has no row."""
    return [ReportRow(*row) for row in await _rows(conn, _REPORTS, (width_ms, width_ms, from_ms, to_ms, ROWS_MAX))]


async def ended_between(conn: Connection, series: Sequence[str], from_ms: int, to_ms: int) -> Ended:
    """How the transfers of these series ended."""
    span = (list(series), from_ms, to_ms)
    (totals,) = await _rows(conn, _TOTALS, span)
    failed = {key: int(count) for key, count in await _rows(conn, _TOTAL_FAILED, span)}
    return Ended(int(totals[0]), int(totals[1]), failed)


async def share_by_minute(
    conn: Connection, series: Sequence[str], from_ms: int, to_ms: int
) -> list[tuple[int, int, int]]:
    """Minute, outcomes and technical failures of these series together; a minute without signals has no row."""
    rows = await _rows(conn, _SHARE, (list(series), from_ms, to_ms))
    return [(int(minute), int(ended), int(failed)) for minute, ended, failed in rows]


async def peak_open(conn: Connection, series: Sequence[str], from_ms: int, to_ms: int) -> int:
    """The most transfers that were pending at once."""
    (row,) = await _rows(conn, _PEAK, (list(series), from_ms, to_ms))
    return int(row[0])


async def overdue(conn: Connection, series: Sequence[str], from_ms: int, to_ms: int, older_ms: int) -> int:
    """In how many series a transfer was pending for longer than this: at least so many were."""
    (row,) = await _rows(conn, _LATE, (list(series), from_ms, to_ms, older_ms))
    return int(row[0])


async def reporters(conn: Connection, components: Sequence[str], from_ms: int, to_ms: int) -> int:
    """How many persons reported one of these components."""
    (row,) = await _rows(conn, _REPORTERS, (list(components), from_ms, to_ms))
    return int(row[0])


async def refused(conn: Connection, *, since_ms: int) -> list[RefusedRow]:
    """What was not taken as evidence since then, the latest hour first."""
    return [RefusedRow(*row) for row in await _rows(conn, _REFUSED, (since_ms,))]


async def _rows(conn: Connection, query: Any, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    return await (await conn.execute(query, values)).fetchall()
