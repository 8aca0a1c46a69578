"""An incident's life: what has happened to it, what that means, and which further events it takes; pure.

An incident is the sum of its events and nothing else, so that whoever reads them folds the same incident. Rules
write most of them; people write words, corrections, merges and their own opinion. `decide` is total over stage and
event: it returns the next incident or says why the event is not taken. Two things cannot be had from it: an end that
was not measured (`Closed` carries its conditions, and one that is not met refuses it), and a green light by word of
mouth: an operator who says "resolved" against the evidence makes the incident DISPUTED, which is public.

When an event is due is decided in `deciding`; who may write one, and that numbers have no gaps, by the store.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any
from uuid import UUID

from hakika.domain.reasons import InvariantBroken
from hakika.health.incident_events import (
    Acknowledged,
    Closed,
    Condition,
    Conditions,
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
)

RULE = "rule"  # the actor of what nobody wrote by hand


class Stage(StrEnum):
    """How far an incident is."""

    NONE = "none"  # nothing has happened yet
    INVESTIGATING = "investigating"
    IDENTIFIED = "identified"
    RECOVERING = "recovering"
    DISPUTED = "disputed"  # the operator says resolved, the evidence disagrees
    CLOSED = "closed"
    MERGED = "merged"  # its story goes on in another incident


OPEN = frozenset({Stage.INVESTIGATING, Stage.IDENTIFIED, Stage.RECOVERING, Stage.DISPUTED})


class Origin(StrEnum):
    """Who opened it."""

    EVIDENCE = "evidence"
    HAND = "hand"
    MAINTENANCE = "maintenance"


class Refusal(StrEnum):
    """Why an event is not taken."""

    NO_INCIDENT = "no_incident"
    KNOWN = "known"  # it was opened already
    NOTHING_NEW = "nothing_new"
    NOT_OPEN = "not_open"
    MERGED_AWAY = "merged_away"
    STILL_BROKEN = "still_broken"  # it may close only from recovering
    CONDITIONS_UNMET = "conditions_unmet"
    INTO_ITSELF = "into_itself"
    START_AFTER_DETECTION = "start_after_detection"
    NO_WORDS = "no_words"
    NO_COMPONENTS = "no_components"
    NOT_A_WINDOW = "not_a_window"  # announced work ends after it begins, and not in the past


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event with its place in the incident; `at_ms` is when it was judged or written."""

    number: int
    at_ms: int
    actor: str
    event: Event


@dataclass(frozen=True, slots=True)
class Incident:
    """One cause from its beginning; instants are wall clock milliseconds."""

    id: UUID
    stage: Stage = Stage.NONE
    origin: Origin = Origin.EVIDENCE
    cause: str = ""
    identified: bool = False
    measured: bool = False  # evidence has spoken for it, and not only an operator
    components: tuple[str, ...] = ()
    start_ms: int = 0
    detected_ms: int = 0
    worst: str = ""
    window: UUID | None = None
    acknowledged_ms: int | None = None  # the first thing that a person did
    stage_ms: int = 0  # since when it is in its stage
    said_ms: int | None = None  # the operator said resolved, and nothing has come back since
    closed_ms: int | None = None
    relapses_ms: tuple[int, ...] = ()
    conditions: Conditions = field(default_factory=dict)
    measured_ms: int = 0  # when `conditions` was last recorded
    merged_into: UUID | None = None
    events: tuple[Recorded, ...] = ()

    @property
    def open(self) -> bool:
        """Not over, whoever says it is."""
        return self.stage in OPEN

    @property
    def number(self) -> int:
        """The number of its last event."""
        return len(self.events)

    @property
    def ended(self) -> tuple[int, int]:
        """How many transfers arrived and came back while it lasted, as its last end has them."""
        ends = [one.event for one in self.events if isinstance(one.event, Closed)]
        return (ends[-1].arrived, ends[-1].returned) if ends else (0, 0)

    @property
    def own_close(self) -> bool:
        """It may be closed by measurement alone; what only an operator saw waits for the operator's word."""
        return self.measured or self.said_ms is not None


def closable(conditions: Conditions, *, said: bool) -> bool:
    """The close rule: every part measured is met, and what customers do or what probes do was measured.

    Where nothing measures anything, the operator's word is all that there is.
    """
    if set(conditions) != set(Condition) or Met.UNMET in conditions.values():
        return False
    return said or Met.MET in (conditions[Condition.FAILURES], conditions[Condition.PROBES])


