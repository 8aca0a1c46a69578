"""Incidents under any sequence of judgements, operators and announced work: one cause, one incident; no end unmeasured.

Each step draws what is broken, how sure that is, and which parts of the close rule are met, lets time pass, and now and
then lets an operator speak. The invariants are looked at after every step, from the events alone.
"""

from dataclasses import dataclass
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hakika.health.assessment import Assessment, Figures, Found, Reading, proper
from hakika.health.deciding import Policy, Window, acts, continues, new_id
from hakika.health.incident import Incident, Recorded, Refusal, Stage, closable, decide, fold
from hakika.health.incident_events import (
    Closed,
    Condition,
    Event,
    Merged,
    Met,
    Opened,
    OpenedByHand,
    OperatorSaidResolved,
    OperatorWrote,
    Overran,
    Relapsed,
)

CORRIDORS = ("corridor:a", "corridor:b", "corridor:c")
CHANNELS = ("channel:bank-api", "channel:tracking")
PRODUCT = "product:bank-to-wallet"
ALL = (*CORRIDORS, *CHANNELS, PRODUCT)
POLICY = Policy()
START_MS = 1_000_000_000
met = st.sampled_from([one.value for one in Met])


@dataclass(frozen=True)
class Broken:
    """What is broken at a step, and the conditions of what is not."""

    components: frozenset[str]
    certain: bool
    conditions: tuple[str, ...]


broken = st.builds(
    Broken,
    st.frozensets(st.sampled_from((*CORRIDORS, *CHANNELS)), max_size=4),
    st.booleans(),
    st.tuples(*(met for _ in Condition)),
)
well = st.builds(Broken, st.just(frozenset()), st.just(True), st.just(("met",) * 5))


def found(components: frozenset[str], certain: bool, start_ms: int) -> tuple[Found, ...]:
    """Causes as localisation names them: several corridors are the core, all channels the front, else one by one."""
    corridors = sorted(components & set(CORRIDORS))
    channels = sorted(components & set(CHANNELS))
    causes = []
    if len(corridors) > 1:
        causes.append(Found("core:", (*corridors, PRODUCT), start_ms, certain))
    else:
        causes += [Found(one, (one, PRODUCT), start_ms, certain) for one in corridors]
    if len(channels) == len(CHANNELS):
        causes.append(Found("front:", tuple(channels), start_ms, certain))
    else:
        causes += [Found(one, (one,), start_ms, certain) for one in channels]
    return tuple(causes)


def assessed(drawn: Broken, at_ms: int) -> Assessment:
    """The assessment of a step."""
    conditions = dict(zip([one.value for one in Condition], drawn.conditions, strict=True))
    unmet = {**conditions, Condition.FAILURES.value: Met.UNMET.value}
    readings = {}
    for one in ALL:
        bad = one in drawn.components or (one == PRODUCT and bool(drawn.components & set(CORRIDORS)))
        readings[one] = Reading(
            one,
            "unavailable" if bad else "available",
            (3 if drawn.certain else 2) if bad else 0,
            bad,
            at_ms - 20_000 if bad else None,
            conditions=unmet if bad else conditions,
            figures=Figures(100, 60 if bad else 0, open_count=40 if bad else 1, failed_percent=60 if bad else 0),
        )
    return Assessment(at_ms, readings, found(drawn.components, drawn.certain, at_ms - 20_000))


def _ends(recorded: Recorded) -> bool:
    """An event by which the store knows a recent incident that is not open."""
    return isinstance(recorded.event, Closed | Merged | Overran)


