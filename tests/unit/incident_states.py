"""Incidents in every stage, and one event of each kind, for the tables and machines of the tests."""

from typing import Any
from uuid import UUID

from hakika.health.incident import Incident, Stage, decide
from hakika.health.incident_events import (
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
)

ID, OTHER, WINDOW = UUID(int=1), UUID(int=2), UUID(int=3)
CAUSE, COMPONENTS = "corridor:bank-a", ("corridor:bank-a",)
MET = {condition.value: Met.MET.value for condition in Condition}
UNMET = {**MET, Condition.BACKLOG.value: Met.UNMET.value}
UNMEASURED = {condition.value: Met.UNMEASURED.value for condition in Condition}
START_MS, AT_MS = 50_000, 60_000

OPENED = Opened(CAUSE, COMPONENTS, START_MS, "degraded", {"failed_percent": 40})
BY_HAND = OpenedByHand(CAUSE, COMPONENTS, START_MS, "degraded", {"en": "Calls say so."})
OVERRAN = Overran(WINDOW, START_MS, CAUSE, COMPONENTS, "unavailable")
LOCALISED = Localised("core:", ("channel:core-api", *COMPONENTS), START_MS - 5_000)
GREW = Grew(("product:bank-to-wallet",), START_MS, "unavailable", (OTHER,))
RELAPSED = Relapsed(COMPONENTS, AT_MS + 7_000, "unavailable")
SAID_AGAINST = OperatorSaidResolved(UNMET, 81)

# One of each kind that, where its kind is taken at all, says something new.
EVENTS: dict[type[Any], Event] = {
    type(event): event
    for event in (
        OPENED, BY_HAND, OVERRAN, LOCALISED, GREW, Updated("banks_told", {"count": 2}), RELAPSED, Recovering(97),
        Measured(UNMET), Closed(MET, 10, 2), Acknowledged(), OperatorWrote({"en": "A disk has failed."}),
        OperatorCorrected(start_ms=START_MS - 1_000), Merged(OTHER), SAID_AGAINST,
    )
}  # fmt: skip


def after(*events: Event, at_ms: int = AT_MS) -> Incident:
    """The incident that these events make, a second apart."""
    incident = Incident(ID)
    for place, event in enumerate(events):
        decided = decide(incident, event, at_ms=at_ms + 1_000 * place)
        assert isinstance(decided, Incident), (event, decided)
        incident = decided
    return incident


STAGES: dict[Stage, Incident] = {
    Stage.NONE: Incident(ID),
    Stage.INVESTIGATING: after(OPENED),
    Stage.IDENTIFIED: after(OPENED, Localised(CAUSE, COMPONENTS, START_MS)),
    Stage.RECOVERING: after(OPENED, Recovering(90)),
    Stage.DISPUTED: after(OPENED, SAID_AGAINST),
    Stage.CLOSED: after(OPENED, Recovering(90), Closed(MET)),
    Stage.MERGED: after(OPENED, Merged(OTHER)),
}
