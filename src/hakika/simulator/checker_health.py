"""Health's incidents recounted from their rows: numbers, causes, ends, stories, ticks and forms (I30 to I35).

The events of every incident are read once, in order, and what they may follow is written down here a second time,
from docs/reference/incidents.md. An end is held against the judgement of its own tick: the conditions of each
component that the incident had are put together again. Nothing here is about money: a database of health that is not
there, or does not answer, is a note beside the recount and changes no verdict about the books.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, LiteralString

from hakika.simulator.checker_findings import Check, Tally
from hakika.simulator.checker_snapshots import DatabaseSnapshot, recount

CONDITIONS = ("failures", "oldest", "backlog", "reports", "probes")
EVIDENCE = ("failures", "probes")  # one of them must have been measured, unless the operator has spoken
OPENINGS = ("opened", "opened_by_hand", "overran")
MEASURED = ("opened", "overran", "localised", "grew", "relapsed")  # behind these is evidence
AFTER_END = ("relapsed", "words", "corrected", "merged")

EVENTS: LiteralString = """
SELECT e.incident::text, e.number, e.kind, e.body, CASE WHEN e.kind = 'closed' THEN
    (SELECT j.body FROM judgement j WHERE j.at_ms = e.at_ms ORDER BY j.seq LIMIT 1) END
FROM incident_event e ORDER BY e.incident, e.number
"""
NUMBERS = Check(
    "I30",
    "numbers",
    """
SELECT 'incident ' || incident, 'has ' || count(*) || ' events, numbered ' || min(number) || ' to ' || max(number)
FROM incident_event GROUP BY incident
HAVING min(number) <> 1 OR max(number) <> count(*) OR count(DISTINCT number) <> count(*)
""",
)
SHOWN = Check(
    "I30",
    "shown",
    """
SELECT 'incident ' || s.id, 'was published up to event ' || s.shown || ', and its last is ' || coalesce(e.last, 0)
FROM (SELECT key AS id, max(value::integer) AS shown FROM publication, jsonb_each_text(incidents) GROUP BY key) s
LEFT JOIN (SELECT 'inc_' || replace(incident::text, '-', '') AS id, max(number) AS last FROM incident_event
    GROUP BY incident) e ON e.id = s.id
WHERE coalesce(e.last, 0) < s.shown
""",
)
CAUSES = Check(
    "I31",
    "causes",
    """
WITH moved AS (
    SELECT DISTINCT ON (incident) incident, kind FROM incident_event
    WHERE kind IN ('opened', 'opened_by_hand', 'overran', 'relapsed', 'closed', 'merged')
    ORDER BY incident, number DESC
), named AS (
    SELECT DISTINCT ON (incident) incident, body ->> 'cause' AS cause FROM incident_event
    WHERE kind IN ('opened', 'opened_by_hand', 'overran', 'localised') ORDER BY incident, number DESC
), lasting AS (
    SELECT m.incident, n.cause FROM moved m JOIN named n ON n.incident = m.incident
    WHERE m.kind NOT IN ('closed', 'merged')
)
SELECT 'cause ' || cause, 'has ' || count(*) || ' open incidents: ' || string_agg(incident::text, ', ')
FROM lasting GROUP BY cause HAVING count(*) > 1
UNION ALL
SELECT 'incident ' || coalesce(l.incident, c.incident), CASE
    WHEN c.incident IS NULL THEN 'is open, and open_cause does not have it'
    WHEN l.incident IS NULL THEN 'is over, and open_cause still has it'
    ELSE 'has the cause ' || coalesce(l.cause, 'of no name') || ', open_cause says ' || c.cause END
FROM lasting l FULL JOIN open_cause c ON c.incident = l.incident
WHERE l.incident IS NULL OR c.incident IS NULL OR l.cause IS DISTINCT FROM c.cause
""",
)
OPENED = Check(
    "I33",
    "opened",
    """
SELECT 'incident ' || coalesce(i.id, e.incident), CASE WHEN i.id IS NULL THEN 'has events, and is not there itself'
    WHEN e.incident IS NULL THEN 'has no opening' ELSE 'was opened at ' || e.at_ms || ', its row says '
    || i.opened_ms END
