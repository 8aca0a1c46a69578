"""A judge that is killed between any two steps, or whose commit replies are lost, goes on where it was.

The same stored evidence is judged by one judge in peace and by others that are killed again and again. In the end
events, days and the state of every detector are the same: nothing is lost, nothing is repeated.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from judge_kit import COMPONENTS, CORRIDORS, T0_MS, ZONE, Fault, Platform, said

from hakika.health.crash_points import EXIT_CODE, POINTS, VARIABLE, CrashPointRefused, armed
from hakika.health.incident import Stage
from hakika.health.judge import Judge
from hakika.store.embedded import RoleAccess
from hakika.store.lane import Lanes, NoAnswer
from hakika.store.server_roles import Role

T = TypeVar("T")
BEGINS, ENDS, TO = 60, 150, 330
SCALE = 12.0
FAULTS = [Fault((CORRIDORS[0],), BEGINS, 90, share=0.9), Fault(CORRIDORS, 90, ENDS, share=0.9)]
LIFE = Path(__file__).with_name("judge_life.py")
PER_TICK = ("before_read", "after_read", "after_assessment", "after_claim", "after_states", "after_commit")
NewDatabase = Callable[[Role, bool], RoleAccess]


def stored(database: RoleAccess) -> dict[str, list[Any]]:
    """What judging has left; whose tick it was and when rows came is left out."""
    queries = {
        "events": "SELECT incident, number, at_ms, actor, kind, body FROM incident_event ORDER BY incident, number",
        "judgements": "SELECT at_ms, body FROM judgement ORDER BY seq",
        "days": "SELECT * FROM component_day ORDER BY component, day",
        "open": "SELECT * FROM open_cause",
        "standing": "SELECT upto_ms, state -> 'assessment' FROM detector_state WHERE series = 'judge'",
        "detectors": "SELECT series, state FROM detector_state WHERE series <> 'judge' ORDER BY series",
    }
    with psycopg.connect(database.reader_url, autocommit=True) as reader:
        return {name: reader.execute(query.encode()).fetchall() for name, query in queries.items()}


def with_evidence(database: RoleAccess) -> RoleAccess:
    """All evidence of the test's minutes, not yet judged."""

    async def work() -> None:
        platform = Platform(database, FAULTS)
        while platform.second < TO:
            platform.write_slot()
        await platform.close()

    asyncio.run(work())
    return database


def life(database: RoleAccess, crash_at: str = "") -> int:
    """One process; its exit status."""
    environment = {**os.environ, VARIABLE: crash_at, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, str(LIFE), database.app_url, str(TO), str(SCALE)]
    done = subprocess.run(words, env=environment, timeout=60, capture_output=True, text=True)
    assert done.returncode in (0, EXIT_CODE), done.stderr
    return done.returncode


@pytest.fixture
def in_peace(new_database: NewDatabase) -> dict[str, list[Any]]:
    """What one judge makes of the evidence."""
    database = with_evidence(new_database("health", True))
    assert life(database) == 0
    left = stored(database)
    kinds = [kind for _, _, _, _, kind, _ in left["events"]]
    assert kinds[0] == "opened"
    assert kinds[-1] == "closed"
    assert "localised" in kinds
    return left


@pytest.mark.timeout(300)
def test_killed_at_every_step_it_ends_the_same(new_database: NewDatabase, in_peace: dict[str, list[Any]]) -> None:
    assert set(PER_TICK) | {"after_judgement", "after_event"} == {one for one in POINTS if "publi" not in one}
    for point in (*PER_TICK, "after_judgement", "after_event"):
        database = with_evidence(new_database("health", True))
        # A tick may reach a point several times: each life goes one further than the last, so that all of them end.
        lives = (f"{point}:{17 if point in PER_TICK else number}" for number in range(1, 40))
        killed = sum(1 for _ in takewhile(lambda one: one == EXIT_CODE, (life(database, at) for at in lives)))
        assert 2 <= killed < 39, point
        assert stored(database) == in_peace, point


class LossyLanes(Lanes):
    """Commits, and loses every third reply; sometimes loses the request instead."""

    asked = 0
    losing = True

    async def run(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]], *, deadline_s: float) -> T:
        self.asked += 1
        if self.losing and self.asked % 7 == 0:
            raise NoAnswer("the request was lost")
        result = await super().run(work, deadline_s=deadline_s)
        if self.losing and self.asked % 3 == 0:
            raise NoAnswer("the reply was lost")
        return result


def test_lost_replies_change_nothing(
    new_database: NewDatabase, in_peace: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hakika.health.judge.SETTLE_PAUSE_S", 0.001)
    database = with_evidence(new_database("health", True))

    async def work() -> int:
        lanes = LossyLanes(database.app_url, size=1, name="lossy")
        from hakika.health.refitting import Refitting

        judge = Judge(
            lanes, Refitting(lanes, COMPONENTS, scale=SCALE).wake_up, components=COMPONENTS, zone=ZONE, scale=SCALE
        )
        second = 5
        while second <= TO:
            try:
                await judge.tick(T0_MS + 1000 * second + 600)
            except NoAnswer:
                continue  # the evidence could not be read: nothing has happened
            second += 5
        await lanes.close()
        return lanes.asked

    assert asyncio.run(work()) > 2 * TO // 5 + 20
    assert stored(database) == in_peace


def test_two_judges_hinder_each_other_and_do_no_harm(new_database: NewDatabase) -> None:
    database = new_database("health", True)

    async def work() -> None:
        platform = Platform(database, FAULTS, scale=SCALE)
        other = platform.new_judge()
        lost = 0
        while platform.second < TO:
            platform.write_slot()
            lost += await platform.judge.tick(platform.now_ms) is None
            lost += await other.tick(platform.now_ms + 3) is None
        assert lost > 20  # each found at every turn that the other had been first
        (incident,) = await platform.incidents()
        await platform.close()
        assert incident.stage is Stage.CLOSED
        assert said(incident).count("Opened") == 1

    asyncio.run(work())


def test_only_named_points_can_be_armed() -> None:
    with pytest.raises(CrashPointRefused):
        armed("nowhere")
    with pytest.raises(CrashPointRefused):
        armed("after_commit:x")
    armed("")("after_commit")
    armed("after_commit:2")("after_commit")  # the first time: nothing yet
