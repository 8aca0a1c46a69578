"""Incidents made by hand for tests of what reads them."""

from uuid import UUID

from hakika.health.incident import Incident, decide
from hakika.health.incident_events import Closed, Condition, Opened, Recovering


def closed_incident(component: str, start_ms: int, closed_ms: int) -> Incident:
    """One component's incident from its start to its end."""
    incident = Incident(UUID(int=7))
    met = {condition.value: "met" for condition in Condition}
    for at_ms, event in (
        (start_ms, Opened(component, (component,), start_ms, "degraded")),
        (closed_ms - 1, Recovering(100)),
        (closed_ms, Closed(met)),
    ):
        decided = decide(incident, event, at_ms=at_ms)
        assert isinstance(decided, Incident)
        incident = decided
    return incident
