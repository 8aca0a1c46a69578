"""Detectors are refitted from quiet stored intervals alone, go on where they were, and keep a model under suspicion."""

import asyncio

import pytest
from incident_rows import closed_incident
from judge_kit import CORRIDORS, T0_MS, Fault, Platform

from hakika.health.recent import OLDEST_MIN_MS
from hakika.health.refitting import AROUND_MS, quiet_rows
from hakika.store.embedded import RoleAccess
from hakika.store.health.evidence import SignalRow

A, B = CORRIDORS
HOUR_S = 3_700


def row(at_ms: int) -> SignalRow:
    """A quiet interval."""
    return SignalRow(A, "gateway", at_ms, 5_000, 9, 9, {}, 0, 1, 800)


def test_what_an_incident_covers_is_not_quiet() -> None:
    incident = closed_incident(A, T0_MS, T0_MS + 60_000)
    rows = [row(T0_MS + 1_000 * second) for second in range(-1_800, 1_800, 5)]
    quiet = quiet_rows(rows, [incident], A, T0_MS + 10**7)
    assert {one.at_ms for one in rows} - {one.at_ms for one in quiet} == {
        one.at_ms for one in rows if -AROUND_MS <= one.at_ms - T0_MS <= 60_000 + AROUND_MS
    }
    assert quiet_rows(rows, [incident], B, T0_MS) == rows


@pytest.mark.parametrize("broken", [False, True])
def test_a_series_takes_its_model_unless_something_is_held_against_it(
    health_database: RoleAccess, broken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hakika.health.refitting.PAUSE_S", 0.0)

    async def work() -> None:
        faults = [Fault((A,), HOUR_S, HOUR_S + 60, share=0.9)] if broken else []
        platform = Platform(health_database, faults)
        while platform.second < HOUR_S:
            platform.write_slot()
        assert await platform.run_to(HOUR_S + 30) == [] or broken
        detectors = platform.refitting.current
        assert detectors is not None
        before = dict(detectors.marks())
        fitted, whole = await platform.refitting.refit(platform.now_ms)
        assert not whole  # an hour is no day
        assert fitted == len(before) - (1 if broken else 0)
        assert dict(detectors.marks()) == before
        known = {name: one.recent.usual for name, one in detectors._components.items()}
        assert known[B].oldest_ms == OLDEST_MIN_MS
        assert known[B].open_count is not None
        assert (known[A].open_count is None) is broken
        # Put away and woken in another process, it is the same.
        await platform.run_to(platform.second + 5)
        platform.judge = platform.new_judge()
        await platform.run_to(platform.second + 5)
        woken = platform.refitting.current
        assert woken is not None and woken is not detectors
        assert woken._components[B].recent.usual == known[B]
        assert woken._components[B].detector.model == detectors._components[B].detector.model
        await platform.close()

    asyncio.run(work())
