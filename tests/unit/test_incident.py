"""An incident's rules as complete tables: every stage with every event, and every way of the close rule.

A pair without a row fails, so a new stage or event cannot come in without a decision about it.
"""

import json
from dataclasses import replace
from itertools import product
from typing import Any, get_args

import pytest
from incident_states import (
    AT_MS,
    BY_HAND,
    CAUSE,
    COMPONENTS,
    EVENTS,
    GREW,
    ID,
    LOCALISED,
    MET,
    OPENED,
    OTHER,
    OVERRAN,
    RELAPSED,
    SAID_AGAINST,
    STAGES,
    START_MS,
    UNMEASURED,
    UNMET,
    WINDOW,
    after,
)

from hakika.domain.reasons import InvariantBroken
from hakika.health.incident import (
    MOVES,
    OPEN,
    RULE,
    Incident,
    Origin,
    Recorded,
    Refusal,
    Stage,
    closable,
    decide,
    disputed,
    fold,
)
from hakika.health.incident_events import (
    KINDS,
    Acknowledged,
    Closed,
    Condition,
    Event,
    Grew,
    Localised,
    Measured,
    Merged,
    Met,
    Opened,
    OpenedByHand,
    OperatorCorrected,
    OperatorSaidResolved,
    OperatorWrote,
    Overran,
    Recovering,
    Relapsed,
    Updated,
    from_body,
    kind_of,
    to_body,
)

INV, IDE, REC, DIS = Stage.INVESTIGATING, Stage.IDENTIFIED, Stage.RECOVERING, Stage.DISPUTED
CLO, MER = Stage.CLOSED, Stage.MERGED
NO, KNOWN, NEW, OVER = Refusal.NO_INCIDENT, Refusal.KNOWN, Refusal.NOTHING_NEW, Refusal.NOT_OPEN
AWAY, BROKEN = Refusal.MERGED_AWAY, Refusal.STILL_BROKEN

# For each event of EVENTS, what it leads to from none, investigating, identified, recovering, disputed, closed, merged.
TABLE: dict[type[Any], tuple[Stage | Refusal, ...]] = {
    Opened: (INV, KNOWN, KNOWN, KNOWN, KNOWN, KNOWN, KNOWN),
    OpenedByHand: (INV, KNOWN, KNOWN, KNOWN, KNOWN, KNOWN, KNOWN),
    Overran: (IDE, KNOWN, KNOWN, KNOWN, KNOWN, KNOWN, KNOWN),
    Localised: (NO, IDE, IDE, REC, DIS, OVER, AWAY),
    Grew: (NO, INV, IDE, REC, DIS, OVER, AWAY),
    Updated: (NO, INV, IDE, REC, DIS, OVER, AWAY),
    Relapsed: (NO, NEW, NEW, INV, NEW, INV, AWAY),
    Recovering: (NO, REC, REC, NEW, REC, OVER, AWAY),
    Measured: (NO, INV, IDE, REC, NEW, OVER, AWAY),  # the dispute has recorded the same conditions
    Closed: (NO, BROKEN, BROKEN, CLO, BROKEN, NEW, AWAY),
    Acknowledged: (NO, INV, IDE, REC, DIS, OVER, AWAY),
    OperatorWrote: (NO, INV, IDE, REC, DIS, CLO, AWAY),
    OperatorCorrected: (NO, INV, IDE, REC, DIS, CLO, AWAY),
    Merged: (NO, MER, MER, MER, MER, MER, AWAY),
    OperatorSaidResolved: (NO, DIS, DIS, REC, NEW, OVER, AWAY),
}


@pytest.mark.parametrize(("stage", "kind"), list(product(Stage, KINDS.values())), ids=str)
def test_every_stage_with_every_event(stage: Stage, kind: type[Any]) -> None:
    expected = TABLE[kind][list(Stage).index(stage)]
    before = STAGES[stage]
    decided = decide(before, EVENTS[kind], at_ms=AT_MS + 10_000)
    if isinstance(expected, Refusal):
        assert decided is expected
        return
    assert isinstance(decided, Incident)
    assert decided.stage is expected
    assert decided.number == before.number + 1
    assert decided.events[:-1] == before.events
    assert decided.stage_ms == (AT_MS + 10_000 if expected is not stage else before.stage_ms)


