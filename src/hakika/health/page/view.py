"""From the model to what a page's templates show: rows, incidents and the answer on top, in one language.

Worded here and laid out there. The answer on top says what does not work, since when, who holds the money, by
when it arrives or comes back and what to do, in that order; only the parts that are true are there.
"""

from dataclasses import dataclass

from markupsafe import Markup

from hakika.health.page.catalogue import Counted
from hakika.health.page.headline import Headline, Overall, open_incidents
from hakika.health.page.model import (
    Component,
    Incident,
    Maintenance,
    News,
    Phase,
    Stage,
    State,
    StillWorks,
    Template,
    Update,
)
from hakika.health.page.pictures import day_bars, uptime_told
from hakika.health.page.place import component_file, incident_file
from hakika.health.page.words import Told, Voice, fill, parted

UPDATES_CHARS_MAX = 9_000  # of the updates shown on a page, the latest first
UPDATE_CHARS = 150  # what an update weighs beside its words
OPEN_LISTED_MAX = 20

# A state's colour, the class in the stylesheet, and its shape, a symbol of icons.html. No two share one.
TONES = {
    State.AVAILABLE: "completed",
    State.DEGRADED: "held",
    State.UNAVAILABLE: "broken",
    State.MAINTENANCE: "returned",
    State.UNKNOWN: "unknown",
}
ICONS = {
    State.AVAILABLE: "ok",
    State.DEGRADED: "part",
    State.UNAVAILABLE: "out",
    State.MAINTENANCE: "work",
    State.UNKNOWN: "unk",
}
OVERALL = {
    Overall.DISPUTED: ("broken", "said"),
    Overall.UNAVAILABLE: ("broken", "out"),
    Overall.DEGRADED: ("held", "part"),
    Overall.RECOVERING: ("held", "back"),
    Overall.UNKNOWN: ("unknown", "unk"),
    Overall.MAINTENANCE: ("returned", "work"),
    Overall.ALL_WELL: ("completed", "ok"),
}
Parted = tuple[str, str, str]
_SAID_ALREADY = (News.HELD, News.NEW_PROMISE, News.BANKS_TOLD)


@dataclass(frozen=True, slots=True)
class Row:
    """One component as the overview lists it."""

    name: str
    link: str
    tone: str
    icon: str
    word: str
    state: str  # the word, or since when where it is not "works"
    delay: str  # how much longer transfers take, or nothing
    bars: Markup
    uptime: str


@dataclass(frozen=True, slots=True)
class Works:
    """Something that can be used meanwhile."""

    name: str
    how: Told


@dataclass(frozen=True, slots=True)
class MoneyTold:
    """What happens to the money: how much is held and by when it ends, what has ended, what to do."""

    held: str
    promise: Parted | None
    ended: tuple[str, ...]
    advice: str


@dataclass(frozen=True, slots=True)
class UpdateTold:
    """One update."""

    when: str
    iso_ms: int
    stage: str
    text: Told


@dataclass(frozen=True, slots=True)
class Into:
    """The incident in which a merged one goes on."""

    label: str
    link: str
    title: Told


@dataclass(frozen=True, slots=True)
class IncidentTold:
    """An incident in words."""

    link: str
    title: Told
    stage: str
    tone: str
    icon: str
    since: str
    found: str
    closed: str
    into: Into | None
    relapses: str
    money: MoneyTold | None
    updates: tuple[UpdateTold, ...]  # the latest first
    earlier: str
    components: tuple[str, ...]
    works: tuple[Works, ...]


@dataclass(frozen=True, slots=True)
class WindowTold:
    """A maintenance window in words."""

    id: str
    title: Told
    when: str
    phase: str
    components: tuple[str, ...]
    link: str  # of the incident that it became, or empty


@dataclass(frozen=True, slots=True)
class Answer:
    """The top of the overview: the first thing and, when it is about an incident, that incident."""

    word: str
    tone: str
    icon: str
    sentence: str
    incident: IncidentTold | None
    latest: UpdateTold | None  # what was said last, unless the answer says it already
    window: WindowTold | None  # the work that is going on, when the answer is about it


def row_of(component: Component, voice: Voice, number: int) -> Row:
    """A component's row; `number` tells its picture from others on the page."""
    words = voice.words.states[component.state]
    since = "" if component.since_ms is None else fill(words.since, since=voice.time(component.since_ms))
    delay = "" if not component.delay_s else voice.duration(component.delay_s)
    return Row(
        name=voice.component(component),
        link=component_file(component.id),
        tone=TONES[component.state],
        icon=ICONS[component.state],
        word=words.word,
        state=since if since and component.state is not State.AVAILABLE else words.word,
        delay=fill(voice.words.labels.delay, delay=delay) if delay else "",
        bars=day_bars(component, voice, number),
        uptime=uptime_told(component, voice),
    )


def answer_of(headline: Headline, voice: Voice) -> Answer:
    """What the overview says first."""
    words = voice.words.overall[headline.overall]
    tone, icon = OVERALL[headline.overall]
    incident = None if headline.incident is None else incident_told(headline.incident, voice)
    said = None if headline.incident is None else _latest(headline.incident)
    sentence, latest = fill(words.sentence), None if said is None else _update(said, voice)
    if latest and said and headline.overall is Overall.DISPUTED and _is_news(said, News.DISPUTED):
        sentence, latest = latest.text.text, None  # says the same with the figures
    running = [window for window in voice.model.maintenance if window.phase is Phase.RUNNING]
    window = window_told(running[0], voice) if running and headline.overall is Overall.MAINTENANCE else None
    return Answer(fill(words.word), tone, icon, sentence, incident, latest, window)


