"""The same truth for machines: Atom, JSON Feed 1.1, the GSMA heartbeat and everything as `status.json`.

An entry is an incident or a maintenance window; it changes when something is said about it, and its id stays. No
text of a feed is markup: it is escaped once, by the writer of its format, after it has lost what no XML may carry.
`status.json` has templates with their arguments beside the sentences made from them, so that others can say it in
a language of their own; fields are only ever added.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from lxml import etree

from hakika.health.page.catalogue import offered
from hakika.health.page.headline import headline_of, heartbeat_of
from hakika.health.page.model import (
    Component,
    Incident,
    Language,
    Maintenance,
    OperatorWords,
    Phase,
    StatusModel,
    StillWorks,
    Template,
)
from hakika.health.page.place import (
    ATOM,
    HEARTBEAT,
    INDEX,
    JSON_FEED,
    ROOT_LANGUAGE,
    STATUS,
    PageSettings,
    component_file,
    incident_file,
)
from hakika.health.page.uptime import DOWN_AFTER_REQUESTS, FAILED_SHARE_MAX, REPLY_WITHIN_S, added_up
from hakika.health.page.view import incident_told, window_told
from hakika.health.page.words import Voice, clean, fill, iso, paragraphs, plain

ATOM_SPACE = "http://www.w3.org/2005/Atom"
JSON_FEED_VERSION = "https://jsonfeed.org/version/1.1"
STATUS_SCHEMA = "health.status/1"
ENTRIES_MAX = 50
Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a feed; `text` is plain, in lines."""

    address: str
    title: str
    published_ms: int
    updated_ms: int
    text: str
    tags: tuple[str, ...]


def feeds(model: StatusModel, settings: PageSettings) -> dict[str, bytes]:
    """Every feed and data file by its path in the published folder; those at the top speak English."""
    found = {STATUS: status_json(model, settings), HEARTBEAT: heartbeat_json(model)}
    for language in Language:
        voice = Voice(language, settings.zone, model, days_told=True)
        tops = ("", f"{language.value}/") if language is ROOT_LANGUAGE else (f"{language.value}/",)
        for top in tops:
            found[top + ATOM] = atom(voice, settings, top + ATOM)
            found[top + JSON_FEED] = json_feed(voice, settings, top + JSON_FEED)
    return found


def entries(voice: Voice, settings: PageSettings) -> list[Entry]:
    """Incidents and maintenance windows, the last changed first."""
    model = voice.model
    found = [_incident_entry(incident, voice, settings) for incident in model.incidents]
    found += [_window_entry(window, voice, settings) for window in model.maintenance]
    return sorted(found, key=lambda entry: (-entry.updated_ms, entry.address))[:ENTRIES_MAX]


def atom(voice: Voice, settings: PageSettings, file: str) -> bytes:
    """RFC 4287; `file` is where the feed itself will be."""
    home = settings.address(f"{voice.language.value}/{INDEX}")
    feed = etree.fromstring(f'<feed xmlns="{ATOM_SPACE}"/>')
    feed.set("{http://www.w3.org/XML/1998/namespace}lang", voice.language.value)
    _add(feed, "title", _title(voice))
    _add(feed, "id", settings.address(f"{voice.language.value}/{ATOM}"))
    _add(feed, "updated", iso(voice.model.as_of_ms))
    _add(feed, "link", rel="self", type="application/atom+xml", href=settings.address(file))
    _add(feed, "link", rel="alternate", type="text/html", href=home)
    _add(_add(feed, "author"), "name", voice.operator)
    for entry in entries(voice, settings):
        item = _add(feed, "entry")
        _add(item, "title", entry.title)
        _add(item, "id", entry.address)
        _add(item, "published", iso(entry.published_ms))
        _add(item, "updated", iso(entry.updated_ms))
        _add(item, "link", rel="alternate", type="text/html", href=entry.address)
        for tag in entry.tags:
            _add(item, "category", term=tag)
        _add(item, "content", entry.text, type="text")
    return etree.tostring(feed, xml_declaration=True, encoding="utf-8", pretty_print=True)