def test_the_tables_are_complete() -> None:
    assert set(KINDS.values()) == set(get_args(Event)) == set(EVENTS) == set(TABLE)
    assert set(MOVES) == set(product(Stage, KINDS.values()))
    assert list(STAGES) == list(Stage)
    assert all(incident.stage is stage for stage, incident in STAGES.items())


@pytest.mark.parametrize("said", [False, True])
@pytest.mark.parametrize("values", list(product(Met, repeat=len(Condition))))
def test_the_close_rule_over_every_measurement(values: tuple[Met, ...], said: bool) -> None:
    conditions = {condition.value: met.value for condition, met in zip(Condition, values, strict=True)}
    unmet = Met.UNMET in values
    vouched = Met.MET in (
        values[list(Condition).index(Condition.FAILURES)],
        values[list(Condition).index(Condition.PROBES)],
    )
    assert closable(conditions, said=said) is (not unmet and (said or vouched))
    assert disputed(conditions) is unmet
    recovering = after(OPENED, Recovering(90))
    recovering = replace(recovering, said_ms=1 if said else None)
    closed = decide(recovering, Closed(conditions), at_ms=AT_MS)
    assert isinstance(closed, Incident) is closable(conditions, said=said)
    if not isinstance(closed, Incident):
        assert closed is Refusal.CONDITIONS_UNMET


@pytest.mark.parametrize("missing", list(Condition))
def test_a_condition_that_is_left_out_closes_nothing(missing: Condition) -> None:
    conditions = {name: met for name, met in MET.items() if name != missing}
    assert not closable(conditions, said=True)
    assert decide(STAGES[REC], Closed(conditions), at_ms=AT_MS) is Refusal.CONDITIONS_UNMET


def test_opening_says_when_and_what() -> None:
    incident = after(OPENED)
    assert (incident.start_ms, incident.detected_ms) == (START_MS, AT_MS)
    assert (incident.cause, incident.components, incident.worst) == (CAUSE, COMPONENTS, "degraded")
    assert incident.measured
    assert not incident.identified
    assert incident.acknowledged_ms is None
    late = decide(Incident(ID), replace(OPENED, start_ms=AT_MS + 5), at_ms=AT_MS)
    assert isinstance(late, Incident)
    assert late.start_ms == AT_MS  # never after its detection
    for opener in (OPENED, BY_HAND, OVERRAN):
        assert decide(Incident(ID), replace(opener, components=()), at_ms=AT_MS) is Refusal.NO_COMPONENTS
    assert decide(Incident(ID), replace(BY_HAND, words={"en": " "}), at_ms=AT_MS) is Refusal.NO_WORDS


def test_what_overran_has_the_planned_end_as_its_start() -> None:
    incident = after(OVERRAN)
    assert (incident.start_ms, incident.window, incident.origin) == (START_MS, WINDOW, Origin.MAINTENANCE)
    assert incident.identified


def test_an_incident_by_hand_waits_for_evidence_or_for_the_operator() -> None:
    by_hand = after(BY_HAND, Recovering(100))
    assert decide(by_hand, Closed(MET), at_ms=AT_MS) is Refusal.CONDITIONS_UNMET
    said = decide(by_hand, OperatorSaidResolved(UNMEASURED), at_ms=AT_MS, actor="amina")
    assert isinstance(said, Incident)
    closed = decide(said, Closed(UNMEASURED), at_ms=AT_MS)
    assert isinstance(closed, Incident)
    measured = after(BY_HAND, LOCALISED, Recovering(100), Closed(MET))
    assert measured.stage is CLO


def test_growing_joins_and_never_forgets() -> None:
    incident = after(OPENED, LOCALISED, GREW)
    assert incident.components == ("channel:core-api", "corridor:bank-a", "product:bank-to-wallet")
    assert incident.cause == "core:"
    assert incident.start_ms == START_MS - 5_000
    assert incident.worst == "unavailable"
    assert decide(incident, replace(GREW, absorbed=()), at_ms=AT_MS) is NEW
    assert decide(incident, LOCALISED, at_ms=AT_MS) is NEW
    again = decide(incident, Grew((), START_MS, "degraded"), at_ms=AT_MS)
    assert again is NEW  # the worst stays the worst