def others_open(headline: Headline, voice: Voice) -> list[IncidentTold]:
    """Open incidents that the answer is not about."""
    found = [incident for incident in open_incidents(voice.model) if incident is not headline.incident]
    return [incident_told(incident, voice) for incident in found[:OPEN_LISTED_MAX]]


def incident_told(incident: Incident, voice: Voice) -> IncidentTold:
    """An incident in one language."""
    labels = voice.words.labels
    tone, icon = _look(incident)
    closed = ""
    if incident.closed_ms is not None:
        lasted = voice.duration(max(0, incident.closed_ms - incident.started_ms) // 1000)
        closed = fill(labels.closed, closed=voice.time(incident.closed_ms), lasted=lasted)
    into = None
    if incident.merged_into is not None:
        other = voice.model.incident(incident.merged_into)
        into = Into(fill(labels.merged), incident_file(other.id), voice.title(other.title))
    found = voice.exact(incident.detected_ms, told_ms=incident.started_ms)
    published = voice.exact(incident.published_ms, told_ms=incident.detected_ms)
    updates = _updates(incident, voice)
    left_out = len(incident.updates) - len(updates)
    return IncidentTold(
        link=incident_file(incident.id),
        title=voice.title(incident.title),
        stage=fill(voice.words.stages[incident.stage]),
        tone=tone,
        icon=icon,
        since=fill(labels.since, since=voice.time(incident.started_ms)),
        found=fill(labels.found, found=found, published=published),
        closed=closed,
        into=into,
        relapses=voice.counted(Counted.RELAPSES, len(incident.relapses_ms)) if incident.relapses_ms else "",
        money=money_told(incident, voice),
        updates=updates,
        earlier=voice.counted(Counted.EARLIER, left_out) if left_out else "",
        components=tuple(voice.component(voice.model.component(id_)) for id_ in incident.components),
        works=works_told(incident.still_works, voice),
    )


def money_told(incident: Incident, voice: Voice) -> MoneyTold | None:
    """What happens to the money caught in an incident; None when none was."""
    money = incident.money
    if money is None:
        return None
    promise = None
    if money.held and money.promise_by_ms is not None:
        by = voice.time(money.promise_by_ms)
        promise = parted(fill(voice.words.labels.promise, promise=by), by)
    ended = []
    if money.arrived:
        ended.append(voice.counted(Counted.ARRIVED, money.arrived))
    if money.returned:
        ended.append(voice.counted(Counted.RETURNED, money.returned))
    if money.late:
        ended.append(voice.counted(Counted.LATE, money.late))
    elif ended and not incident.open:
        ended.append(voice.words.labels.promises_kept)
    return MoneyTold(
        held=voice.counted(Counted.HELD, money.held) if money.held else "",
        promise=promise,
        ended=tuple(ended),
        advice=fill(voice.words.advice[money.advice]) if incident.open or money.held else "",
    )


def works_told(works: tuple[StillWorks, ...], voice: Voice) -> tuple[Works, ...]:
    """What still works, and how."""
    model = voice.model
    return tuple(Works(voice.component(model.component(one.component)), voice.told(one.how)) for one in works)


def window_told(window: Maintenance, voice: Voice) -> WindowTold:
    """A maintenance window in one language."""
    return WindowTold(
        id=window.id,
        title=voice.title(window.title),
        when=voice.span(window.starts_ms, window.ends_ms),
        phase=voice.words.phases[window.phase],
        components=tuple(voice.component(voice.model.component(id_)) for id_ in window.components),
        link=incident_file(window.incident) if window.incident else "",
    )


def windows_shown(voice: Voice, answer: Answer) -> list[WindowTold]:
    """Work that is going on or ahead and that the answer is not about, the next first."""
    ahead = (Phase.PLANNED, Phase.RUNNING, Phase.OVERRUN)
    found = sorted((window for window in voice.model.maintenance if window.phase in ahead), key=lambda w: w.starts_ms)
    said = "" if answer.window is None else answer.window.id
    return [window_told(window, voice) for window in found if window.id != said]


def _updates(incident: Incident, voice: Voice) -> tuple[UpdateTold, ...]:
    """The latest updates, as many as fit a page: each of an operator's may be long."""
    found: list[UpdateTold] = []
    room = UPDATES_CHARS_MAX
    for update in reversed(incident.updates):
        told = _update(update, voice)
        room -= UPDATE_CHARS + len(told.text.text)
        if found and room < 0:
            break
        found.append(told)
    return tuple(found)


def _update(update: Update, voice: Voice) -> UpdateTold:
    stage = fill(voice.words.stages[update.stage])
    return UpdateTold(voice.time(update.at_ms), update.at_ms, stage, voice.told(update.text))


def _latest(incident: Incident) -> Update | None:
    """The last update that says more than the money's own lines, to a customer."""
    return next((update for update in reversed(incident.updates) if not _is_news(update, *_SAID_ALREADY)), None)


def _is_news(update: Update, *keys: News) -> bool:
    return isinstance(update.text, Template) and update.text.key in keys


def _look(incident: Incident) -> tuple[str, str]:
    match incident.stage:
        case Stage.RESOLVED:
            return TONES[State.AVAILABLE], ICONS[State.AVAILABLE]
        case Stage.MERGED:
            return TONES[State.UNKNOWN], OVERALL[Overall.RECOVERING][1]
        case Stage.DISPUTED:
            return OVERALL[Overall.DISPUTED]
        case Stage.RECOVERING:
            return OVERALL[Overall.RECOVERING]
        case _:
            return TONES[incident.worst], ICONS[incident.worst]
