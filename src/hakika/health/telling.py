"""What the status page says of what is stored: incidents, components, work and history become its model; pure.

Every sentence is chosen here by a rule and worded by the page's catalogue; numbers are those that were measured when
the event was stored. A component that the page cannot name is left out: roles are how an outage is found, corridors,
channels and products are what people use. An incident that was merged says in which one it goes on, and its money and
pictures are told there. Counts of transfers are told as "at least": intervals of signals may have been lost.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from hakika.health.assessment import Assessment, proper
from hakika.health.incident import Incident, Origin, Recorded, Stage, decide
from hakika.health.incident_events import (
    Closed,
    Localised,
    Merged,
    Opened,
    OpenedByHand,
    OperatorSaidResolved,
    OperatorWrote,
    Recovering,
    Relapsed,
    Updated,
)
from hakika.health.naming import Named
from hakika.health.page import model as page
from hakika.health.page.model import How, News, OperatorWords, Template, Title
from hakika.health.shown import Shown
from hakika.ids import shown as shown_id
from hakika.store.health.incidents import WindowRow
from hakika.store.health.judging import DayRow

NEXT_BY_MS = 60_000  # the page says that a next one is written by then; it is, sooner
SILENT_KINDS = ("silence", "volume", "drop")
STAGES = {
    Stage.INVESTIGATING: page.Stage.INVESTIGATING,
    Stage.IDENTIFIED: page.Stage.IDENTIFIED,
    Stage.RECOVERING: page.Stage.RECOVERING,
    Stage.DISPUTED: page.Stage.DISPUTED,
    Stage.CLOSED: page.Stage.RESOLVED,
    Stage.MERGED: page.Stage.MERGED,
}
HOWS = {"channel:tracking": How.OPEN_LINK, "channel:app": How.OPEN_APP}


@dataclass(frozen=True, slots=True)
class Caught:
    """The money of one incident by its corridors' signals; `late` is at least so many."""

    held: int = 0
    arrived: int = 0
    returned: int = 0
    late: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """Everything that the page is made from, as of one instant."""

    at_ms: int
    seen: Assessment
    incidents: Sequence[Incident]
    windows: Sequence[WindowRow]
    states: Mapping[str, Shown]
    days: Sequence[DayRow] = ()
    published_ms: Mapping[UUID, int] = field(default_factory=dict)
    caught: Mapping[UUID, Caught] = field(default_factory=dict)
    shares: Mapping[UUID, Sequence[tuple[int, int, int]]] = field(default_factory=dict)  # minute, ended, failed


def status_model(known: Known, names: Named, *, operator: str, promise_ms: int) -> page.StatusModel:
    """The whole page."""
    told = [one for one in known.incidents if _is_told(one, known)]
    works = _still_works(known, names, [one for one in told if one.open])
    return page.StatusModel(
        as_of_ms=known.at_ms,
        next_update_by_ms=known.at_ms + NEXT_BY_MS,
        operator=operator,
        components=tuple(_component(series, known, names) for series in names.public),
        incidents=tuple(_incident(one, known, names, promise_ms) for one in told),
        maintenance=tuple(_window(row, known, names) for row in known.windows if names.ids(row.components)),
        still_works=works,
    )


def incident_id(incident: UUID) -> str:
    """The name under which people meet an incident."""
    return shown_id("incident", incident)


def _goes_on(incident: Incident, known: Known) -> Incident | None:
    """Where a story goes on, to its last incident; itself where it was not merged, None where that is not known."""
    by_id = {one.id: one for one in known.incidents}
    last: Incident | None = incident
    while last is not None and last.merged_into is not None:
        last = by_id.get(last.merged_into)
    return last


def _is_told(incident: Incident, known: Known) -> bool:
    """It has a stage that the page knows, and so has the incident in which it goes on."""
    last = _goes_on(incident, known)
    return last is not None and last.stage in STAGES


def _component(series: str, known: Known, names: Named) -> page.Component:
    told = known.states.get(series, Shown(page.State.UNKNOWN.value))
    state = page.State(told.state)
    named = names.public[series]
    delay_s = None
    if state is page.State.DEGRADED and series in known.seen.readings:
        figures = known.seen.readings[series].figures
        delay_s = figures.oldest_ms // 1000 if known.seen.held((series,)) else None
    return page.Component(
        id=named.id,
        kind=named.kind,
        state=state,
        since_ms=told.since_ms,
        name=named.name,
        direction=named.direction,
        public_name=named.public_name,
        label=named.label,
        delay_s=delay_s or None,
        history=tuple(
            page.Day(one.day, page.State(one.worst), one.measured, one.good, one.down)
            for one in known.days
            if one.component == series
        ),
    )


