"""From what is known to what the operator's templates show: numbers, conditions and the public text in each language.

Nothing is decided here. Times are the operator's local ones as the status page writes them; the public text is the very
text of the page, made by the page's own code, so that what is seen here is what people read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from markupsafe import Markup

from hakika.channels.web.operator.happened import Happened, history
from hakika.channels.web.operator.wording import Wording
from hakika.channels.web.operator.words import Words, words
from hakika.health.assessment import Reading
from hakika.health.incident import Incident, Stage
from hakika.health.incident_events import Condition, Met
from hakika.health.naming import Named
from hakika.health.page import model as page
from hakika.health.page.headline import SEVERITY, Overall
from hakika.health.page.pictures import failed_share
from hakika.health.page.view import ICONS, OVERALL, TONES, IncidentTold, incident_told
from hakika.health.page.words import Voice
from hakika.health.publishing import Trouble
from hakika.health.recent import HOLD_S
from hakika.health.regulator import Line, Report
from hakika.health.shown import Shown
from hakika.health.telling import Known, incident_id

MARKS = {Met.MET: ("completed", "ok"), Met.UNMET: ("broken", "out"), Met.UNMEASURED: ("unknown", "unk")}
HOUR_MS = 3_600_000
PUBLIC_UPDATES = 3  # shown of the public text, the latest; the rest is on the page itself


@dataclass(frozen=True, slots=True)
class Part:
    """One component in numbers."""

    name: str
    state: str
    tone: str
    icon: str
    level: str
    kinds: str
    ended: str
    failed: str
    calm: bool
    pending: str
    oldest: str
    tests: str
    reports: str


@dataclass(frozen=True, slots=True)
class Tick:
    """One condition of the close rule."""

    text: str
    word: str
    tone: str
    icon: str


@dataclass(frozen=True, slots=True)
class Public:
    """What the public reads of an incident in one language."""

    language: page.Language
    language_name: str
    told: IncidentTold
    earlier: str  # how many updates are not shown, or nothing


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the regulator's report, in the reader's language."""

    field: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class Listed:
    """One incident in the list."""

    id: str
    title: str
    stage: str
    tone: str
    icon: str
    since: str


