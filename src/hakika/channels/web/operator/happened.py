"""What has happened to an incident, event by event, with what each of them said: cause, parts, words, numbers.

The history is what a person on duty reads first when somebody else was on duty before. Sentences that went out are
those of the status page, in the reader's language.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from hakika.channels.web.operator.wording import Wording
from hakika.health.incident import Incident
from hakika.health.incident_events import (
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
    kind_of,
)
from hakika.health.page import model as page

HISTORY_MAX = 200


@dataclass(frozen=True, slots=True)
class Happened:
    """One event; `more` is what it said."""

    when: str
    what: str
    who: str
    more: str


def history(incident: Incident, wording: Wording, titles: Mapping[UUID, str]) -> list[Happened]:
    """Every event, the latest first; `titles` are those of other incidents."""
    found = []
    for one in reversed(incident.events[-HISTORY_MAX:]):
        who = wording.words["by_rule"] if one.actor == "rule" else wording.fill("by_person", name=one.actor)
        what = wording.words[f"event_{kind_of(one.event)}"]
        found.append(Happened(wording.voice.exact(one.at_ms), what, who, _more(one.event, wording, titles)))
    return found


def _more(event: Event, wording: Wording, titles: Mapping[UUID, str]) -> str:
    voice = wording.voice
    match event:
        case Opened(evidence=evidence):
            return wording.evidence([kind for kind in str(evidence.get("kinds", "")).split(",") if kind])
        case Localised(cause=cause):
            return wording.cause(cause)
        case Overran(components=components) | Grew(components=components) | Relapsed(components=components):
            return ", ".join(wording.components(components))
        case Updated(key=key, args=args):
            return voice.told(page.Template(page.News(key), dict(args))).text
        case Recovering(open_percent=percent):
            return voice.told(page.Template(page.News.RECOVERING, {"open_percent": percent})).text
        case OpenedByHand(words=words) | OperatorWrote(words=words):
            by_language = {page.Language(code): text for code, text in words.items() if text.strip()}
            return voice.told(page.OperatorWords(by_language)).text
        case OperatorCorrected(start_ms=start_ms, components=parts):
            start = [] if start_ms is None else [wording.fill("started_at", at=voice.exact(start_ms))]
            return ". ".join([*start, ", ".join(wording.components(parts or ()))]).removesuffix(". ")
        case Measured(conditions=conditions) | OperatorSaidResolved(conditions=conditions):
            met = sum(1 for one in conditions.values() if one == Met.MET)
            return wording.fill("condition_count", met=str(met), all=str(len(conditions))) if conditions else ""
        case Merged(into=into):
            return wording.fill("now_into", title=titles[into]) if into in titles else ""
        case _:
            return ""