def _incident(incident: Incident, known: Known, names: Named, promise_ms: int) -> page.Incident:
    detected_ms = incident.detected_ms
    last = _goes_on(incident, known)
    into = incident_id(last.id) if last is not None and last is not incident else None
    caught = known.caught.get(incident.id) if into is None else None
    return page.Incident(
        id=incident_id(incident.id),
        title=_title(incident, names),
        stage=STAGES[incident.stage],
        worst=page.State(incident.worst or "degraded"),
        started_ms=incident.start_ms,
        detected_ms=detected_ms,
        published_ms=max(detected_ms, known.published_ms.get(incident.id, known.at_ms)),
        closed_ms=incident.closed_ms if into is None else None,
        components=names.ids(incident.components),
        updates=tuple(updates(incident, names)),
        relapses_ms=incident.relapses_ms,
        money=_money(incident, caught, known.at_ms + promise_ms) if caught else None,
        still_works=_still_works(known, names, [incident]) if incident.open else (),
        failed_share=tuple(
            page.SharePoint(minute, failed / ended if ended else None)
            for minute, ended, failed in (known.shares.get(incident.id, ()) if into is None else ())
        ),
        merged_into=into,
    )


def _money(incident: Incident, caught: Caught, promise_by_ms: int) -> page.Money | None:
    if not (caught.held or caught.arrived or caught.returned):
        return None
    return page.Money(
        held=caught.held,
        promise_by_ms=promise_by_ms if caught.held else None,
        advice=page.Advice.DO_NOT_SEND_AGAIN if incident.open else page.Advice.NOTHING,
        arrived=caught.arrived,
        returned=caught.returned,
        late=caught.late,
    )


def _title(incident: Incident, names: Named) -> Template:
    """What it is called: by its cause, and by how much people can use."""
    kind = incident.cause.partition(":")[0]
    public = names.ids(proper(incident.components)) or names.ids(incident.components)
    out = incident.worst == "unavailable"
    if incident.origin is Origin.MAINTENANCE and public:
        return Template(Title.OVERRUN, {"component": public[0]})
    if kind == "core" or not public:
        return Template(Title.WALLETS_UNAVAILABLE)
    corridors = [one for one in proper(incident.components) if one.startswith("corridor:")]
    if len(corridors) > 1 and len(corridors) == len(proper(incident.components)):
        title = Title.CORRIDORS_UNAVAILABLE if out else Title.CORRIDORS_DEGRADED
        return Template(title, {"count": len(corridors)})
    if len(public) > 1 and out:
        return Template(Title.SEVERAL_UNAVAILABLE, {"count": len(public)})
    opened = incident.events[0].event
    if isinstance(opened, Opened) and _silent(opened):
        return Template(Title.COMPONENT_SILENT, {"component": public[0]})
    title = Title.COMPONENT_UNAVAILABLE if out else Title.COMPONENT_DEGRADED
    return Template(title, {"component": public[0]})


def updates(incident: Incident, names: Named) -> Iterable[page.Update]:
    """What is said of each event, with the stage that the incident had then; most events say nothing in public."""
    before = Incident(incident.id)
    for recorded in incident.events:
        after = decide(before, recorded.event, at_ms=recorded.at_ms, actor=recorded.actor)
        if not isinstance(after, Incident):
            return
        text = _said(recorded, before, after, names)
        if text is not None and after.stage in STAGES:
            yield page.Update(recorded.at_ms, STAGES[after.stage], text)
        before = after