def disputed(conditions: Conditions) -> bool:
    """Measurements contradict an operator who says that it is over; without any there is no contradiction."""
    return Met.UNMET in conditions.values()


def decide(incident: Incident, event: Event, *, at_ms: int, actor: str = RULE) -> Incident | Refusal:
    """The incident after the event, or why it is not taken; total over stage and event."""
    move = MOVES[(incident.stage, type(event))]
    if isinstance(move, Refusal):
        return move
    after = move(incident, event, at_ms)
    if isinstance(after, Refusal):
        return after
    recorded = Recorded(incident.number + 1, at_ms, actor, event)
    acknowledged = at_ms if actor != RULE and incident.acknowledged_ms is None else incident.acknowledged_ms
    stage_ms = at_ms if after.stage is not incident.stage else incident.stage_ms
    return replace(after, events=(*incident.events, recorded), acknowledged_ms=acknowledged, stage_ms=stage_ms)


def fold(id_: UUID, events: tuple[Recorded, ...]) -> Incident:
    """The incident that its stored events make; one that could not have been stored is a bug."""
    incident = Incident(id_)
    for recorded in events:
        after = decide(incident, recorded.event, at_ms=recorded.at_ms, actor=recorded.actor)
        if isinstance(after, Refusal) or after.number != recorded.number:
            raise InvariantBroken(f"incident {id_}: event {recorded.number} does not follow: {after}")
        incident = after
    return incident


# --- handlers --------------------------------------------------------------------------------------------

Handler = Callable[[Incident, Any, int], "Incident | Refusal"]


def _joined(before: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({*before, *more}))


def _worse(before: str, now: str) -> str:
    return "unavailable" if "unavailable" in (before, now) else now or before


def _open(incident: Incident, event: Opened | OpenedByHand | Overran, at_ms: int) -> Incident | Refusal:
    if not event.components:
        return Refusal.NO_COMPONENTS
    opened = replace(
        incident,
        stage=Stage.INVESTIGATING,
        cause=event.cause,
        components=_joined((), event.components),
        detected_ms=at_ms,
        worst=event.worst,
    )
    match event:
        case Opened():
            return replace(opened, start_ms=min(event.start_ms, at_ms), measured=True)
        case OpenedByHand():
            if not any(text.strip() for text in event.words.values()):
                return Refusal.NO_WORDS
            return replace(opened, start_ms=min(event.start_ms, at_ms), origin=Origin.HAND)
        case Overran():
            # What was planned is known, and so is what is broken now.
            start_ms = min(event.planned_end_ms, at_ms)
            known = replace(opened, stage=Stage.IDENTIFIED, identified=True, measured=True, start_ms=start_ms)
            return replace(known, origin=Origin.MAINTENANCE, window=event.window)


def _localise(incident: Incident, event: Localised, at_ms: int) -> Incident | Refusal:
    start_ms = min(incident.start_ms, event.start_ms)
    after = replace(
        incident,
        cause=event.cause,
        components=_joined(incident.components, event.components),
        start_ms=start_ms,
        identified=True,
        measured=True,
        stage=Stage.IDENTIFIED if incident.stage is Stage.INVESTIGATING else incident.stage,
    )
    return Refusal.NOTHING_NEW if after == incident else after


def _grow(incident: Incident, event: Grew, at_ms: int) -> Incident | Refusal:
    after = replace(
        incident,
        components=_joined(incident.components, event.components),
        start_ms=min(incident.start_ms, event.start_ms),
        worst=_worse(incident.worst, event.worst),
        measured=True,
    )
    return Refusal.NOTHING_NEW if after == incident and not event.absorbed else after


def _update(incident: Incident, event: Updated, at_ms: int) -> Incident | Refusal:
    return incident


def _relapse(incident: Incident, event: Relapsed, at_ms: int) -> Incident | Refusal:
    return replace(
        incident,
        stage=Stage.IDENTIFIED if incident.identified else Stage.INVESTIGATING,
        components=_joined(incident.components, event.components),
        worst=_worse(incident.worst, event.worst),
        relapses_ms=(*incident.relapses_ms, min(event.start_ms, at_ms)),
        closed_ms=None,
        said_ms=None,
        measured=True,
        conditions={},
    )


