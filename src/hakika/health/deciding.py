"""Which events follow from what is held to be true now: opening, naming, growing, relapse, recovery and the end; pure.

One cause is one incident. A cause that explains more than an open incident did is that incident, better understood;
where it explains several, the oldest goes on and the others end in it. A cause that comes back while an incident
recovers, or soon after it was closed, reopens it. Nothing closes but by the close rule. Announced work keeps its
components from opening incidents while it lasts; what is still broken when it should have ended is an incident by
itself. `acts` is a function of the assessment, the incidents and the windows: executed again it says the same, and
ids and numbers follow from it, so that a commit whose reply was lost can be repeated.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from hakika.domain.deadlines import HOUSE_4H
from hakika.domain.reasons import InvariantBroken
from hakika.health.assessment import AGGREGATES, Assessment, Found, proper
from hakika.health.incident import Incident, Recorded, Refusal, Stage, closable, decide
from hakika.health.incident_events import (
    Closed,
    Event,
    Grew,
    Localised,
    Measured,
    Merged,
    Opened,
    Overran,
    Recovering,
    Relapsed,
    Updated,
)
from hakika.ids import derived

IDENTIFY_MS = 10_000  # machine timer: a cause that is named the same for so long is named in public
MEASURE_EVERY_MS = 15_000  # machine timer: conditions are recorded this often at most
OVERRUN_WATCH_MS = 60_000  # machine timer: what is broken within it after the planned end has overrun
SEEN_LATER_MS = 600_000  # machine timer: a relapse may be seen so long after it began
HELD_CHANGE = 0.2  # a count of held transfers is said again when it differs by this much
HELD = "held"  # the catalogue's sentence
CORE, CORE_ROLE = "core:", "role:core"  # the cause that all corridors share, and the role that it is about


@dataclass(frozen=True, slots=True)
class Policy:
    """Policies, divided by the scale of a replay."""

    relapse_ms: int = 30 * 60_000  # after its end a cause that comes back is the same incident for so long
    say_again_ms: int = 15 * 60_000
    promise_ms: int = HOUSE_4H.promise_s * 1000

    @property
    def known_ms(self) -> int:
        """What has been over for less than this is looked at: it may come back, or its window is still watched."""
        return max(self.relapse_ms, 2 * OVERRUN_WATCH_MS) + SEEN_LATER_MS

    @classmethod
    def scaled(cls, scale: float) -> "Policy":
        """The policies divided by `scale` (>= 1)."""
        whole = cls()
        return cls(*(int(value / scale) for value in (whole.relapse_ms, whole.say_again_ms, whole.promise_ms)))


@dataclass(frozen=True, slots=True)
class Window:
    """Announced work that was not cancelled."""

    id: UUID
    from_ms: int
    to_ms: int
    components: tuple[str, ...]

    def lasts(self, at_ms: int) -> bool:
        """It is going on."""
        return self.from_ms <= at_ms < self.to_ms


@dataclass(frozen=True, slots=True)
class Act:
    """One event of one incident, to be stored under `recorded.number`."""

    incident: UUID
    recorded: Recorded


@dataclass(slots=True)
class _Book:
    """The incidents as they stand after each act of this tick."""

    seen: Assessment
    policy: Policy
    incidents: dict[UUID, Incident]
    acts: list[Act] = field(default_factory=list)

    def put(self, incident: UUID, event: Event) -> None:
        """Decide and note; what says nothing new is left out."""
        before = self.incidents.get(incident, Incident(incident))
        after = decide(before, event, at_ms=self.seen.at_ms)
        if after is Refusal.NOTHING_NEW:
            return
        if isinstance(after, Refusal):
            raise InvariantBroken(f"incident {incident}: {type(event).__name__} refused: {after}")
        self.incidents[incident] = after
        self.acts.append(Act(incident, after.events[-1]))


def acts(
    seen: Assessment,
    incidents: Iterable[Incident],
    windows: Sequence[Window],
    policy: Policy,
    *,
    previous_ms: int,
) -> tuple[Act, ...]:
    """Every event that is due at `seen.at_ms`, in the order in which they are stored.

    `incidents` are the open ones, and those closed, merged or opened by overrun work within `policy.known_ms`;
    `previous_ms` is the tick before.
    """
    book = _Book(seen, policy, {one.id: one for one in incidents})
    _overrun(book, windows, previous_ms)
    matched: set[UUID] = set()
    for cause in seen.causes:
        found = _follow(book, cause, windows)
        if found is not None:
            matched.add(found)
    for id_ in sorted(book.incidents, key=lambda one: (book.incidents[one].detected_ms, one)):
        incident = book.incidents[id_]
        if incident.open and id_ not in matched:
            _mend(book, incident)
        if incident.open:
            _say_held(book, id_)
    return tuple(book.acts)


def new_id(cause: str, at_ms: int) -> UUID:
    """The id of the incident that this cause opens at this instant."""
    return derived(b"incident", cause.encode(), at_ms.to_bytes(8, "big"))


def continues(incident: Incident, cause: Found) -> bool:
    """The cause is the incident's, perhaps better understood: the same name, or a component in common.

    A product or a role alone may have been seen a moment before what it gathers, which then is the better name.
    """
    if incident.cause == cause.key or proper(incident.components) & proper(cause.components):
        return True
    alone = all(name.startswith(AGGREGATES) for name in incident.components)
    return alone and set(incident.components) <= set(cause.components)


def _follow(book: _Book, cause: Found, windows: Sequence[Window]) -> UUID | None:
    """The incident that the cause belongs to after this tick; None where it opens none."""
    if _is_effect(cause, book):
        return None
    matches = [one for one in book.incidents.values() if continues(one, cause)]
    open_ones = sorted((one for one in matches if one.open), key=lambda one: (one.detected_ms, one.id))
    if open_ones:
        kept, *others = open_ones
        for other in others:
            book.put(other.id, Merged(kept.id))
        _go_on(book, kept, cause, others)
        return kept.id
    if not cause.certain:
        return None
    components = _unannounced(cause, windows, book.seen.at_ms)
    if not components:
        return None
    worst = book.seen.worst_of(components)
    recent = [one for one in matches if _may_relapse(one, book, cause.start_ms)]
    if recent:
        again = max(recent, key=lambda one: (one.closed_ms or 0, one.id))
        twin = next((one for one in book.incidents.values() if one.open and one.cause == again.cause), None)
        if twin is not None:  # opened by hand meanwhile: one cause, one incident
            _go_on(book, twin, cause, ())
            return twin.id
        book.put(again.id, Relapsed(components, cause.start_ms, worst))
        return again.id
    id_ = new_id(cause.key, book.seen.at_ms)
    book.put(id_, Opened(cause.key, components, cause.start_ms, worst, _evidence(book.seen, components)))
    return id_


def _is_effect(cause: Found, book: _Book) -> bool:
    """A product or a role alone, where an incident of what it gathers is open or just over: slower to let go."""
    alone = proper(cause.components) == frozenset(cause.components) and cause.key.startswith(AGGREGATES)
    return alone and any(
        set(cause.components) <= set(one.components)
        and one.cause != cause.key
        and (one.open or _may_relapse(one, book, cause.start_ms))
        for one in book.incidents.values()
    )


def _may_relapse(incident: Incident, book: _Book, start_ms: int) -> bool:
    """What began soon enough after its end is the same incident, however long it takes to be seen."""
    if incident.stage is not Stage.CLOSED or incident.closed_ms is None:
        return False
    return min(start_ms, book.seen.at_ms) - incident.closed_ms <= book.policy.relapse_ms


def _go_on(book: _Book, kept: Incident, cause: Found, merged: Sequence[Incident]) -> None:
    """An open incident whose cause is still there."""
    seen = book.seen
    worst = seen.worst_of(cause.components)
    if kept.stage is Stage.RECOVERING and seen.broken_among(cause.components):
        book.put(kept.id, Relapsed(cause.components, cause.start_ms, worst))
    new = set(cause.components) - set(kept.components)
    absorbed = tuple(one.id for one in merged)
    if absorbed:
        components = tuple(sorted({*cause.components, *(name for one in merged for name in one.components)}))
        start_ms = min(cause.start_ms, *(one.start_ms for one in merged))
        book.put(kept.id, Grew(components, start_ms, worst, absorbed))
    widened = kept.cause != cause.key and bool(proper(cause.components) - proper(kept.components))
    steady = not kept.identified and seen.at_ms - kept.detected_ms >= IDENTIFY_MS
    if widened or steady or not kept.measured:
        book.put(kept.id, Localised(cause.key, cause.components, min(kept.start_ms, cause.start_ms)))
    current = book.incidents[kept.id]
    if new - set(current.components) or (worst == "unavailable" and current.worst != worst):
        book.put(kept.id, Grew(cause.components, kept.start_ms, worst))


def _mend(book: _Book, incident: Incident) -> None:
    """An open incident that no broken component speaks for any more."""
    seen = book.seen
    if seen.broken_among(proper(incident.components)) or not incident.own_close:
        return
    if incident.stage is not Stage.RECOVERING:
        if not seen.known_among(incident.components) and incident.said_ms is None:
            return
        book.put(incident.id, Recovering(100 - seen.failed_percent(incident.components)))
    current = book.incidents[incident.id]
    conditions = seen.conditions_of(current.components)
    over = closable(conditions, said=current.said_ms is not None)
    if over or seen.at_ms - current.measured_ms >= MEASURE_EVERY_MS:
        book.put(incident.id, Measured(conditions))
    if over:
        book.put(incident.id, Closed(conditions))


def _overrun(book: _Book, windows: Sequence[Window], previous_ms: int) -> None:
    """Windows that have ended since the last look, with what they concern still broken."""
    at_ms = book.seen.at_ms
    for window in windows:
        if at_ms < window.to_ms or previous_ms >= window.to_ms + OVERRUN_WATCH_MS:
            continue
        if any(one.window == window.id for one in book.incidents.values()):
            continue
        for cause in book.seen.causes:
            concerned = {*cause.components, *cause.roles} & set(window.components)
            if not concerned or any(one.open and continues(one, cause) for one in book.incidents.values()):
                continue
            id_ = new_id(f"maintenance:{window.id.hex}", window.to_ms)
            worst = book.seen.worst_of(cause.components)
            book.put(id_, Overran(window.id, window.to_ms, cause.key, cause.components, worst))
            book.put(id_, Updated("overrun", {"planned_ms": window.to_ms}))
            break


def _unannounced(cause: Found, windows: Sequence[Window], at_ms: int) -> tuple[str, ...]:
    """Components that no work going on now was announced for; aggregates count only beside others.

    Work on what is the cause was announced for everything that the cause explains, named or not; and work on a role for
    what it carries, which may be seen to be down before the role is known to be silent.
    """
    announced = {name for window in windows if window.lasts(at_ms) for name in window.components}
    if announced & {cause.key, *cause.roles} or (cause.key == CORE and CORE_ROLE in announced):
        return ()
    left = tuple(one for one in cause.components if one not in announced)
    return left if proper(cause.components) & set(left) else ()


def _evidence(seen: Assessment, components: tuple[str, ...]) -> Mapping[str, int | str]:
    """What an opening rests on, for the sentence that announces it: the component that says most."""
    told = max(
        (seen.readings[one] for one in proper(components) if one in seen.readings),
        key=lambda one: (one.level, one.score, one.component),
        default=None,
    )
    if told is None:
        return {}
    figures = told.figures
    return {
        "component": told.component,
        "kinds": ",".join(told.kinds),
        "score": f"{told.score:.1f}",
        "ended": figures.ended,
        "failed_percent": figures.failed_percent,
        "silent_s": figures.silent_s,
        "green": figures.green,
        "vantages": figures.vantages,
        "reports": figures.reports,
    }


def _say_held(book: _Book, id_: UUID) -> None:
    """How many transfers are held: once, and again when it has changed much."""
    incident, at_ms = book.incidents[id_], book.seen.at_ms
    if incident.stage not in (Stage.INVESTIGATING, Stage.IDENTIFIED) or at_ms - incident.detected_ms < IDENTIFY_MS:
        return
    held = book.seen.held(incident.components)
    last = next((one for one in reversed(incident.events) if _is_held(one)), None)
    if last is not None and isinstance(last.event, Updated):
        before = int(last.event.args["count"])
        if at_ms - last.at_ms < book.policy.say_again_ms or abs(held - before) < HELD_CHANGE * before:
            return
    if held:
        book.put(id_, Updated(HELD, {"count": held, "promise_ms": at_ms + book.policy.promise_ms}))


def _is_held(recorded: Recorded) -> bool:
    return isinstance(recorded.event, Updated) and recorded.event.key == HELD