class Incidents(RuleBasedStateMachine):
    """A store of incidents that takes exactly what is decided."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = self.previous_ms = START_MS
        self.incidents: dict[UUID, Incident] = {}
        self.windows: list[Window] = []
        self.seen = Assessment(START_MS)
        self.forms = 0

    @initialize(
        from_s=st.integers(0, 600), lasts_s=st.integers(60, 900), components=st.frozensets(st.sampled_from(ALL))
    )
    def announce(self, from_s: int, lasts_s: int, components: frozenset[str]) -> None:
        """Work is announced, or, of no components, none is."""
        if components:
            from_ms = START_MS + 1000 * from_s
            self.windows.append(Window(UUID(int=77), from_ms, from_ms + 1000 * lasts_s, tuple(sorted(components))))

    @rule(drawn=broken | well, passes_s=st.sampled_from((5, 15, 60, 400, 1700, 4000)))
    def judged(self, drawn: Broken, passes_s: int) -> None:
        """A tick of the judge."""
        self.previous_ms, self.now_ms = self.now_ms, self.now_ms + 1000 * passes_s
        self.seen = assessed(drawn, self.now_ms)
        known = [
            one
            for one in self.incidents.values()
            if one.open or any(_ends(event) and self.now_ms - event.at_ms <= POLICY.known_ms for event in one.events)
        ]
        due = acts(self.seen, known, self.windows, POLICY, previous_ms=self.previous_ms)
        assert due == acts(self.seen, known, self.windows, POLICY, previous_ms=self.previous_ms)
        before = dict(self.incidents)
        for act in due:
            self._take(act.incident, act.recorded.event)
            assert self.incidents[act.incident].events[-1] == act.recorded
            self._rightly(act.recorded, before.get(act.incident), before)
        for cause in self.seen.causes:
            held = [one for one in self.incidents.values() if one.open and continues(one, cause)]
            assert len(held) <= 1
            if cause.certain and not held:
                lasting = {name for one in self.windows if one.lasts(self.now_ms) for name in one.components}
                assert proper(cause.components) <= lasting or not set(cause.components) - lasting

    @rule(component=st.sampled_from(ALL), unmeasured=st.booleans())
    def opened_by_hand(self, component: str, unmeasured: bool) -> None:
        """An operator opens one, unless its cause has one."""
        key = f"hand:{component}" if unmeasured else component
        if any(one.open and one.cause == key for one in self.incidents.values()):
            return
        self.forms += 1
        event = OpenedByHand(key, (component,), self.now_ms, "degraded", {"en": "It was seen."})
        self._take(new_id(f"{key}{self.forms}", self.now_ms), event, actor="amina")

    @rule(place=st.integers(0, 9))
    def said_resolved(self, place: int) -> None:
        """An operator says that it is over."""
        incident = self._one(place)
        if incident is None:
            return
        conditions = self.seen.conditions_of(incident.components)
        decided = decide(incident, OperatorSaidResolved(conditions), at_ms=self.now_ms, actor="amina")
        if isinstance(decided, Incident):
            assert decided.stage is not Stage.CLOSED
            if Met.UNMET in conditions.values() and incident.stage is not Stage.RECOVERING:
                assert decided.stage is Stage.DISPUTED
            self.incidents[incident.id] = decided

    @rule(place=st.integers(0, 9), into=st.integers(0, 9))
    def merged(self, place: int, into: int) -> None:
        """An operator merges two open ones."""
        one, other = self._one(place), self._one(into)
        if one is not None and other is not None and one.id != other.id:
            self._take(one.id, Merged(other.id), actor="amina")

    @rule(place=st.integers(0, 9))
    def wrote(self, place: int) -> None:
        """Words change nothing but the record."""
        incident = self._one(place)
        if incident is not None:
            self._take(incident.id, OperatorWrote({"en": "Engineers are on site."}), actor="amina")
            assert self.incidents[incident.id].stage is incident.stage

    @invariant()
    def one_cause_has_one_open_incident(self) -> None:
        """As the table open_cause holds it."""
        causes = [one.cause for one in self.incidents.values() if one.open]
        assert len(causes) == len(set(causes))

    @invariant()
    def events_are_numbered_without_gaps_and_make_the_incident(self) -> None:
        """Whoever reads the events has the incident."""
        for incident in self.incidents.values():
            assert [one.number for one in incident.events] == list(range(1, incident.number + 1))
            assert fold(incident.id, incident.events) == incident

    @invariant()
    def merged_ones_lead_to_another(self) -> None:
        """And never in a circle."""
        for incident in self.incidents.values():
            seen = {incident.id}
            while incident.merged_into is not None:
                assert incident.merged_into not in seen
                seen.add(incident.merged_into)
                incident = self.incidents[incident.merged_into]

    def _one(self, place: int) -> Incident | None:
        open_ones = sorted((one for one in self.incidents.values() if one.open), key=lambda one: one.id)
        return open_ones[place % len(open_ones)] if open_ones else None

    def _take(self, id_: UUID, event: Event, actor: str = "rule") -> None:
        decided = decide(self.incidents.get(id_, Incident(id_)), event, at_ms=self.now_ms, actor=actor)
        assert not isinstance(decided, Refusal), (event, decided)
        self.incidents[id_] = decided

    def _rightly(self, recorded: Recorded, before: Incident | None, known: dict[UUID, Incident]) -> None:
        """Each event was due."""
        incident = self.incidents[next(i for i, one in self.incidents.items() if recorded in one.events)]
        match recorded.event:
            case Closed(conditions=conditions):
                assert closable(conditions, said=incident.said_ms is not None)
                assert conditions == self.seen.conditions_of(incident.components)
                assert not self.seen.broken_among(proper(incident.components))
            case Opened(components=components):
                lasting = {name for one in self.windows if one.lasts(self.now_ms) for name in one.components}
                assert set(components) - lasting
                recent = [
                    one
                    for one in known.values()
                    if one.stage is Stage.CLOSED
                    and one.closed_ms is not None
                    and self.now_ms - one.closed_ms <= POLICY.relapse_ms
                    and one.cause == recorded.event.cause
                ]
                assert not recent  # it would have been a relapse
            case Relapsed() if before is not None and before.closed_ms is not None:
                assert self.now_ms - before.closed_ms <= POLICY.relapse_ms
            case Overran():
                assert self.now_ms >= recorded.event.planned_end_ms
            case _:
                pass


IncidentsTest = Incidents.TestCase
IncidentsTest.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
