"""What the page says first, and what a machine is told in one word: pure rules over the model.

The worst thing that is known comes first: an open incident, then a state without one, then that something is not
known, and only when every component is known to work does the page say so. The GSMA heartbeat is the worst of
the public corridors by the same rules.
"""

from dataclasses import dataclass
from enum import StrEnum

from hakika.health.page.model import Component, Incident, Kind, Phase, Stage, State, StatusModel

# From bad to good. Not known is worse than work that was announced, and never good.
SEVERITY = (State.UNAVAILABLE, State.DEGRADED, State.UNKNOWN, State.MAINTENANCE, State.AVAILABLE)


class Overall(StrEnum):
    """The one thing that the page says first, from bad to good."""

    DISPUTED = "disputed"
    UNAVAILABLE = "unavailable"
    DEGRADED = "degraded"
    RECOVERING = "recovering"
    UNKNOWN = "unknown"
    MAINTENANCE = "maintenance"
    ALL_WELL = "all_well"


class ServiceStatus(StrEnum):
    """GSMA Mobile Money API, serviceStatus."""

    AVAILABLE = "available"
    DEGRADED = "degraded"
    UNAVAILABLE = "unavailable"


# GSMA has no word for maintenance: nothing goes through, and when it will is told. It has none for "not known":
# "available" would vouch for what nobody measured, "unavailable" would stop banks for want of telemetry.
SERVICE_STATUS = {
    State.AVAILABLE: ServiceStatus.AVAILABLE,
    State.DEGRADED: ServiceStatus.DEGRADED,
    State.UNAVAILABLE: ServiceStatus.UNAVAILABLE,
    State.MAINTENANCE: ServiceStatus.UNAVAILABLE,
    State.UNKNOWN: ServiceStatus.DEGRADED,
}
_OF_STATE = {
    State.UNAVAILABLE: Overall.UNAVAILABLE,
    State.DEGRADED: Overall.DEGRADED,
    State.UNKNOWN: Overall.UNKNOWN,
    State.MAINTENANCE: Overall.MAINTENANCE,
    State.AVAILABLE: Overall.ALL_WELL,
}


_ORDER = tuple(Overall)


@dataclass(frozen=True, slots=True)
class Headline:
    """What is said first, and the incident that it is about, if it is about one."""

    overall: Overall
    incident: Incident | None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The answer to "can I submit, within what was agreed"; delay in milliseconds, restoration since 1970."""

    status: ServiceStatus
    delay_ms: int | None
    restoration_ms: int | None


def worst(states: list[State]) -> State:
    """The worst of some states; of none, nothing is known."""
    return min(states, key=SEVERITY.index, default=State.UNKNOWN)


def open_incidents(model: StatusModel) -> list[Incident]:
    """What is not over: the worst first, then the oldest."""
    found = [incident for incident in model.incidents if incident.open]
    return sorted(found, key=lambda one: (_ORDER.index(_of_incident(one)), one.started_ms, one.id))


def past_incidents(model: StatusModel) -> list[Incident]:
    """What is over, the latest first."""
    found = [incident for incident in model.incidents if not incident.open]
    return sorted(found, key=lambda one: (-one.started_ms, one.id))


def headline_of(model: StatusModel) -> Headline:
    """The worst of the open incidents and of what no open incident covers."""
    found = open_incidents(model)
    covered = {id_ for incident in found for id_ in incident.components}
    rest = [component.state for component in model.components if component.id not in covered]
    candidates = [Headline(_of_incident(incident), incident) for incident in found]
    if rest or not found:
        candidates.append(Headline(_OF_STATE[worst(rest)], None))
    return min(candidates, key=lambda one: _ORDER.index(one.overall))


def _of_incident(incident: Incident) -> Overall:
    match incident.stage:
        case Stage.DISPUTED:
            return Overall.DISPUTED
        case Stage.RECOVERING:
            return Overall.RECOVERING
        case _:
            return Overall.UNAVAILABLE if incident.worst is State.UNAVAILABLE else Overall.DEGRADED


def heartbeat_of(model: StatusModel) -> Heartbeat:
    """The worst of the public corridors; without a corridor nothing is known of any."""
    corridors = [component for component in model.components if component.kind is Kind.CORRIDOR]
    statuses = {SERVICE_STATUS[corridor.state] for corridor in corridors} or {SERVICE_STATUS[State.UNKNOWN]}
    if ServiceStatus.UNAVAILABLE in statuses:
        return Heartbeat(ServiceStatus.UNAVAILABLE, None, _restoration(model, corridors))
    if ServiceStatus.DEGRADED in statuses:
        delays = [corridor.delay_s for corridor in corridors if corridor.delay_s is not None]
        return Heartbeat(ServiceStatus.DEGRADED, 1000 * max(delays) if delays else None, None)
    return Heartbeat(ServiceStatus.AVAILABLE, None, None)


def _restoration(model: StatusModel, corridors: list[Component]) -> int | None:
    """When maintenance gives back the last corridor that is out; None while one is out unplanned or overrun."""
    out = {one.id for one in corridors if SERVICE_STATUS[one.state] is ServiceStatus.UNAVAILABLE}
    running = [window for window in model.maintenance if window.phase is Phase.RUNNING]
    ends = [window.ends_ms for window in running if out & set(window.components)]
    covered = {id_ for window in running for id_ in window.components}
    planned = all(one.state is State.MAINTENANCE for one in corridors if one.id in out)
    return max(ends) if ends and planned and out <= covered else None
