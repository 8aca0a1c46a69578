"""From values to words: instants, counts, shares and sentences as the reader's language writes them.

Times are local with their zone, and with the day when it is not today: a page may be read, photographed or passed
on hours later. A share is never rounded up to more than was measured. Words from outside lose what could hide or
turn the text around them and are bounded. Results carry non-breaking spaces for pages; `plain` takes them out.
"""

import re
import unicodedata
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from functools import cache
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_decimal

from hakika.domain.reasons import InvariantBroken
from hakika.health.page.catalogue import NBSP, Catalogue, Counted, bare, catalogue
from hakika.health.page.model import (
    Component,
    How,
    Language,
    News,
    OperatorWords,
    StatusModel,
    Template,
    Title,
)

NAME_CHARS_MAX = 60
TITLE_CHARS_MAX = 120
WORDS_CHARS_MAX = 600
PARAGRAPHS_MAX = 6
DEFAULT_ZONE = "Africa/Nairobi"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Told:
    """A sentence, or the operator's own paragraphs; `language` where it is not the page's."""

    paragraphs: tuple[str, ...]
    language: Language | None
    by_operator: bool

    @property
    def text(self) -> str:
        """All of it in one line."""
        return " ".join(self.paragraphs)

    @property
    def language_name(self) -> str:
        """Which language it is in, where that is not the page's: a reader may know no word of it."""
        return "" if self.language is None else catalogue(self.language).language.name


