"""One tick of the judge as rows: who has it, where every detector stands, what is held to be true, the day's minutes.

`claim` is the fence. The row `judge` of detector_state names the last tick and its holder, and moves from the tick
that the claimant has read to the claimant's own, or not at all: so a tick that was committed is never committed
again, whether its reply was lost or another process judges too. Everything else of a tick is in the same transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

Connection = AsyncConnection[Any]
JUDGE = "judge"


class Claim(StrEnum):
    """What became of a tick."""

    MINE = "mine"
    DONE = "done"  # it was committed before: its reply had been lost
    LOST = "lost"  # another process has judged meanwhile: read everything again


class Standing(NamedTuple):
    """The last tick: its instant and what was held to be true then."""

    tick_ms: int
    assessment: dict[str, Any]


class StateRow(NamedTuple):
    """Where one detector stands, and up to which instant it has seen."""

    series: str
    state: dict[str, Any]
    upto_ms: int


class DayRow(NamedTuple):
    """Minutes of one component on one day."""

    component: str
    day: date
    worst: str
    measured: int
    good: int
    down: int


_CLAIM = """
INSERT INTO detector_state (series, state, upto_ms) VALUES (%s, %s, %s)
ON CONFLICT (series) DO UPDATE SET state = EXCLUDED.state, upto_ms = EXCLUDED.upto_ms
WHERE detector_state.upto_ms = %s RETURNING true
"""
_STANDING = "SELECT upto_ms, state ->> 'holder', state -> 'assessment' FROM detector_state WHERE series = %s"
_STATES = "SELECT series, state, upto_ms FROM detector_state WHERE series <> %s"
_SAVE = """
INSERT INTO detector_state (series, state, upto_ms)
SELECT unnest(%s::text[]), unnest(%s::jsonb[]), unnest(%s::bigint[])
ON CONFLICT (series) DO UPDATE SET state = EXCLUDED.state, upto_ms = EXCLUDED.upto_ms
"""
_JUDGED = "INSERT INTO judgement (at_ms, body) VALUES (%s, %s)"
_LAST_JUDGED = "SELECT at_ms, body FROM judgement ORDER BY seq DESC LIMIT 1"
_ADD_DAY = """
INSERT INTO component_day (component, day, worst, measured, good, down)
SELECT unnest(%s::text[]), unnest(%s::date[]), unnest(%s::text[]), unnest(%s::integer[]), unnest(%s::integer[]),
    unnest(%s::integer[])
ON CONFLICT (component, day) DO UPDATE SET worst = EXCLUDED.worst,
    measured = least(1500, component_day.measured + EXCLUDED.measured),
    good = least(1500, component_day.good + EXCLUDED.good),
    down = least(1500, component_day.down + EXCLUDED.down)
"""
_DAYS = "SELECT component, day, worst, measured, good, down FROM component_day WHERE day >= %s ORDER BY component, day"


async def claim(
    conn: Connection, *, holder: UUID, tick_ms: int, previous_ms: int | None, assessment: Mapping[str, Any]
) -> Claim:
    """Take the tick at `tick_ms`, if `previous_ms` is still the last one."""
    state = Jsonb({"holder": holder.hex, "assessment": assessment})
    taken = await (await conn.execute(_CLAIM, (JUDGE, state, tick_ms, previous_ms))).fetchone()
    if taken is not None:
        return Claim.MINE
    found = await (await conn.execute(_STANDING, (JUDGE,))).fetchone()
    return Claim.DONE if found is not None and (found[0], found[1]) == (tick_ms, holder.hex) else Claim.LOST


async def standing(conn: Connection) -> Standing | None:
    """The last tick; None before the first."""
    found = await (await conn.execute(_STANDING, (JUDGE,))).fetchone()
    return Standing(found[0], found[2]) if found is not None else None


async def load(conn: Connection) -> list[StateRow]:
    """Where every detector stands."""
    return [StateRow(*row) for row in await (await conn.execute(_STATES, (JUDGE,))).fetchall()]


async def save(conn: Connection, rows: Iterable[StateRow]) -> None:
    """Keep where these detectors stand now."""
    kept = [(row.series, Jsonb(row.state), row.upto_ms) for row in rows]
    if kept:
        await conn.execute(_SAVE, [list(column) for column in zip(*kept, strict=True)])


async def judged(conn: Connection, at_ms: int, body: Mapping[str, Any]) -> None:
    """Keep a change of what is held to be true."""
    await conn.execute(_JUDGED, (at_ms, Jsonb(body)))


async def last_judged(conn: Connection) -> tuple[int, dict[str, Any]] | None:
    """The last change: when, and what is held since."""
    return await (await conn.execute(_LAST_JUDGED)).fetchone()


async def add_days(conn: Connection, rows: Sequence[DayRow]) -> None:
    """Add minutes to days; `worst` replaces what the day had."""
    if rows:
        await conn.execute(_ADD_DAY, [list(column) for column in zip(*rows, strict=True)])


async def days(conn: Connection, since: date) -> list[DayRow]:
    """The days of every component from `since` on, oldest first."""
    return [DayRow(*row) for row in await (await conn.execute(_DAYS, (since,))).fetchall()]
