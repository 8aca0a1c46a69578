"""The judge over real PostgreSQL: what it opens, names, grows, closes and reopens, and what it keeps silent about.

Five quiet minutes come first; seconds are counted from the fault's first transfer on. Detectors are the real ones,
with their defaults: no history was fitted.
"""

import asyncio
from uuid import UUID

import psycopg
import pytest
from judge_kit import CORRIDORS, T0_MS, Fault, Platform, said, seconds

from hakika.health.incident import Incident, Origin, Stage
from hakika.health.incident_events import Closed, Grew, Merged, Relapsed
from hakika.store.embedded import RoleAccess
from hakika.store.health.evidence import ended_between

BEGINS = 300
A, B = CORRIDORS
PRODUCT = "product:bank-to-wallet"
WINDOW = UUID(int=9)


def lived(platform: Platform, to_s: int) -> list[Incident]:
    """The incidents after `to_s` seconds."""

    async def work() -> list[Incident]:
        try:
            return await platform.run_to(to_s)
        finally:
            await platform.close()

    return asyncio.run(work())


def delay(incident: Incident) -> int:
    """Seconds from the first affected transfer to its detection."""
    return (incident.detected_ms - T0_MS) // 1000 - BEGINS


@pytest.mark.parametrize("per_slot", [1, 5, 50])
def test_one_corridor_is_found_named_and_closed(health_database: RoleAccess, per_slot: int) -> None:
    platform = Platform(health_database, [Fault((A, PRODUCT), BEGINS, BEGINS + 360)], per_slot=per_slot)
    (incident,) = lived(platform, BEGINS + 1200)
    assert delay(incident) <= 60
    assert (incident.cause, incident.components) == (A, (A, PRODUCT))
    assert abs(incident.start_ms - T0_MS - 1000 * BEGINS) <= 10_000
    assert incident.stage is Stage.CLOSED
    assert said(incident)[0] == "Opened"
    assert said(incident)[-2:] == ["Recovering", "Closed"]
    assert incident.relapses_ms == ()
    assert 360 + 285 <= seconds(incident, "Closed") - BEGINS <= 360 + 400  # five minutes held


def test_a_product_seen_first_is_the_same_incident_as_its_corridor(health_database: RoleAccess) -> None:
    faults = [Fault((PRODUCT,), BEGINS, BEGINS + 60), Fault((A, PRODUCT), BEGINS + 60, BEGINS + 200)]
    (incident,) = lived(Platform(health_database, faults, per_slot=20, probes=False), BEGINS + 900)
    assert incident.events[0].event.cause == PRODUCT  # type: ignore[union-attr]
    assert (incident.cause, incident.components) == (A, (A, PRODUCT))
    assert incident.stage is Stage.CLOSED


def test_what_is_said_at_the_end_is_what_the_signals_say(health_database: RoleAccess) -> None:
    platform = Platform(health_database, [Fault((A, PRODUCT), BEGINS, BEGINS + 120)])

    async def work() -> tuple[Incident, int]:
        (incident,) = await platform.run_to(BEGINS + 900)
        found = await platform.lanes.run(
            lambda conn: ended_between(conn, [A], incident.start_ms, (incident.closed_ms or 0) - 1_000), deadline_s=5
        )
        await platform.close()
        return incident, found.ended

    incident, ended = asyncio.run(work())
    (closed,) = [one.event for one in incident.events if isinstance(one.event, Closed)]
    failed = ended - closed.arrived - closed.returned
    assert 0.4 * 24 * 20 < failed < 0.8 * 24 * 20  # of two minutes
    assert closed.returned == ended // 20  # one customer's own error in each interval


def test_all_corridors_are_the_core(health_database: RoleAccess) -> None:
    fault = Fault((A, B, PRODUCT), BEGINS, BEGINS + 360, share=1.0, silent=("core",))
    (incident,) = lived(Platform(health_database, [fault]), BEGINS + 1100)
    assert delay(incident) <= 30
    assert incident.cause == "core:"
    assert incident.components == ("channel:core-api", A, B, PRODUCT, "role:core")
    assert incident.worst == "unavailable"
    assert incident.stage is Stage.CLOSED


def test_a_cause_that_widens_is_one_incident(health_database: RoleAccess) -> None:
    faults = [
        Fault((A, PRODUCT), BEGINS, BEGINS + 120, share=0.9),
        Fault((A, B, PRODUCT), BEGINS + 120, BEGINS + 300, share=0.9),
    ]
    (incident,) = lived(Platform(health_database, faults), BEGINS + 1100)
    assert incident.events[0].event.cause == A  # type: ignore[union-attr]
    assert incident.cause == "core:"
    assert incident.components == (A, B, PRODUCT)
    assert incident.stage is Stage.CLOSED


@pytest.mark.parametrize(
    ("scale", "pause_s", "opened", "closed"),
    [(2.0, 90, 1, 1), (6.0, 200, 1, 2), (6.0, 700, 2, 2)],
    ids=["while it recovers", "soon after its end", "long after its end"],
)
def test_a_relapse_within_half_an_hour_is_the_same_incident(
    health_database: RoleAccess, scale: float, pause_s: int, opened: int, closed: int
) -> None:
    """Half an hour and the five minutes of the close rule are divided by the scale."""
    again = BEGINS + 100 + pause_s
    faults = [Fault((A, PRODUCT), BEGINS, BEGINS + 100), Fault((A, PRODUCT), again, again + 100)]
    found = lived(Platform(health_database, faults, scale=scale), again + 400)
    assert len(found) == opened
    assert all(one.stage is Stage.CLOSED for one in found)
    events = [event.event for one in found for event in one.events]
    assert sum(isinstance(one, Relapsed) for one in events) == 2 - opened
    assert sum(isinstance(one, Closed) for one in events) == closed