FROM incident i
FULL JOIN (SELECT DISTINCT ON (incident) incident, at_ms FROM incident_event ORDER BY incident, number) e
    ON e.incident = i.id
WHERE i.id IS NULL OR e.incident IS NULL OR i.opened_ms <> e.at_ms
""",
)
TICKS = Check(
    "I34",
    "ticks",
    """
SELECT 'judgement ' || seq, 'is of the tick ' || at_ms || ', and the one before it of ' || before_ms
FROM (SELECT seq, at_ms, lag(at_ms) OVER (ORDER BY seq) AS before_ms FROM judgement) j WHERE at_ms <= before_ms
UNION ALL
SELECT 'judgement ' || j.seq, 'is of the tick ' || j.at_ms || ', the judge''s last was ' || coalesce(d.upto_ms, 0)
FROM (SELECT seq, at_ms FROM judgement ORDER BY at_ms DESC LIMIT 1) j
LEFT JOIN detector_state d ON d.series = 'judge' WHERE j.at_ms > coalesce(d.upto_ms, 0)
UNION ALL
SELECT 'incident ' || e.incident, 'its event ' || e.number || ' was written by rule, without a judgement of its tick'
FROM incident_event e LEFT JOIN judgement j ON j.at_ms = e.at_ms WHERE e.actor = 'rule' AND j.at_ms IS NULL
UNION ALL
SELECT 'incident ' || incident, 'has ' || kind || ' ' || count(*) || ' times from the tick ' || at_ms
FROM incident_event WHERE actor = 'rule' GROUP BY incident, at_ms, kind, body HAVING count(*) > 1
""",
)
FORMS = Check(
    "I35",
    "forms",
    """
SELECT 'form ' || act, 'counts ' || count(*) || ' times' FROM incident_event WHERE act IS NOT NULL
GROUP BY act HAVING count(*) > 1
UNION ALL
SELECT 'incident ' || incident, 'its event ' || number || ' (' || kind || ') is of ' || actor || ', ' || CASE
    WHEN act IS NULL THEN 'without a form' ELSE 'with a form' END
FROM incident_event WHERE kind <> 'grew' AND CASE
    WHEN kind IN ('opened_by_hand', 'acknowledged', 'words', 'corrected', 'said_resolved')
        THEN act IS NULL OR actor = 'rule'
    WHEN kind = 'merged' THEN (act IS NULL) <> (actor = 'rule')
    ELSE act IS NOT NULL OR actor <> 'rule' END