def json_feed(voice: Voice, settings: PageSettings, file: str) -> bytes:
    """JSON Feed 1.1; `file` is where the feed itself will be."""
    items = [
        {
            "id": entry.address,
            "url": entry.address,
            "title": entry.title,
            "content_text": entry.text,
            "date_published": iso(entry.published_ms),
            "date_modified": iso(entry.updated_ms),
            "tags": list(entry.tags),
        }
        for entry in entries(voice, settings)
    ]
    return _json(
        {
            "version": JSON_FEED_VERSION,
            "title": _title(voice),
            "home_page_url": settings.address(f"{voice.language.value}/{INDEX}"),
            "feed_url": settings.address(file),
            "language": voice.language.value,
            "authors": [{"name": voice.operator}],
            "items": items,
        }
    )


def heartbeat_json(model: StatusModel) -> bytes:
    """GSMA Mobile Money API, heartbeat: the worst of the public corridors; delay in milliseconds."""
    heartbeat = heartbeat_of(model)
    content: Json = {"serviceStatus": heartbeat.status.value}
    if heartbeat.delay_ms is not None:
        content["delay"] = heartbeat.delay_ms
    if heartbeat.restoration_ms is not None:
        content["plannedRestorationTime"] = iso(heartbeat.restoration_ms)
    return _json(content)


def status_json(model: StatusModel, settings: PageSettings) -> bytes:
    """Everything that the pages say, documented in docs/reference/status-page.md."""
    voices = [Voice(language, settings.zone, model, days_told=True) for language in Language]
    headline = headline_of(model)
    return _json(
        {
            "schema": STATUS_SCHEMA,
            "operator": voices[0].operator,
            "as_of": iso(model.as_of_ms),
            "next_update_by": iso(model.next_update_by_ms),
            "zone": settings.zone,
            "overall": headline.overall.value,
            "incident": None if headline.incident is None else headline.incident.id,
            "languages": {language.value: {"draft": words.language.draft} for language, words in offered()},
            "rules": {
                "good_minute_failed_share_below": FAILED_SHARE_MAX,
                "down_after_requests": DOWN_AFTER_REQUESTS,
                "down_reply_within_s": REPLY_WITHIN_S,
            },
            "components": [_component(one, voices, settings) for one in model.components],
            "still_works": [_works(one, voices) for one in model.still_works],
            "incidents": [_incident(one, voices, settings) for one in model.incidents],
            "maintenance": [_window(one, voices) for one in model.maintenance],
        }
    )


def _incident_entry(incident: Incident, voice: Voice, settings: PageSettings) -> Entry:
    told = incident_told(incident, voice)
    lines = [told.stage + ".", f"{told.since} {told.found}", told.closed, told.relapses]
    if told.into is not None:
        lines.append(f"{told.into.label} {told.into.title.text}")
    if told.money is not None:
        lines.append(" ".join((told.money.held, "".join(told.money.promise or ()), *told.money.ended)).strip())
        lines.append(told.money.advice)
    lines += [f"{one.name}: {one.how.text}" for one in told.works]
    lines += [f"{update.when}: {update.text.text}" for update in told.updates]
    changed = [incident.published_ms, *(update.at_ms for update in incident.updates), *incident.relapses_ms]
    if incident.closed_ms is not None:
        changed.append(incident.closed_ms)
    return Entry(
        address=settings.address(f"{voice.language.value}/{incident_file(incident.id)}"),
        title=plain(told.title.text),
        published_ms=incident.published_ms,
        updated_ms=max(changed),
        text=plain("\n".join(line for line in lines if line)),
        tags=("incident", incident.stage.value, *incident.components),
    )


def _window_entry(window: Maintenance, voice: Voice, settings: PageSettings) -> Entry:
    told = window_told(window, voice)
    cancelled = [told.phase + "."] if window.phase is Phase.CANCELLED else []
    return Entry(
        address=settings.address(f"{voice.language.value}/{INDEX}#{window.id}"),
        title=plain(told.title.text),
        published_ms=window.announced_ms,
        updated_ms=window.changed_ms,
        text=plain("\n".join([*cancelled, told.when, ", ".join(told.components)])),
        tags=("maintenance", window.phase.value, *window.components),
    )