def test_a_relapse_that_is_seen_late_began_in_time(health_database: RoleAccess) -> None:
    """Half an hour is 40 s at this scale, and the second fault is so weak that it takes longer to be seen."""
    again = BEGINS + 100 + 95
    faults = [
        Fault((A, PRODUCT), BEGINS, BEGINS + 100),
        Fault((A, PRODUCT), again, again + 300, share=0.17, probes_fail=False),
    ]
    (incident,) = lived(Platform(health_database, faults, scale=45.0), again + 300)
    closed_s, relapsed_s = seconds(incident, "Closed"), seconds(incident, "Relapsed")
    assert closed_s < again <= closed_s + 40 < relapsed_s


def test_a_gateway_that_says_nothing(health_database: RoleAccess) -> None:
    fault = Fault((A, B), BEGINS, BEGINS + 240, silent=("gateway",))
    (incident,) = lived(Platform(health_database, [fault]), BEGINS + 900)
    assert delay(incident) <= 60
    assert incident.cause == "role:gateway"
    assert {"role:gateway", "channel:bank-api", "channel:tracking", A, B, PRODUCT} == set(incident.components)
    assert incident.stage is Stage.CLOSED


def test_a_corridor_without_transfers_is_judged_by_its_tests(health_database: RoleAccess) -> None:
    platform = Platform(health_database, [Fault((A,), BEGINS, BEGINS + 300)], per_slot=0)
    (incident,) = lived(platform, BEGINS + 1100)
    assert delay(incident) <= 90
    assert incident.components == (A,)
    assert incident.stage is Stage.CLOSED


def test_rumours_open_nothing(health_database: RoleAccess) -> None:
    rumour = dict.fromkeys(range(BEGINS, BEGINS + 300, 30), (A, 60))
    assert lived(Platform(health_database, (), reports=rumour), BEGINS + 400) == []


def test_reports_block_the_end(health_database: RoleAccess) -> None:
    ends = BEGINS + 120
    crowd = dict.fromkeys(range(BEGINS, ends + 900, 30), (A, 40))
    (incident,) = lived(Platform(health_database, [Fault((A, PRODUCT), BEGINS, ends)], reports=crowd), ends + 900)
    assert incident.stage is Stage.RECOVERING
    assert incident.conditions == {
        "failures": "met", "oldest": "met", "backlog": "met", "reports": "unmet", "probes": "met"
    }  # fmt: skip


@pytest.mark.parametrize("per_slot", [0, 20])
def test_quiet_hours_open_nothing(health_database: RoleAccess, per_slot: int) -> None:
    assert lived(Platform(health_database, (), per_slot=per_slot), 1800) == []


def announced(platform: Platform, from_s: int, to_s: int, components: tuple[str, ...] = (A, PRODUCT)) -> None:
    """Work on corridor A, or on what is named."""
    platform.app.execute(
        "INSERT INTO maintenance VALUES (%s, %s, %s, %s, '{}', %s, 'amina')",
        (WINDOW, T0_MS + 1000 * from_s, T0_MS + 1000 * to_s, list(components), T0_MS),
    )


def test_announced_work_opens_nothing_while_it_lasts(health_database: RoleAccess) -> None:
    platform = Platform(health_database, [Fault((A, PRODUCT), BEGINS, BEGINS + 300)])
    announced(platform, BEGINS - 10, BEGINS + 600)
    assert lived(platform, BEGINS + 900) == []


def test_work_on_the_core_was_announced_for_all_that_the_core_carries(health_database: RoleAccess) -> None:
    platform = Platform(health_database, [Fault((A, B, PRODUCT), BEGINS, BEGINS + 300, share=1.0, silent=("core",))])
    announced(platform, BEGINS - 10, BEGINS + 600, ("role:core", A, B, PRODUCT))  # not its own interface
    assert lived(platform, BEGINS + 900) == []


def test_work_that_overruns_is_an_incident_from_its_planned_end(health_database: RoleAccess) -> None:
    platform = Platform(health_database, [Fault((A, PRODUCT), BEGINS, BEGINS + 600)])
    announced(platform, BEGINS - 10, BEGINS + 300)
    (incident,) = lived(platform, BEGINS + 1300)
    assert incident.origin is Origin.MAINTENANCE
    assert incident.window == WINDOW
    assert incident.start_ms == T0_MS + 1000 * (BEGINS + 300)
    assert delay(incident) - 300 <= 10
    assert incident.stage is Stage.CLOSED
    assert not any(isinstance(one.event, Grew | Merged) for one in incident.events)


def test_the_days_count_what_was_measured(health_database: RoleAccess) -> None:
    platform = Platform(health_database, [Fault((A, PRODUCT), BEGINS, BEGINS + 300, share=1.0)])
    lived(platform, BEGINS + 900)
    with psycopg.connect(health_database.reader_url) as reader:
        rows = reader.execute("SELECT component, worst, measured, good, down FROM component_day").fetchall()
    days = {row[0]: row[1:] for row in rows}
    assert days[A] == ("unavailable", 19, 14, 5)
    assert days[B] == ("available", 19, 19, 0)
