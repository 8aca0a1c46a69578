"""What a replay reads from health's database, and the one thing that it says to it: planned work.

Rows come as they are stored, with SQL of our own: the judgement of health uses none of health's code. Announcing is
what an operator does on a screen; here it is one row, written at the scenario's second.
"""

import json
from collections.abc import Mapping
from typing import Any

import psycopg

from hakika import clock
from hakika.simulator.detection import EventRow, Fault
from hakika.simulator.driver import Told
from hakika.simulator.scenario import Expected, Maintenance, Scenario
from hakika.store.lane import Lane

READ_S = 30.0
ONE_ROW_S = 10.0
CORRIDOR = "corridor:"

_EVENTS = """
SELECT replace(incident::text, '-', ''), number, at_ms, kind, body FROM incident_event ORDER BY incident, number
"""
_ANNOUNCE = """
INSERT INTO maintenance (id, from_ms, to_ms, components, words, announced_ms, announced_by)
VALUES (%s, %s, %s, %s, %s, %s, 'scenario') ON CONFLICT (id) DO NOTHING
"""


async def read(url: str) -> list[EventRow]:
    """Every event of every incident. Raises store.lane.StoreFault."""

    async def work(conn: psycopg.AsyncConnection[Any]) -> list[Any]:
        return await (await conn.execute(_EVENTS)).fetchall()

    lane = Lane(url, name="hakika replay")
    try:
        events = await lane.run(work, deadline_s=READ_S)
    finally:
        await lane.close()
    return [_event(*row) for row in events]


async def anything_open(url: str) -> bool:
    """An incident has not been closed. Raises store.lane.StoreFault."""

    async def work(conn: psycopg.AsyncConnection[Any]) -> bool:
        row = await (await conn.execute("SELECT EXISTS (SELECT FROM open_cause)")).fetchone()
        return row is not None and bool(row[0])

    lane = Lane(url, name="hakika replay")
    try:
        return await lane.run(work, deadline_s=ONE_ROW_S)
    finally:
        await lane.close()


def _event(incident: str, number: int, at_ms: int, kind: str, body: Mapping[str, Any]) -> EventRow:
    components = tuple(str(name) for name in body.get("components") or ())
    into = str(body.get("into") or "").replace("-", "")
    return EventRow(incident, number, at_ms, kind, components, str(body.get("cause") or ""), into)


async def announce(url: str, planned: Maintenance, began_ms: int) -> None:
    """Planned work, as its operator announces it. Raises store.lane.StoreFault."""
    identifier, now_ms = clock.new_id(), clock.now_ms()
    from_ms, to_ms = (began_ms + round(at_s * 1000) for at_s in (planned.from_s, planned.to_s))
    words = json.dumps(planned.words, ensure_ascii=False)

    async def work(conn: psycopg.AsyncConnection[Any]) -> None:
        await conn.execute(_ANNOUNCE, (identifier, from_ms, to_ms, planned.components, words, now_ms))

    lane = Lane(url, name="hakika replay")
    try:
        await lane.run(work, deadline_s=ONE_ROW_S)
    finally:
        await lane.close()


def faults_of(scenario: Scenario, began_ms: int, told: list[Told]) -> list[Fault]:
    """The scenario's expectations with the instants at which customers could first meet them."""
    return [_fault(expected, began_ms, told) for expected in scenario.expected]


def _fault(expected: Expected, began_ms: int, told: list[Told]) -> Fault:
    from_ms, until_ms = (began_ms + round(at_s * 1000) for at_s in (expected.from_s, expected.to_s))
    banks = {name.removeprefix(CORRIDOR) for name in expected.components if name.startswith(CORRIDOR)}
    everybody = any(not name.startswith(CORRIDOR) for name in expected.components)
    orders = [one.asked_ms for one in told if one.asked_ms >= from_ms and (everybody or one.order.bank in banks)]
    return Fault(
        first_ms=min(orders, default=from_ms),
        until_ms=until_ms,
        components=frozenset(expected.components),
        may=frozenset(expected.may),
        relapse=expected.relapse,
        causes=frozenset(expected.causes),
        required=expected.required,
        since_ms=from_ms,
    )