class View:
    """One language's view of everything that is known."""

    def __init__(self, known: Known, model: page.StatusModel, names: Named, language: page.Language, zone: str) -> None:
        self.known, self.model, self.names = known, model, names
        self.voice = Voice(language, zone, model)
        self.words: Words = words(language)
        self.wording = Wording(self.words, self.voice, names)
        self._told = {one.id: one for one in model.incidents}

    def time(self, at_ms: int | None) -> str:
        """An instant on the operator's clocks."""
        return "" if at_ms is None else self.voice.exact(at_ms)

    def hour(self, from_ms: int) -> str:
        """An hour, by its beginning and end."""
        return self.voice.span(from_ms, from_ms + HOUR_MS)

    def fill(self, key: str, **values: str) -> str:
        """A sentence of the screens."""
        return self.words[key].format(**values)

    def since(self, incident: Incident) -> str:
        """Since when, and when it was found."""
        return self.fill("since", since=self.voice.time(incident.start_ms), found=self.time(incident.detected_ms))

    def listed(self, *, open_: bool) -> list[Listed]:
        """Incidents, the latest first."""
        found = [one for one in self.known.incidents if one.open is open_ and incident_id(one.id) in self._told]
        found.sort(key=lambda one: (-one.detected_ms, one.id))
        return [self._listed(one) for one in found]

    def parts(self, components: Sequence[str] | None = None) -> list[Part]:
        """Components in numbers, those of the settings or those given, the worst first."""
        wanted = self.names.all if components is None else components
        worst_first = sorted(wanted, key=lambda one: SEVERITY.index(self._state(one)))
        return [self._part(one, self.known.seen.readings.get(one, Reading(one))) for one in worst_first]

    def ticks(self, incident: Incident) -> list[Tick]:
        """The close rule as measured now; of what is over, as it was then."""
        conditions = self.known.seen.conditions_of(incident.components) if incident.open else incident.conditions
        found = []
        for condition in Condition:
            met = Met(conditions.get(condition.value, Met.UNMEASURED.value))
            tone, icon = MARKS[met]
            text = self.fill_hold(f"condition_{condition.value}")
            found.append(Tick(text, self.words[met.value], tone, icon))
        return found

    def fill_hold(self, key: str) -> str:
        """A condition's sentence; some name the hold."""
        return self.words[key].format(hold=self.voice.duration(int(HOLD_S)))

    def public(self, incident: Incident, extra: Mapping[str, str] | None = None) -> list[Public]:
        """What people read in each language; with `extra` words as if they were published."""
        told = self._told.get(incident_id(incident.id))
        if told is None:
            return []
        if extra:
            by_language = {page.Language(code): text for code, text in extra.items() if text.strip()}
            stage = told.updates[-1].stage if told.updates else told.stage
            update = page.Update(self.known.at_ms, stage, page.OperatorWords(by_language))
            told = replace(told, updates=(*told.updates, update))
        found = []
        for language in page.Language:
            voice = Voice(language, self.voice.zone, self.model)
            shown = incident_told(told, voice)
            left_out = len(told.updates) - PUBLIC_UPDATES
            earlier = words(language)["earlier"].format(count=voice.number(left_out)) if left_out > 0 else ""
            shown = replace(shown, updates=shown.updates[:PUBLIC_UPDATES])
            found.append(Public(language, words(language)["name"], shown, earlier))
        return found

    def picture(self, incident: Incident) -> Markup | None:
        """The share that failed, with the incident as a band."""
        told = self._told.get(incident_id(incident.id))
        return failed_share(told, self.voice) if told is not None else None

    def history(self, incident: Incident) -> list[Happened]:
        """Every event, the latest first."""
        titles = {one.id: self._listed(one).title for one in self.known.incidents}
        return history(incident, self.wording, titles)

    def report(self, report: Report, incident: Incident) -> tuple[list[Figure], list[Figure]]:
        """The regulator's figures and its history as the reader's language calls them; values stay as measured."""
        figures = [self._figure(line, incident) for line in report.lines]
        events = [Figure(one.field, self.words[f"event_{one.value}"], self._who(one.note)) for one in report.history]
        return figures, events

    def tone(self, incident: Incident) -> tuple[str, str]:
        """Colour and shape of a stage."""
        match incident.stage:
            case Stage.CLOSED:
                return TONES[page.State.AVAILABLE], ICONS[page.State.AVAILABLE]
            case Stage.MERGED:  # it goes on elsewhere: nothing says that it works
                return TONES[page.State.UNKNOWN], ICONS[page.State.UNKNOWN]
            case Stage.DISPUTED:
                return OVERALL[Overall.DISPUTED]
            case Stage.RECOVERING:
                return OVERALL[Overall.RECOVERING]
            case _:
                state = page.State(incident.worst or "degraded")
                return TONES[state], ICONS[state]

    def names_of(self, components: Sequence[str]) -> list[str]:
        """As the operator calls them."""
        return self.wording.components(components)

    def choices(self) -> list[tuple[str, str]]:
        """Every component that may be chosen, with its name."""
        return list(zip(self.names.all, self.names_of(self.names.all), strict=True))

    def others(self, incident: Incident) -> list[Listed]:
        """Open incidents into which this one may be merged."""
        return [self._listed(one) for one in self.known.incidents if one.open and one.id != incident.id]

    def find(self, id_: UUID) -> Incident | None:
        """The incident of that id, among those shown."""
        return next((one for one in self.known.incidents if one.id == id_), None)

    def trouble(self, trouble: Trouble | None, published_ms: int | None) -> list[str]:
        """The state of the page, in sentences; the first is the one to see."""
        if trouble is None:
            if published_ms is None:
                return [self.words["page_never"]]
            return [self.fill("page_written", at=self.time(published_ms))]
        reason = self.wording.phrase(trouble.reason)
        lines = [self.fill("page_trouble", since=self.time(trouble.since_ms), reason=reason)]
        lines.append(self.fill("page_advice", advice=self.wording.phrase(trouble.advice)))
        lines.append(self.words["page_wait"])
        if trouble.published_ms is not None:
            lines.append(self.fill("page_stale", at=self.time(trouble.published_ms)))
        return lines

    def _listed(self, incident: Incident) -> Listed:
        told = self._told.get(incident_id(incident.id))
        tone, icon = self.tone(incident)
        title = self.voice.told(told.title).text if told is not None else self.wording.cause(incident.cause)
        since = self.since(incident)
        if incident.closed_ms is not None:
            since = self.fill("closed_at", closed=self.time(incident.closed_ms))
        stage = self.voice.words.stages[told.stage] if told is not None else incident.stage.value
        return Listed(incident.id.hex, title, stage, tone, icon, since)

    def _figure(self, line: Line, incident: Incident) -> Figure:
        wording = self.wording
        note, value = wording.phrase(line.note), wording.phrase(line.value)
        condition = line.field.removeprefix("condition ")
        if condition != line.field:
            return Figure(self.fill_hold(f"condition_{condition}"), self.words[line.value], note)
        match line.field:
            case "cause":
                value = wording.cause(incident.cause)
            case "scope":
                value = "; ".join(wording.components(incident.components))
            case "evidence at opening" if value == line.value:
                value = wording.evidence([kind for kind in line.value.split(",") if kind])
        return Figure(wording.phrase(line.field), value, note)

    def _who(self, note: str) -> str:
        name = note.removeprefix("by ")
        return self.words["by_rule"] if name == "rule" else self.fill("by_person", name=name)

    def _state(self, component: str) -> page.State:
        return page.State(self.known.states.get(component, Shown("unknown")).state)

    def _part(self, component: str, reading: Reading) -> Part:
        state = self._state(component)
        figures = reading.figures
        number = self.voice.number
        failed = number(figures.failed)
        if figures.failed:
            failed = f"{failed} ({self.voice.share(figures.failed / max(1, figures.ended, figures.failed))})"
        return Part(
            name=self.names_of([component])[0],
            state=self.voice.words.states[state].word,
            tone=TONES[state],
            icon=ICONS[state],
            level=self.words[f"level_{reading.level}"],
            kinds=self.wording.evidence(reading.kinds),
            ended=number(figures.ended),
            failed=failed,
            calm=state is page.State.AVAILABLE and reading.level == 0,
            pending=number(figures.open_count),
            oldest=self.voice.duration(figures.oldest_ms // 1000),
            tests=self.fill("of", green=number(figures.green), all=number(figures.vantages))
            if figures.vantages
            else self.words["no_tests"],
            reports=number(figures.reports),
        )