def _component(component: Component, voices: Sequence[Voice], settings: PageSettings) -> Json:
    uptime = added_up(component.history)
    return {
        "id": component.id,
        "kind": component.kind.value,
        "name": {voice.language.value: plain(voice.component(component)) for voice in voices},
        "state": component.state.value,
        "since": _instant(component.since_ms),
        "delay_s": component.delay_s,
        "url": settings.address(f"{ROOT_LANGUAGE.value}/{component_file(component.id)}"),
        "uptime_percent": _percent(uptime.percent),
        "minutes": {"measured": uptime.measured, "good": uptime.good, "down": uptime.down},
        "days": [
            {
                "day": day.day.isoformat(),
                "worst": day.worst.value,
                "measured": day.measured,
                "good": day.good,
                "down": day.down,
            }
            for day in component.history
        ],
    }


def _incident(incident: Incident, voices: Sequence[Voice], settings: PageSettings) -> Json:
    money = incident.money
    return {
        "id": incident.id,
        "url": settings.address(f"{ROOT_LANGUAGE.value}/{incident_file(incident.id)}"),
        "title": _text(incident.title, voices),
        "stage": incident.stage.value,
        "worst": incident.worst.value,
        "started_estimate": iso(incident.started_ms),
        "detected": iso(incident.detected_ms),
        "published": iso(incident.published_ms),
        "closed": _instant(incident.closed_ms),
        "merged_into": incident.merged_into,
        "relapses": [iso(instant) for instant in incident.relapses_ms],
        "components": list(incident.components),
        "money": None
        if money is None
        else {
            "held": money.held,
            "promise_by": _instant(money.promise_by_ms),
            "advice": money.advice.value,
            "arrived": money.arrived,
            "returned": money.returned,
            "late": money.late,
        },
        "still_works": [_works(one, voices) for one in incident.still_works],
        "updates": [
            {"at": iso(update.at_ms), "stage": update.stage.value, "text": _text(update.text, voices)}
            for update in incident.updates
        ],
        "failed_share": [[iso(point.at_ms), point.failed] for point in incident.failed_share],
    }


def _window(window: Maintenance, voices: Sequence[Voice]) -> Json:
    return {
        "id": window.id,
        "title": _text(window.title, voices),
        "phase": window.phase.value,
        "announced": iso(window.announced_ms),
        "starts": iso(window.starts_ms),
        "ends": iso(window.ends_ms),
        "changed": iso(window.changed_ms),
        "sequence": window.sequence,
        "components": list(window.components),
        "incident": window.incident,
    }


def _works(works: StillWorks, voices: Sequence[Voice]) -> Json:
    return {"component": works.component, "how": _text(works.how, voices)}


def _text(text: Template | OperatorWords, voices: Sequence[Voice]) -> Json:
    """A template with what it says in each language, or the operator's words in those that there are."""
    if isinstance(text, Template):
        said = {voice.language.value: plain(voice.told(text).text) for voice in voices}
        args = {name: clean(value) if isinstance(value, str) else value for name, value in text.args.items()}
        return {"template": text.key.value, "args": args, "text": said}
    written = {language.value: "\n".join(paragraphs(words)) for language, words in text.by_language.items()}
    return {"template": None, "args": {}, "text": written}


def _title(voice: Voice) -> str:
    return fill(voice.words.labels.title, operator=voice.operator)


def _instant(instant_ms: int | None) -> str | None:
    return None if instant_ms is None else iso(instant_ms)


def _percent(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _json(content: Json) -> bytes:
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False).encode() + b"\n"


def _add(parent: etree._Element, name: str, text: str | None = None, **attributes: str) -> etree._Element:
    child = etree.SubElement(parent, f"{{{ATOM_SPACE}}}{name}", attributes)
    child.text = text
    return child