def _said(recorded: Recorded, before: Incident, after: Incident, names: Named) -> Template | OperatorWords | None:
    match recorded.event:
        case Opened() as opened:
            return _detected(opened, names)
        case OpenedByHand(words=words) | OperatorWrote(words=words):
            return _own(words)
        case Localised(components=components):
            public = names.ids(proper(components))
            first_time = not before.identified or before.cause != after.cause
            return Template(News.LOCATED, {"component": _spokesman(public)}) if public and first_time else None
        case Updated(key=key, args=args):
            return Template(News(key), dict(args))
        case Relapsed(start_ms=start_ms):
            return Template(News.RELAPSED, {"again_ms": min(start_ms, recorded.at_ms)})
        case Recovering(open_percent=percent):
            return Template(News.RECOVERING, {"open_percent": percent})
        case Closed(arrived=arrived, returned=returned):
            counts = {"arrived": arrived, "returned": returned}
            return Template(News.RESOLVED, counts) if arrived or returned else Template(News.OVER)
        case Merged():
            return Template(News.MERGED)
        case OperatorSaidResolved(failed_percent=percent) if after.stage is Stage.DISPUTED:
            return Template(News.DISPUTED, {"said_ms": recorded.at_ms, "failed_percent": percent})
        case _:
            return None


def _detected(opened: Opened, names: Named) -> Template | None:
    """By the evidence that was there: failures, silence, or our own tests where no transfer was under way."""
    evidence = opened.evidence
    public = names.ids((str(evidence.get("component", "")),)) or names.ids(proper(opened.components))
    if not public:
        public = names.ids(opened.components)
    if not public:
        return None
    component = public[0]
    if _silent(opened):
        return Template(News.DETECTED_SILENT, {"component": component, "silent_s": int(evidence.get("silent_s", 0))})
    percent = int(evidence.get("failed_percent", 0))
    vantages = int(evidence.get("vantages", 0))
    if not int(evidence.get("ended", 0)) and vantages:
        percent = 100 * (vantages - int(evidence.get("green", 0))) // vantages
    return Template(News.DETECTED, {"component": component, "failed_percent": percent})


def _silent(opened: Opened) -> bool:
    kinds = str(opened.evidence.get("kinds", "")).split(",")
    return bool(int(opened.evidence.get("silent_s", 0))) and any(kind.startswith(SILENT_KINDS) for kind in kinds)


def _spokesman(public: Sequence[str]) -> str:
    """Of several components the one whose name says most about the cause: the wallets' own API before corridors."""
    return next((one for one in public if one.startswith("channel-core")), public[0])


def _own(words: Mapping[str, str]) -> OperatorWords | None:
    by_language = {page.Language(code): text for code, text in words.items() if text.strip()}
    return OperatorWords(by_language) if by_language else None


def _still_works(known: Known, names: Named, incidents: Sequence[Incident]) -> tuple[page.StillWorks, ...]:
    """What can be used instead of what is broken, where it is measured to work."""
    broken = {series for one in incidents for series in one.components}
    found = {other for series in broken for other in names.instead(series)}
    if broken:
        found.add("channel:tracking")
    working = [
        series
        for series in names.public
        if series in found - broken and known.states.get(series, Shown("unknown")).state == page.State.AVAILABLE
    ]
    return tuple(
        page.StillWorks(names.public[series].id, Template(HOWS.get(series, How.AS_ALWAYS))) for series in working
    )


def _window(row: WindowRow, known: Known, names: Named) -> page.Maintenance:
    incident = next((one for one in known.incidents if one.window == row.id and one.merged_into is None), None)
    ids = names.ids(row.components)
    phase = _phase(row, incident, known.at_ms)
    changes = [row.announced_ms, row.cancelled_ms or 0, incident.detected_ms if incident else 0]
    own = _own(row.words)
    return page.Maintenance(
        id=f"mnt_{row.id.hex}",
        title=own if own is not None else Template(Title.PLANNED, {"component": ids[0]}),
        phase=phase,
        starts_ms=row.from_ms,
        ends_ms=row.to_ms,
        announced_ms=row.announced_ms,
        changed_ms=max(changes),
        sequence=sum(1 for one in changes[1:] if one),
        components=ids,
        incident=incident_id(incident.id) if incident else None,
    )


def _phase(row: WindowRow, incident: Incident | None, at_ms: int) -> page.Phase:
    if row.cancelled_ms is not None:
        return page.Phase.CANCELLED
    if incident is not None:
        return page.Phase.OVERRUN if incident.open else page.Phase.DONE
    if at_ms < row.from_ms:
        return page.Phase.PLANNED
    return page.Phase.RUNNING if at_ms < row.to_ms else page.Phase.DONE


def since_day(today: date) -> date:
    """The first day of the history shown."""
    return date.fromordinal(today.toordinal() - page.HISTORY_DAYS + 1)
