"""What a component is said to be, to the public and to its bank, in every combination that matters."""

from dataclasses import replace
from uuid import UUID

import pytest
from incident_states import AT_MS, BY_HAND, MET, OPENED, SAID_AGAINST, UNMET, after

from hakika.health.assessment import Assessment, Figures, Reading
from hakika.health.deciding import Window
from hakika.health.incident import Incident
from hakika.health.incident_events import Closed, Recovering
from hakika.health.shown import STALE_MS, corridor_facts, shown
from hakika.health.statements import Condition as Told
from hakika.health.statements import decision_of

A = "corridor:bank-a"
NOW_MS = AT_MS + 20_000
WELL = Reading(A, "available", conditions=MET, well_since_ms=NOW_MS - 400_000)
OUT = Reading(A, "unavailable", 3, True, AT_MS - 10_000, conditions=UNMET, figures=Figures(50, 40, {"timeout": 40}))
SLOW = replace(OUT, state="degraded", level=2)
MENDING = replace(OUT, state="degraded", broken=False, well_since_ms=NOW_MS - 5_000)
UNKNOWN = Reading(A)
WORK = Window(UUID(int=5), AT_MS - 1_000, NOW_MS + 1_000, (A,))
OPEN, BACK = after(OPENED), after(OPENED, Recovering(90))
OVER = after(OPENED, Recovering(90), Closed(MET))
HAND_OUT = after(replace(BY_HAND, worst="unavailable"))

# reading, incidents, windows -> what the page says; what the bank is told, if anything
CASES: dict[str, tuple[Reading, list[Incident], list[Window], str, Told | None]] = {
    "well": (WELL, [], [], "available", Told.WELL),
    "well after an incident": (WELL, [OVER], [], "available", Told.WELL),
    "not measured": (UNKNOWN, [], [], "unknown", None),
    "slow is for banks alone": (SLOW, [], [], "available", Told.SLOW),
    "broken": (OUT, [OPEN], [], "unavailable", Told.BROKEN),
    "broken in part": (SLOW, [OPEN], [], "degraded", Told.BROKEN),
    "disputed stays as measured": (OUT, [after(OPENED, SAID_AGAINST)], [], "unavailable", Told.BROKEN),
    "mends before the others": (MENDING, [OPEN], [], "degraded", Told.RECOVERING),
    "is well before the others": (WELL, [OPEN], [], "available", Told.WELL),
    "recovers": (MENDING, [BACK], [], "degraded", Told.RECOVERING),
    "told of no more, in an incident": (UNKNOWN, [OPEN], [], "degraded", Told.BROKEN),
    "an operator knows of it": (WELL, [HAND_OUT], [], "unavailable", Told.BROKEN),
    "an operator knows of a part": (WELL, [after(BY_HAND)], [], "degraded", Told.SLOW),
    "announced work": (OUT, [], [WORK], "maintenance", Told.BROKEN),
    "an incident during work": (OUT, [OPEN], [WORK], "unavailable", Told.BROKEN),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_said(name: str) -> None:
    reading, incidents, windows, state, told = CASES[name]
    seen = Assessment(NOW_MS, {A: reading})
    states = shown((A,), seen, incidents, windows, NOW_MS)
    assert states[A].state == state
    facts = corridor_facts(["bank-a"], states, seen)
    assert [one.condition for one in facts] == ([] if told is None else [told])


def test_an_old_assessment_says_nothing_about_now() -> None:
    seen = Assessment(NOW_MS, {A: WELL})
    assert shown((A,), seen, [], [], NOW_MS + STALE_MS)[A].state == "available"
    assert shown((A,), seen, [], [], NOW_MS + STALE_MS + 1)[A].state == "unknown"


def test_a_bank_is_told_why_and_of_which_incident() -> None:
    seen = Assessment(NOW_MS, {A: OUT})
    (facts,) = corridor_facts(["bank-a"], shown((A,), seen, [OPEN], [], NOW_MS), seen)
    assert facts.reasons == ("timeout",)
    assert facts.incident == f"inc_{OPEN.id.hex}"
    assert facts.since_ms == OPEN.start_ms
    assert facts.evidence.tx is not None
    assert facts.evidence.tx.technical_fail == 0.8
    assert decision_of(facts, NOW_MS, 1.0) == ("HOLD", 0)
    (mending,) = corridor_facts(["bank-a"], shown((A,), seen, [BACK], [], NOW_MS), Assessment(NOW_MS, {A: MENDING}))
    assert mending.since_ms == MENDING.well_since_ms
    assert decision_of(mending, NOW_MS, 1.0) == ("TRICKLE", 5)
