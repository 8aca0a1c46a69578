"""The report on one incident for a regulator: ready as a draft when it opens, finished when it closes; pure.

Every figure is what health has measured, with how it was measured beside it; what health cannot know (amounts, who the
customers are) is said to be not known to health, so that nobody takes silence for zero. Until the end it is a draft and
says so. A cell of the table can never be a formula: what begins like one is given as text.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass

from hakika.health.incident import Incident, Origin, Stage
from hakika.health.incident_events import Condition, Opened, OpenedByHand, kind_of
from hakika.health.page.words import iso, local_time, zone_name
from hakika.health.telling import Caught, incident_id

NOT_KNOWN = "not known to health"
FORMULA = ("=", "+", "-", "@", "\t", "\r")
CAUSES = {
    "core": "the wallet platform (core)",
    "links": "our links to the banks",
    "front": "what all customer channels share",
    "direction": "one direction of all banks",
    "bank": "one bank's side",
    "corridor": "one bank's corridor",
    "channel": "one channel",
    "product": "one product",
    "role": "one part of the platform that has fallen silent",
    "hand": "as seen by the operator",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """What is measured about an incident beside its events; counts, instants in milliseconds."""

    caught: Caught
    peak_held: int = 0
    failed: int = 0  # technical failures of its corridors while it lasted
    reporters: int = 0  # distinct persons who reported one of its components
    published_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One figure: its name, its value, and what it rests on."""

    field: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The report: figures, then everything that happened."""

    incident: str
    final: bool
    lines: tuple[Line, ...]
    history: tuple[Line, ...]


def report_of(incident: Incident, measured: Measured, names: dict[str, str], *, operator: str, zone: str) -> Report:
    """The report as of the incident's last event; `names` are components' names as the operator uses them."""
    final = incident.stage is Stage.CLOSED
    lines = [
        Line("operator", operator),
        Line("incident", incident_id(incident.id)),
        Line("status", "final" if final else "draft", incident.stage.value),
        *_times(incident, measured, zone),
        Line("cause", _cause(incident, names), "named by where measurements are bad and where they are not"),
        Line("scope", "; ".join(names.get(one, one) for one in incident.components), "every part ever concerned"),
        Line("severity", incident.worst, "the worst that was measured"),
        *_money(incident, measured),
        *_evidence(incident),
    ]
    history = tuple(
        Line(_time(one.at_ms, zone), kind_of(one.event), "by rule" if one.actor == "rule" else f"by {one.actor}")
        for one in incident.events
    )
    return Report(incident_id(incident.id), final, tuple(lines), history)


def to_csv(report: Report) -> bytes:
    """The report as a table (RFC 4180, UTF-8): figures first, then the history."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\r\n")
    table.writerow(("field", "value", "note"))
    for line in (*report.lines, *(Line(f"event {one.field}", one.value, one.note) for one in report.history)):
        table.writerow([_cell(text) for text in (line.field, line.value, line.note)])
    return out.getvalue().encode()


def _times(incident: Incident, measured: Measured, zone: str) -> list[Line]:
    estimated = "the planned end of announced work" if incident.origin is Origin.MAINTENANCE else "computed backwards"
    published = None if measured.published_ms is None else measured.published_ms
    lines = [
        Line("started", _time(incident.start_ms, zone), estimated),
        Line("detected", _time(incident.detected_ms, zone), _after(incident.start_ms, incident.detected_ms)),
        Line("published", _time(published, zone), _after(incident.detected_ms, published)),
        Line("acknowledged", _time(incident.acknowledged_ms, zone), "the first act of a person"),
        Line("ended", _time(incident.closed_ms, zone), _after(incident.start_ms, incident.closed_ms)),
        Line("came back", str(len(incident.relapses_ms)), "; ".join(_time(one, zone) for one in incident.relapses_ms)),
    ]
    if incident.said_ms is not None:
        agreed = "measurements disagreed" if incident.stage is Stage.DISPUTED else "measurements decided"
        lines.append(Line("operator said resolved", _time(incident.said_ms, zone), agreed))
    return lines


def _money(incident: Incident, measured: Measured) -> list[Line]:
    caught = measured.caught
    ended = caught.arrived + caught.returned
    kept = max(0, ended - caught.late)
    open_ = "until now" if incident.open else "while it lasted"
    return [
        Line("transfers in flight now", str(caught.held), "without an end, in corridors with more than usual"),
        Line("transfers in flight at most", str(measured.peak_held), "without an end at one moment, by signals"),
        Line("amount in flight", NOT_KNOWN, "signals carry counts and no amounts; the gateway's books have them"),
        Line("transfers failed technically", str(measured.failed), open_),
        Line("customers affected", NOT_KNOWN, "health keeps no names; transfers failed technically is the upper bound"),
        Line("customers who reported", str(measured.reporters), "distinct persons, by keyed hash"),
        Line("transfers arrived", str(caught.arrived), open_),
        Line("transfers returned", str(caught.returned), open_),
        Line("promises kept, at most", str(kept), "ended, less those known to have been late"),
        Line("promises missed, at least", str(caught.late), "corridors whose oldest waited longer than promised"),
    ]


def _evidence(incident: Incident) -> list[Line]:
    opened = incident.events[0].event if incident.events else None
    lines = []
    if isinstance(opened, Opened):
        lines += _opening(opened.evidence)
    if isinstance(opened, OpenedByHand):
        lines.append(Line("evidence at opening", "opened by an operator", "no measurement at that moment"))
    for condition in Condition:
        if condition in incident.conditions:
            lines.append(Line(f"condition {condition.value}", incident.conditions[condition], "of the close rule"))
    return lines


def _opening(evidence: Mapping[str, object]) -> list[Line]:
    """What was measured when it opened, of the component that said most; what was not stored then is left out."""

    def line(field: str, key: str, note: str = "", unit: str = "") -> list[Line]:
        return [Line(field, f"{evidence[key]}{unit}", note)] if key in evidence else []

    tests = f"{evidence.get('green', 0)} / {evidence.get('vantages', 0)}"
    return [
        *line("evidence at opening", "kinds", "kinds of evidence strong enough to publish"),
        *line("transfers ended at opening", "ended", "in the minute before, of the part that said most"),
        *line("failed technically at opening", "failed_percent", "of those that ended", " %"),
        *([Line("synthetic tests green at opening", tests)] if evidence.get("vantages") else []),
        *line("customers' reports at opening", "reports"),
        *line("silent at opening", "silent_s", unit=" s"),
        *line("score at opening", "score", "of the detector"),
    ]


def _cause(incident: Incident, names: dict[str, str]) -> str:
    kind, _, name = incident.cause.partition(":")
    told = CAUSES.get(kind, kind)
    who = names.get(incident.cause, name)
    return f"{told}: {who}" if who else told


def _time(at_ms: int | None, zone: str) -> str:
    """`2026-07-27T11:02:00Z (14:02:00 EAT)`, or `not yet`."""
    if at_ms is None:
        return "not yet"
    local = local_time(at_ms, zone)
    return f"{iso(at_ms)} ({local:%H:%M:%S} {zone_name(local)})"


def _after(from_ms: int, to_ms: int | None) -> str:
    return "" if to_ms is None else f"after {max(0, to_ms - from_ms) / 1000:.0f} s"


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text