""",
)


def recount_health(health: DatabaseSnapshot, tally: Tally) -> None:
    """I30 to I35, from rows alone; counts incidents and those that are open."""
    recount(health, (NUMBERS, SHOWN, CAUSES, OPENED, TICKS, FORMS), tally)
    for name in ("incidents", "incidents_open"):
        tally.counts[name] += 0
    merged: dict[str, str] = {}
    grown: set[tuple[str, str]] = set()  # (incident, what it has taken in)
    known: set[str] = set()
    for story in _stories(health, tally):
        known.add(story.incident)
        tally.counts["incidents"] += 1
        tally.counts["incidents_open"] += story.stage not in ("closed", "merged")
        if story.into is not None:
            merged[story.incident] = story.into
        grown |= {(story.incident, one) for one in story.absorbed}
    for incident, into in merged.items():
        if into not in known:
            tally.find("I33", f"incident {incident}", f"goes on in {into}, which is not there")
        elif (into, incident) not in grown:
            tally.find("I33", f"incident {incident}", f"goes on in {into}, which has not taken it in")
        elif incident in _way(into, merged):
            tally.find("I33", f"incident {incident}", "goes on in itself")


def _way(incident: str, merged: Mapping[str, str]) -> list[str]:
    """Where a story goes on, step by step, each once."""
    way = [incident]
    while way[-1] in merged and merged[way[-1]] not in way:
        way.append(merged[way[-1]])
    return way


def _stories(health: DatabaseSnapshot, tally: Tally) -> "Iterator[_Story]":
    story: _Story | None = None
    for incident, number, kind, body, judged in health.rows(EVENTS):
        if story is None or story.incident != incident:
            if story is not None:
                yield story
            story = _Story(incident, tally)
        story.take(number, kind, body, judged)
    if story is not None:
        yield story


@dataclass(slots=True)
class _Story:
    """One incident as far as its events were read."""

    incident: str
    tally: Tally
    stage: str = ""  # open, recovering, disputed, closed, merged
    measured: bool = False
    said: bool = False  # the operator has said resolved, and nothing has come back since
    components: set[str] = field(default_factory=set)
    into: str | None = None
    absorbed: list[str] = field(default_factory=list)

    def take(self, number: int, kind: str, body: Mapping[str, Any], judged: Mapping[str, Any] | None) -> None:
        """The next event; `judged` is what was held to be true at an end."""
        if (kind in OPENINGS) == (self.stage != ""):
            self._find("I33", f"its event {number} is {kind}: it has one opening, and begins with it")
        if self.stage == "merged" or (self.stage == "closed" and kind not in AFTER_END):
            self._find("I33", f"its event {number} is {kind}, after it was {self.stage}")
        if kind == "closed":
            self._end(number, body.get("conditions"), judged)
        self._follow(kind, body)

    def _follow(self, kind: str, body: Mapping[str, Any]) -> None:
        self.measured |= kind in MEASURED
        if kind in (*OPENINGS, "localised", "grew", "relapsed"):
            self.components |= set(body["components"])
        match kind:
            case "opened" | "opened_by_hand" | "overran":
                self.stage = "open"
            case "relapsed":
                self.stage, self.said = "open", False
            case "recovering":
                self.stage = "recovering"
            case "said_resolved":
                self.said = True
                if self.stage != "recovering":
                    self.stage = "disputed" if "unmet" in body["conditions"].values() else "recovering"
            case "corrected" if body["components"] is not None:
                self.components = set(body["components"])
            case "grew":
                self.absorbed += [str(one) for one in body["absorbed"]]
            case "closed" | "merged":
                self.stage = kind
                self.into = str(body["into"]) if kind == "merged" else None
            case _:
                pass
        if kind == "said_resolved" and set(body["conditions"]) != set(CONDITIONS):
            self._find("I32", "an operator said resolved, and what was measured then is not beside it")

    def _end(self, number: int, told: Mapping[str, str] | None, judged: Mapping[str, Any] | None) -> None:
        """The close rule, once more."""
        what = f"its event {number} closes it"
        if self.stage == "disputed":
            self._find("I32", f"{what} on an operator's word, against what was measured")
        elif self.stage != "recovering":
            self._find("I32", f"{what}, and it was not recovering")
        if not (self.measured or self.said):
            self._find("I32", f"{what}: nothing has measured it, and no operator has said that it is over")
        if told is None or set(told) != set(CONDITIONS):
            self._find("I32", f"{what} without the five conditions")
            return
        unmet = [name for name in CONDITIONS if told[name] not in ("met", "unmeasured")]
        if unmet:
            self._find("I32", f"{what} with {', '.join(unmet)} unmet")
        if not self.said and all(told[name] != "met" for name in EVIDENCE):
            self._find("I32", f"{what}, and neither failures nor probes were measured")
        if judged is not None:  # a tick without its judgement is I34's
            then = _together(judged, self.components)
            wrong = [f"{name} was {then[name]}" for name in CONDITIONS if then[name] != told[name]]
            if wrong:
                self._find("I32", f"{what}; at that tick {', '.join(wrong)}")

    def _find(self, code: Any, text: str) -> None:
        self.tally.find(code, f"incident {self.incident}", text)


def _together(judged: Mapping[str, Any], components: set[str]) -> dict[str, str]:
    """Conditions over several components: unmet in one is unmet; what none has measured is unmeasured."""
    readings = judged["readings"]
    found = {}
    for name in CONDITIONS:
        words = {readings[one]["conditions"].get(name, "unmeasured") for one in components if one in readings}
        found[name] = next((word for word in ("unmet", "met") if word in words), "unmeasured")
    return found
