"""What a replay reads from health's database and says to it, on a real one: as stored, and nothing else."""

import json
from datetime import UTC, datetime

import psycopg
import pytest

from hakika import clock
from hakika.simulator.demand import Order
from hakika.simulator.detection import EventRow
from hakika.simulator.driver import Told
from hakika.simulator.health_rows import announce, faults_of, read
from hakika.simulator.scenario import Amounts, Bank, Demand, Event, Expected, Maintenance, Phase, Scenario
from hakika.store.embedded import RoleAccess

BEGAN_MS = 1_700_000_000_000
MET = dict.fromkeys(("failures", "oldest", "backlog", "reports", "probes"), "met")
EVENTS = [
    ("opened", {"cause": "core:", "components": ["corridor:bank-a"], "start_ms": 1, "worst": "unavailable"}),
    ("grew", {"components": ["corridor:bank-a", "corridor:bank-b"], "start_ms": 1, "worst": "unavailable"}),
    ("recovering", {"open_percent": 100}),
    ("closed", {"conditions": MET}),
]
TICK = """
INSERT INTO detector_state VALUES ('judge', '{}', %s) ON CONFLICT (series) DO UPDATE SET upto_ms = EXCLUDED.upto_ms
"""


async def test_events_come_as_they_are_stored(health_database: RoleAccess) -> None:
    incident = clock.new_id()
    with psycopg.connect(health_database.owner_url) as conn:
        conn.execute("INSERT INTO incident VALUES (%s, %s)", (incident, BEGAN_MS + 1))
        for number, (kind, body) in enumerate(EVENTS, start=1):
            conn.execute(TICK, (BEGAN_MS + number,))
            conn.execute("INSERT INTO judgement (at_ms, body) VALUES (%s, '{}')", (BEGAN_MS + number,))
            conn.execute(
                "INSERT INTO incident_event (incident, number, at_ms, actor, kind, body)"
                " VALUES (%s, %s, %s, 'rule', %s, %s)",
                (incident, number, BEGAN_MS + number, kind, json.dumps(body)),
            )
    found = await read(health_database.reader_url)
    assert found == [
        EventRow(incident.hex, 1, BEGAN_MS + 1, "opened", ("corridor:bank-a",), "core:"),
        EventRow(incident.hex, 2, BEGAN_MS + 2, "grew", ("corridor:bank-a", "corridor:bank-b")),
        EventRow(incident.hex, 3, BEGAN_MS + 3, "recovering"),
        EventRow(incident.hex, 4, BEGAN_MS + 4, "closed"),
    ]


async def test_planned_work_is_announced_as_an_operator_would(health_database: RoleAccess) -> None:
    planned = Maintenance(60, 204, ["role:core", "corridor:bank-a"], {"en": "Upgrade.", "fr": "Mise à niveau."}, 30)
    await announce(health_database.app_url, planned, BEGAN_MS)
    with psycopg.connect(health_database.reader_url) as conn:
        rows = conn.execute("SELECT from_ms, to_ms, components, words, announced_by FROM maintenance").fetchall()
    assert rows == [
        (BEGAN_MS + 60_000, BEGAN_MS + 204_000, ["role:core", "corridor:bank-a"], planned.words, "scenario"),
    ]  # fmt: skip


def told(bank: str, at_s: float) -> Told:
    return Told(Order(1, at_s, bank, 1, "254712345678", "Wanjiru", "open", 100), BEGAN_MS + round(at_s * 1000))


@pytest.mark.parametrize(
    ("components", "first_s"),
    [
        (["corridor:bank-b"], 21.5),  # its own bank's customers alone can meet it
        (["corridor:bank-a", "corridor:bank-b"], 20.25),
        (["role:core"], 20.25),
        (["corridor:bank-z"], 20.0),  # nobody ordered there: from its beginning
    ],
)
def test_delay_counts_from_the_first_order_that_could_be_hit(components: list[str], first_s: float) -> None:
    scenario = Scenario(
        name="x", title="x", place="x", starts=datetime(2023, 7, 27, 12, tzinfo=UTC), seed=1, scale=60,
        demand_until_s=60, drain_s=9, outage=(20, 50),
        banks=[Bank("bank-a", "A", "asks_first", "house-4h")], amounts=Amounts(1, 2),
        phases=[Phase("p", "p", 0)], events=[Event(0, "n", mend="all")], demand=[Demand("bank-a", [(0, 1), (60, 1)])],
        expected=[Expected(20, 50, components, causes=["core"], required=False)],
    )  # fmt: skip
    orders = [told("bank-a", 19.9), told("bank-b", 19.99), told("bank-a", 20.25), told("bank-b", 21.5)]
    (fault,) = faults_of(scenario, BEGAN_MS, orders)
    assert fault.first_ms == BEGAN_MS + round(first_s * 1000)
    assert fault.until_ms == BEGAN_MS + 50_000
    assert fault.components == frozenset(components) and not fault.required and fault.causes == {"core"}