def test_a_relapse_reopens_and_forgets_what_the_operator_said() -> None:
    said = after(OPENED, Recovering(90), OperatorSaidResolved(MET), Closed(MET))
    assert said.said_ms is not None
    again = decide(said, RELAPSED, at_ms=AT_MS + 9_000)
    assert isinstance(again, Incident)
    assert (again.stage, again.closed_ms, again.said_ms) == (INV, None, None)
    assert again.relapses_ms == (AT_MS + 7_000,)
    assert again.conditions == {}
    known = after(OPENED, Localised(CAUSE, COMPONENTS, START_MS), Recovering(90), RELAPSED)
    assert known.stage is IDE


def test_words_against_the_evidence_are_public_and_with_it_they_close() -> None:
    assert after(OPENED, SAID_AGAINST).stage is DIS
    assert after(OPENED, OperatorSaidResolved(MET)).stage is REC
    assert after(OPENED, OperatorSaidResolved(UNMEASURED)).stage is REC
    assert decide(after(OPENED, SAID_AGAINST), Closed(MET), at_ms=AT_MS) is BROKEN
    assert after(OPENED, SAID_AGAINST, Recovering(99), Closed(MET)).stage is CLO


def test_corrections_have_limits() -> None:
    incident = after(OPENED)
    assert decide(incident, OperatorCorrected(AT_MS + 1), at_ms=AT_MS) is Refusal.START_AFTER_DETECTION
    assert decide(incident, OperatorCorrected(components=()), at_ms=AT_MS) is Refusal.NO_COMPONENTS
    assert decide(incident, OperatorCorrected(), at_ms=AT_MS) is NEW
    moved = decide(incident, OperatorCorrected(1, ("channel:ussd",)), at_ms=AT_MS)
    assert isinstance(moved, Incident)
    assert (moved.start_ms, moved.components) == (1, ("channel:ussd",))
    assert decide(incident, OperatorWrote({"en": "", "fr": " "}), at_ms=AT_MS) is Refusal.NO_WORDS
    assert decide(incident, Merged(ID), at_ms=AT_MS) is Refusal.INTO_ITSELF


def test_the_first_act_of_a_person_acknowledges() -> None:
    incident = after(OPENED)
    for event in (Acknowledged(), OperatorWrote({"en": "We see it."}), OperatorCorrected(1)):
        seen = decide(incident, event, at_ms=AT_MS + 3, actor="amina")
        assert isinstance(seen, Incident)
        assert seen.acknowledged_ms == AT_MS + 3
        assert decide(seen, Acknowledged(), at_ms=AT_MS + 4, actor="amina") is NEW
    by_rule = decide(incident, Measured(UNMET), at_ms=AT_MS + 3, actor=RULE)
    assert isinstance(by_rule, Incident)
    assert by_rule.acknowledged_ms is None


@pytest.mark.parametrize("kind", list(KINDS))
def test_an_event_is_the_same_after_it_was_stored(kind: str) -> None:
    event = EVENTS[KINDS[kind]]
    assert kind_of(event) == kind
    assert from_body(kind, json.loads(json.dumps(to_body(event)))) == event


def test_fold_is_what_was_decided_and_refuses_what_could_not_be() -> None:
    incident = after(OPENED, LOCALISED, Updated("held", {"count": 3, "promise_ms": 9}), Recovering(80), Closed(MET))
    assert fold(ID, incident.events) == incident
    with pytest.raises(InvariantBroken):
        fold(ID, incident.events[1:])
    with pytest.raises(InvariantBroken):
        fold(ID, (*incident.events, replace(incident.events[-1], number=7)))
    with pytest.raises(InvariantBroken):
        fold(ID, (incident.events[0], Recorded(2, AT_MS, RULE, Closed(MET))))


def test_open_is_what_may_still_change() -> None:
    assert {stage for stage in Stage if STAGES[stage].open} == OPEN == {INV, IDE, REC, DIS}
    assert after(OPENED, Merged(OTHER)).merged_into == OTHER