@dataclass(frozen=True, slots=True)
class Voice:
    """One language, speaking about one model in one zone."""

    language: Language
    zone: str
    model: StatusModel
    days_told: bool = False  # the day in any case: what is kept by its readers has no "today"

    @property
    def words(self) -> Catalogue:
        """The catalogue spoken from."""
        return catalogue(self.language)

    @property
    def operator(self) -> str:
        """The operator's name in one line."""
        return clean(self.model.operator)

    def time(self, instant_ms: int) -> str:
        """`14:02 EAT`, with the day when it is not today."""
        return self._timed(instant_ms, f"{self._local(instant_ms):%H:%M}")

    def exact(self, instant_ms: int, *, told_ms: int | None = None) -> str:
        """`14:02:10 EAT`, with the day when it is not today; nor is the day of `told_ms`, told before, told again."""
        local = self._local(instant_ms)
        text = f"{local:%H:%M:%S}"
        told = told_ms is not None and not self.days_told and local.date() == self._local(told_ms).date()
        if told:
            return f"{text}{NBSP}{zone_name(local)}"
        return self._timed(instant_ms, text)

    def span(self, from_ms: int, to_ms: int) -> str:
        """`01:00 to 03:30 EAT on Sunday 2 August`: a day that is both ends' is told once."""
        start, end = self._local(from_ms), self._local(to_ms)
        same = start.date() == end.date() and zone_name(start) == zone_name(end)
        begin = f"{start:%H:%M}" if same else self.time(from_ms)
        return fill(self.words.forms.from_to, start=begin, end=self.time(to_ms))

    def dated(self, instant_ms: int) -> str:
        """`14:02:10 EAT on Monday 27 July`: the day in any case, so that a picture of the page stays dated."""
        local = self._local(instant_ms)
        return self._with_day(local, f"{local:%H:%M:%S}{NBSP}{zone_name(local)}")

    def brief(self, instant_ms: int) -> str:
        """`14:02`, or `26 Jul 14:02` when it is not today: for tables that name their zone once."""
        local, today = self._local(instant_ms), self._local(self.model.as_of_ms)
        if local.date() == today.date():
            return f"{local:%H:%M}"
        return f"{self.short_day(local.date())}{NBSP}{local:%H:%M}"

    def day(self, day: date) -> str:
        """`Monday 27 July`, with the year when it is not this one."""
        this_year = self._local(self.model.as_of_ms).year == day.year
        return self._dated(day, "EEEE d MMMM" if this_year else "EEEE d MMMM y")

    def short_day(self, day: date) -> str:
        """`27 Jul`, with the year when it is not this one."""
        this_year = self._local(self.model.as_of_ms).year == day.year
        return self._dated(day, "d MMM" if this_year else "d MMM y")

    def today(self) -> date:
        """The day of the page in its zone."""
        return self._local(self.model.as_of_ms).date()

    def zone_told(self) -> str:
        """`EAT (UTC+3)`."""
        local = self._local(self.model.as_of_ms)
        name, offset = zone_name(local), _offset(local)
        return name if name == offset else f"{name} ({offset})"

    def number(self, value: int) -> str:
        """`1,840` in the language's form."""
        return _number(Decimal(value), "#,##0", self.language)

    def percent(self, value: Decimal) -> str:
        """A share in per cent with the decimals that it has; nothing and all need none."""
        decimals = 0 if value in (0, 100) else max(0, -int(value.as_tuple().exponent))
        pattern = "#,##0." + "0" * decimals if decimals else "#,##0"
        return fill(self.words.forms.percent, number=_number(value, pattern, self.language)).replace(" ", NBSP)

    def share(self, value: float) -> str:
        """A share of 1 as per cent: whole, one decimal below 10 %, rounded down."""
        exact = Decimal(str(value)) * 100
        step = Decimal("0.1") if exact < 10 else Decimal(1)
        return self.percent(exact.quantize(step, rounding=ROUND_FLOOR))

    def duration(self, seconds: int) -> str:
        """`45 s`, `12 min`, `2 h 5 min`, `3 d 4 h`."""
        forms = self.words.forms
        minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
        if seconds < 60:
            text = fill(forms.seconds, s=str(seconds))
        elif minutes < 60:
            text = fill(forms.minutes, m=str(minutes))
        elif days >= 2:
            text = fill(forms.days_hours, d=self.number(days), h=str(hours % 24))
        elif minutes % 60:
            text = fill(forms.hours_minutes, h=str(hours), m=str(minutes % 60))
        else:
            text = fill(forms.hours, h=str(hours))
        return text.replace(" ", NBSP)

    def counted(self, what: Counted, count: int) -> str:
        """A count with its noun in the form that the number takes."""
        form = self.words.counted[what][_locale(self.language).plural_form(count)]
        return fill(form, count=self.number(count), operator=self.operator)

    def component(self, component: Component) -> str:
        """What a component is called: a bank by its name only where that was agreed."""
        if component.direction is None:
            if component.name is None:
                raise InvariantBroken(f"component {component.id} has no name")
            return fill(self.words.names[component.name])
        bank = clean(component.public_name or "") or fill(self.words.forms.bank, label=clean(component.label))
        text = fill(self.words.corridors[component.direction], bank=bank)
        return text[:1].upper() + text[1:]

    def told(self, text: Template | OperatorWords) -> Told:
        """A template filled in, or the operator's words in the page's language or the nearest there is."""
        if isinstance(text, Template):
            return Told((self._filled(text),), None, False)
        written = {language: paragraphs(words) for language, words in text.by_language.items()}
        for language in (self.language, *Language):
            if written.get(language):
                return Told(written[language], None if language is self.language else language, True)
        return Told((), None, True)

    def title(self, text: Template | OperatorWords) -> Told:
        """The same as a heading: one line, shorter than a paragraph."""
        told = self.told(text)
        return replace(told, paragraphs=(clean(told.text, TITLE_CHARS_MAX),)) if told.by_operator else told

    def _filled(self, text: Template) -> str:
        values = {bare(name): self._value(name, value) for name, value in text.args.items()}
        words = self.words
        match text.key:
            case Title():
                sentence = words.titles[text.key]
            case News():
                sentence = words.news[text.key]
            case How():
                sentence = words.how[text.key]
        return fill(sentence, **values)

    def _value(self, name: str, value: int | str) -> str:
        if isinstance(value, str):
            return self.component(self.model.component(value)) if name == "component" else clean(value)
        if name.endswith("_ms"):
            return self.time(value)
        if name.endswith("_s"):
            return self.duration(value)
        return self.percent(Decimal(value)) if name.endswith("_percent") else self.number(value)

    def _timed(self, instant_ms: int, clock: str) -> str:
        local = self._local(instant_ms)
        text = f"{clock}{NBSP}{zone_name(local)}"
        today = local.date() == self.today() and not self.days_told
        return text if today else self._with_day(local, text)

    def _with_day(self, local: datetime, time: str) -> str:
        return fill(self.words.forms.time_with_day, time=time, day=self.day(local.date()))

    def _dated(self, day: date, form: str) -> str:
        text = format_date(day, form, locale=_locale(self.language))
        if self.language is Language.FR and day.day == 1:
            text = text.replace("1", "1er", 1)  # the first of a month is an ordinal in French, and only the first
        return text.replace(" ", NBSP)

    def _local(self, instant_ms: int) -> datetime:
        return local_time(instant_ms, self.zone)


