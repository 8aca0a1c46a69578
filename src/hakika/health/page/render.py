"""The published folder from the model: every page in every language, feeds and data, bytes from values, no I/O.

Pages are whole in one request: one stylesheet, allowed by its hash, no script, nothing from elsewhere. Each says
when it was written and when the next is due, because a file cannot know that nobody replaces it. Whatever comes
from outside is escaped by the templates. Budgets, kept by tests: a page 30 kB with ten components of ninety days
and five incidents, its stylesheet 6 kB.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from hakika.health.page.catalogue import Counted, offered
from hakika.health.page.headline import SEVERITY, headline_of, open_incidents, past_incidents
from hakika.health.page.model import Component, Day, Incident, Kind, Language, StatusModel
from hakika.health.page.pictures import (
    ROWS_MAX,
    days_told,
    failed_share,
    ninety_days,
    sample_bar,
    share_told,
    thinned,
    uptime_told,
)
from hakika.health.page.place import (
    ATOM,
    CALENDAR,
    HISTORY,
    INDEX,
    JSON_FEED,
    ROOT_LANGUAGE,
    STATUS,
    PageSettings,
    Place,
    component_file,
    incident_file,
)
from hakika.health.page.uptime import added_up
from hakika.health.page.view import (
    answer_of,
    incident_told,
    others_open,
    row_of,
    windows_shown,
    works_told,
)
from hakika.health.page.words import Voice, fill, iso

PAST_LISTED_MAX = 60
MINUTES_A_DAY = 24 * 60
_FILES = {
    "index": INDEX, "history": HISTORY, "atom": ATOM, "feed": JSON_FEED, "calendar": CALENDAR, "status": STATUS,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class DayRow:
    """One day in figures."""

    day: str
    state: str
    good: str
    notes: tuple[str, ...]  # minutes down, where there were any; minutes measured, where that is not the whole day


def pages(model: StatusModel, settings: PageSettings) -> dict[str, bytes]:
    """Every HTML page by its path in the published folder."""
    found = {}
    for language in Language:
        voice = Voice(language, settings.zone, model)
        for place, body in _pages(voice, settings):
            found[place.path] = body
    top = Place(ROOT_LANGUAGE, INDEX, top=True)
    found[top.path] = index_page(Voice(ROOT_LANGUAGE, settings.zone, model), top, settings)
    return found


def index_page(voice: Voice, place: Place, settings: PageSettings) -> bytes:
    """The overview."""
    model = voice.model
    headline = headline_of(model)
    answer = answer_of(headline, voice)
    rows = [(component.kind, row_of(component, voice, number)) for number, component in enumerate(model.components)]
    groups = [
        (voice.words.kinds[kind], [row for its_kind, row in rows if its_kind is kind])
        for kind in Kind
        if any(its_kind is kind for its_kind, _ in rows)
    ]
    values = {
        "overall": headline.overall.value,
        "answer": answer,
        "others": others_open(headline, voice),
        "works": works_told(model.still_works, voice),
        "windows": windows_shown(voice, answer),
        "groups": groups,
        "key": _key(voice),
        "report_url": settings.report_url,
        "choices": [(component.id, voice.component(component)) for component in model.components],
    }
    return _rendered("index.html", voice, place, settings, values)


def incident_page(incident: Incident, voice: Voice, place: Place, settings: PageSettings) -> bytes:
    """One incident from its beginning."""
    picture = failed_share(incident, voice)
    points = [point for point in incident.failed_share if point.at_ms <= voice.model.as_of_ms]
    none = voice.words.labels.not_measured
    figures = [
        (voice.brief(point.at_ms), none if point.failed is None else voice.share(point.failed))
        for point in thinned(points, ROWS_MAX)
    ]
    values = {
        "it": incident_told(incident, voice),
        "picture": picture,
        "picture_told": share_told(points, voice) if picture else "",
        "figures": figures,
    }
    return _rendered("incident.html", voice, place, settings, values)


def history_page(voice: Voice, place: Place, settings: PageSettings) -> bytes:
    """Past incidents, and where the figures of each component are."""
    past = past_incidents(voice.model)
    older = len(past) - PAST_LISTED_MAX
    values = {
        "opened": [incident_told(incident, voice) for incident in open_incidents(voice.model)],
        "past": [incident_told(incident, voice) for incident in past[:PAST_LISTED_MAX]],
        "older": voice.counted(Counted.OLDER, older) if older > 0 else "",
        "parts": [
            (component_file(one.id), voice.component(one), uptime_told(one, voice)) for one in voice.model.components
        ],
    }
    return _rendered("history.html", voice, place, settings, values)


def days_page(component: Component, voice: Voice, place: Place, settings: PageSettings) -> bytes:
    """Ninety days of one component as bars and as a table, today first."""
    days = ninety_days(component, voice.today())
    rows = []
    for shown in reversed(days):
        told = shown.told
        percent = None if told is None else added_up([told]).percent
        rows.append(
            DayRow(
                day=voice.short_day(shown.day),
                state=voice.words.states[shown.state].word,
                good="" if percent is None else voice.percent(percent),
                notes=_notes(told, voice),
            )
        )
    row = row_of(component, voice, 0)
    values = {
        "row": row,
        "heading": fill(voice.words.labels.bars, component=row.name),
        "key": _key(voice),
        "told": days_told(days, voice),
        "days": rows,
    }
    return _rendered("days.html", voice, place, settings, values)


@cache
def stylesheet() -> str:
    """The stylesheet as it stands between <style> and </style>: comments and indentation taken out."""
    text = files(__package__).joinpath("templates", "style.css").read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return "".join(line for line in lines if line and not line.startswith("/*"))


def content_security_policy(settings: PageSettings) -> str:
    """Nothing by default; the stylesheet by its SHA-256, the mark as a data: image, reports to one origin."""
    reports = settings.report_origin or "'none'"
    digest = base64.b64encode(hashlib.sha256(stylesheet().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action {reports}"


def _pages(voice: Voice, settings: PageSettings) -> Iterator[tuple[Place, bytes]]:
    language = voice.language
    index, history = Place(language, INDEX), Place(language, HISTORY)
    yield index, index_page(voice, index, settings)
    yield history, history_page(voice, history, settings)
    for incident in voice.model.incidents:
        place = Place(language, incident_file(incident.id))
        yield place, incident_page(incident, voice, place, settings)
    for component in voice.model.components:
        place = Place(language, component_file(component.id))
        yield place, days_page(component, voice, place, settings)


def _notes(told: Day | None, voice: Voice) -> tuple[str, ...]:
    labels, named = voice.words.labels, voice.words.forms.named
    notes = []
    if told is not None and told.down:
        notes.append(fill(named, name=labels.down, value=voice.number(told.down)))
    if told is not None and told.measured < MINUTES_A_DAY:
        notes.append(fill(named, name=labels.measured, value=voice.number(told.measured)))
    return tuple(notes)


def _key(voice: Voice) -> list[tuple[object, str]]:
    return [(sample_bar(state), voice.words.states[state].word) for state in reversed(SEVERITY)]


def _rendered(name: str, voice: Voice, place: Place, settings: PageSettings, values: Mapping[str, object]) -> bytes:
    labels = voice.words.labels
    model = voice.model
    text = (
        _environment()
        .get_template(name)
        .render(
            values,
            voice=voice,
            words=voice.words,
            labels=labels,
            place=place,
            files=_FILES,
            languages=offered(),
            policy=content_security_policy(settings),
            style=stylesheet(),
            title=fill(labels.title, operator=voice.operator),
            written=fill(
                labels.written, written=voice.dated(model.as_of_ms), next=voice.exact(model.next_update_by_ms)
            ),
            zone=fill(labels.zone, zone=voice.zone_told()),
            iso=iso,
        )
    )
    return "".join(line.strip() + "\n" for line in text.splitlines() if line.strip()).encode()


@cache
def _environment() -> Environment:
    """Templates are read once; an unknown name in one of them is an error, never an empty string."""
    return Environment(
        loader=PackageLoader("hakika.health.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