def _recover(incident: Incident, event: Recovering, at_ms: int) -> Incident | Refusal:
    return replace(incident, stage=Stage.RECOVERING)


def _measure(incident: Incident, event: Measured, at_ms: int) -> Incident | Refusal:
    if event.conditions == incident.conditions:
        return Refusal.NOTHING_NEW
    return replace(incident, conditions=event.conditions, measured_ms=at_ms)


def _close(incident: Incident, event: Closed, at_ms: int) -> Incident | Refusal:
    if not incident.own_close or not closable(event.conditions, said=incident.said_ms is not None):
        return Refusal.CONDITIONS_UNMET
    return replace(incident, stage=Stage.CLOSED, closed_ms=at_ms, conditions=event.conditions, measured_ms=at_ms)


def _acknowledge(incident: Incident, event: Acknowledged, at_ms: int) -> Incident | Refusal:
    return incident if incident.acknowledged_ms is None else Refusal.NOTHING_NEW


def _write(incident: Incident, event: OperatorWrote, at_ms: int) -> Incident | Refusal:
    return incident if any(text.strip() for text in event.words.values()) else Refusal.NO_WORDS


def _correct(incident: Incident, event: OperatorCorrected, at_ms: int) -> Incident | Refusal:
    start_ms = incident.start_ms if event.start_ms is None else event.start_ms
    components = incident.components if event.components is None else _joined((), event.components)
    if start_ms > incident.detected_ms:
        return Refusal.START_AFTER_DETECTION
    if not components:
        return Refusal.NO_COMPONENTS
    after = replace(incident, start_ms=start_ms, components=components)
    return Refusal.NOTHING_NEW if after == incident else after


def _merge(incident: Incident, event: Merged, at_ms: int) -> Incident | Refusal:
    if event.into == incident.id:
        return Refusal.INTO_ITSELF
    return replace(incident, stage=Stage.MERGED, merged_into=event.into)


def _say_resolved(incident: Incident, event: OperatorSaidResolved, at_ms: int) -> Incident | Refusal:
    if incident.said_ms is not None:
        return Refusal.NOTHING_NEW
    said = replace(incident, said_ms=at_ms, conditions=event.conditions, measured_ms=at_ms)
    if incident.stage is Stage.RECOVERING:
        return said
    return replace(said, stage=Stage.DISPUTED if disputed(event.conditions) else Stage.RECOVERING)


def _moves() -> dict[tuple[Stage, type[Any]], Handler | Refusal]:
    """The table, a row an event: what it does in each stage. Complete: a pair without an entry is a KeyError."""
    new, known, closed, merged = Refusal.NOTHING_NEW, Refusal.KNOWN, Refusal.NOT_OPEN, Refusal.MERGED_AWAY
    none, broken = Refusal.NO_INCIDENT, Refusal.STILL_BROKEN
    stages = (
        Stage.NONE, Stage.INVESTIGATING, Stage.IDENTIFIED, Stage.RECOVERING, Stage.DISPUTED, Stage.CLOSED, Stage.MERGED,
    )  # fmt: skip
    rows: dict[type[Any], tuple[Any, ...]] = {
        Opened: (_open, known, known, known, known, known, known),
        OpenedByHand: (_open, known, known, known, known, known, known),
        Overran: (_open, known, known, known, known, known, known),
        Localised: (none, _localise, _localise, _localise, _localise, closed, merged),
        Grew: (none, _grow, _grow, _grow, _grow, closed, merged),
        Updated: (none, _update, _update, _update, _update, closed, merged),
        Relapsed: (none, new, new, _relapse, new, _relapse, merged),
        Recovering: (none, _recover, _recover, new, _recover, closed, merged),
        Measured: (none, _measure, _measure, _measure, _measure, closed, merged),
        Closed: (none, broken, broken, _close, broken, new, merged),
        Acknowledged: (none, _acknowledge, _acknowledge, _acknowledge, _acknowledge, closed, merged),
        OperatorWrote: (none, _write, _write, _write, _write, _write, merged),
        OperatorCorrected: (none, _correct, _correct, _correct, _correct, _correct, merged),
        Merged: (none, _merge, _merge, _merge, _merge, _merge, merged),
        OperatorSaidResolved: (none, _say_resolved, _say_resolved, _say_resolved, new, closed, merged),
    }
    return {(stage, kind): move for kind, row in rows.items() for stage, move in zip(stages, row, strict=True)}


MOVES = _moves()