def local_time(instant_ms: int, zone: str) -> datetime:
    """An instant on the clocks of a zone."""
    return (_EPOCH + timedelta(milliseconds=instant_ms)).astimezone(_zone(zone))


def iso(instant_ms: int) -> str:
    """`2026-11-23T17:02:00Z`, with milliseconds where there are any."""
    moment = _EPOCH + timedelta(milliseconds=instant_ms)
    return moment.isoformat(timespec="milliseconds" if instant_ms % 1000 else "seconds").replace("+00:00", "Z")


def zone_name(local: datetime) -> str:
    """`EAT`; zones that have only a number in the tables are told as `UTC-3`."""
    name = local.tzname() or ""
    return name if name[:1].isalpha() else _offset(local)


def clean(text: str, chars_max: int = NAME_CHARS_MAX) -> str:
    """Words from outside in one line, bounded, without characters that hide or turn the text around them."""
    kept = (" " if unicodedata.category(c)[0] == "Z" or c in "\t\r\n" else c for c in text)
    shown = "".join(c for c in kept if unicodedata.category(c)[0] != "C")
    line = " ".join(shown.split())
    return line if len(line) <= chars_max else line[: chars_max - 1].rstrip() + "…"


def paragraphs(text: str) -> tuple[str, ...]:
    """The operator's words by lines, each clean, bounded in all."""
    room = WORDS_CHARS_MAX
    found: list[str] = []
    for line in re.split(r"[\r\n]+", text):
        shown = clean(line, room) if room > 1 and len(found) < PARAGRAPHS_MAX else ""
        if shown:
            found.append(shown)
            room -= len(shown)
    return tuple(found)


def fill(template: str, **values: str) -> str:
    """A catalogue's sentence with its words filled in; values are never read as templates."""
    return template.format(**values)


def plain(text: str) -> str:
    """The same text for readers that know no non-breaking space."""
    return text.replace(NBSP, " ")


def parted(text: str, part: str) -> tuple[str, str, str]:
    """The text before, at and after a part that the page makes bold; all of it before when it is not there."""
    before, found, after = text.partition(part)
    return before, found, after


def check_zone(zone: str) -> None:
    """Refuse a zone that the machine does not know, before a page needs it."""
    try:
        _zone(zone)
    except (KeyError, ValueError, OSError) as error:
        raise InvariantBroken(f"status page: zone {zone!r} is not known") from error


def _offset(local: datetime) -> str:
    minutes = int((local.utcoffset() or timedelta()).total_seconds()) // 60
    hours, rest = divmod(abs(minutes), 60)
    sign = "-" if minutes < 0 else "+"
    return f"UTC{sign}{hours}{f':{rest:02}' if rest else ''}"


def _number(value: Decimal, pattern: str, language: Language) -> str:
    return format_decimal(value, format=pattern, locale=_locale(language)).replace("\u202f", NBSP)


@cache
def _locale(language: Language) -> Locale:
    return Locale.parse(language.value)


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
