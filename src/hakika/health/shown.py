"""What each component is said to be at one instant: by incidents, announced work, measurement, in this order; pure.

One rule for the page, the days in its history and the statements to banks, so that none contradicts another. An open
incident decides first; while it recovers its components are degraded. Work that is going on comes next. Without either
a component is well only if something measures it: evidence below what may be published is not shown here, and no data
is unknown, never well.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hakika.health.assessment import AVAILABLE, DEGRADED, UNAVAILABLE, UNKNOWN, Assessment, Reading
from hakika.health.deciding import Window
from hakika.health.incident import Incident, Stage, closable
from hakika.health.statements import Condition as Told
from hakika.health.statements import CorridorFacts
from hakika.wire.statements import Evidence, ProbeEvidence, ReportEvidence, TransferEvidence

MAINTENANCE = "maintenance"
STALE_MS = 60_000  # machine timer: an assessment older than this says nothing about now
LEVEL_SLOW = 2
WINDOW_S = 60  # of the figures of transfers
RECOVERING = Stage.RECOVERING


@dataclass(frozen=True, slots=True)
class Shown:
    """A component's state, since when (None: nobody knows), and the incident that it is due to."""

    state: str
    since_ms: int | None = None
    incident: Incident | None = None


def shown(
    components: Iterable[str], seen: Assessment, incidents: Sequence[Incident], windows: Sequence[Window], now_ms: int
) -> Mapping[str, Shown]:
    """Every component's state."""
    stale = now_ms - seen.at_ms > STALE_MS
    return {one: _shown(one, seen, incidents, windows, now_ms, stale=stale) for one in components}


def _shown(
    component: str,
    seen: Assessment,
    incidents: Sequence[Incident],
    windows: Sequence[Window],
    now_ms: int,
    *,
    stale: bool,
) -> Shown:
    reading = seen.readings.get(component, Reading(component))
    concerned = [one for one in incidents if one.open and component in one.components]
    if concerned:
        incident = min(concerned, key=lambda one: (one.stage is Stage.RECOVERING, one.start_ms, one.id))
        return Shown(_in_incident(reading, incident), incident.start_ms, incident)
    lasting = [one for one in windows if one.lasts(now_ms) and component in one.components]
    if lasting:
        return Shown(MAINTENANCE, min(one.from_ms for one in lasting))
    if stale or reading.state == UNKNOWN:
        return Shown(UNKNOWN)
    closed = [one.closed_ms for one in incidents if one.closed_ms is not None and component in one.components]
    return Shown(AVAILABLE, max(closed, default=None))


def _in_incident(reading: Reading, incident: Incident) -> str:
    """As bad as it is measured to be; one that has met the close rule before the others is well before them."""
    if not incident.measured:
        return incident.worst or DEGRADED  # only an operator knows of it
    if reading.state == UNKNOWN:
        return DEGRADED if incident.stage is Stage.RECOVERING else incident.worst or UNAVAILABLE
    if reading.broken:
        return reading.state if reading.state in (DEGRADED, UNAVAILABLE) else DEGRADED
    return AVAILABLE if closable(reading.conditions, said=False) else DEGRADED


def corridor_facts(banks: Iterable[str], states: Mapping[str, Shown], seen: Assessment) -> list[CorridorFacts]:
    """What the statement of each bank's corridor is made from; none where nothing is known of it."""
    known = [bank for bank in banks if states.get(f"corridor:{bank}", Shown(UNKNOWN)).state != UNKNOWN]
    return [_facts(bank, states, seen) for bank in known]


def _facts(bank: str, states: Mapping[str, Shown], seen: Assessment) -> CorridorFacts:
    component = f"corridor:{bank}"
    told = states.get(component, Shown(UNKNOWN))
    reading = seen.readings.get(component, Reading(component))
    condition, since_ms = _condition(told, reading, seen.at_ms)
    figures = reading.figures
    worst = sorted(figures.reasons, key=lambda reason: (-figures.reasons[reason], reason))
    share = figures.failed / figures.ended if figures.ended else 0.0
    return CorridorFacts(
        bank=bank,
        condition=condition,
        since_ms=since_ms,
        reasons=tuple(worst[:3]) if condition is not Told.WELL else (),
        incident=f"inc_{told.incident.id.hex}" if told.incident else None,
        evidence=Evidence(
            tx=TransferEvidence(figures.ended, share, WINDOW_S),
            probes=ProbeEvidence(figures.vantages - figures.green, figures.vantages),
            reports=ReportEvidence(figures.reports, 0.0),
        ),
        backlog_count=figures.open_count,
        oldest_s=figures.oldest_ms / 1000,
    )


def _condition(told: Shown, reading: Reading, at_ms: int) -> tuple[Told, int]:
    incident = told.incident
    if incident is not None and not incident.measured:  # only an operator knows of it
        return Told.BROKEN if incident.worst == UNAVAILABLE else Told.SLOW, incident.start_ms
    if incident is not None and told.state == AVAILABLE:
        return Told.WELL, reading.well_since_ms or at_ms
    if incident is not None and (reading.broken or reading.well_since_ms is None) and incident.stage is not RECOVERING:
        return Told.BROKEN, incident.start_ms
    if incident is not None:
        return Told.RECOVERING, reading.well_since_ms or incident.stage_ms
    if told.state == MAINTENANCE:
        return Told.BROKEN, told.since_ms or at_ms
    if reading.broken and reading.level >= LEVEL_SLOW:
        return Told.SLOW, reading.start_ms or at_ms
    return Told.WELL, told.since_ms or 0
