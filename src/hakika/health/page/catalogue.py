"""The page's sentences in each language, read once from `catalogue/*.toml` and checked to be whole.

A translator edits one file and no code. Loading refuses a language that lacks a sentence, a state or a word, or
knows one too many, or names an argument that its sentence does not have, so no page can meet a gap in the middle
of an outage. `draft` marks a language that a native reader has not seen yet.
"""

import re
import string
from collections.abc import Collection, Iterator
from enum import StrEnum
from functools import cache
from importlib.resources import files

import msgspec

from hakika.domain.reasons import InvariantBroken
from hakika.health.page.headline import Overall
from hakika.health.page.model import (
    Advice,
    Direction,
    How,
    Kind,
    Language,
    Name,
    News,
    Phase,
    Stage,
    State,
    Title,
    arguments_of,
)

NBSP = "\u00a0"
UNITS = ("_ms", "_s", "_percent")
_BEFORE_HIGH_SIGNS = re.compile(" (?=[;:?])")


class Counted(StrEnum):
    """What is counted in sentences; each has a form for every plural category of the language (CLDR)."""

    HELD = "held"
    ARRIVED = "arrived"
    RETURNED = "returned"
    LATE = "late"
    RELAPSES = "relapses"
    OLDER = "older"
    EARLIER = "earlier"
    DAYS = "days"
    MINUTES = "minutes"


# Plural categories that whole numbers take in the languages served; Babel decides which a number has.
PLURALS = {
    Language.EN: frozenset({"one", "other"}),
    Language.SW: frozenset({"one", "other"}),
    Language.FR: frozenset({"one", "many", "other"}),
}


class _Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the catalogue: every field is there, nothing else is."""


class About(_Words, frozen=True):
    """The language itself."""

    code: Language
    name: str
    draft: bool


class StateWords(_Words, frozen=True):
    """A state in a word, and since when."""

    word: str
    since: str


class HeadlineWords(_Words, frozen=True):
    """What the page says first: one word, and a sentence for when no incident is named."""

    word: str
    sentence: str


class Forms(_Words, frozen=True):
    """How things are written."""

    time_with_day: str
    percent: str
    seconds: str
    minutes: str
    hours: str
    hours_minutes: str
    days_hours: str
    bank: str
    from_to: str
    named: str


class Labels(_Words, frozen=True):
    """Headings, links and notes; each is named by what it stands for."""

    title: str
    languages: str
    written: str
    look_again: str
    since: str
    found: str
    closed: str
    merged: str
    promise: str
    promises_kept: str
    still_works: str
    more: str
    back: str
    parts: str
    bars: str
    bars_key: str
    worst_day: str
    uptime: str
    uptime_unknown: str
    delay: str
    figures: str
    ago: str
    today: str
    day: str
    state: str
    good: str
    measured: str
    down: str
    rule: str
    incidents_open: str
    incidents_other: str
    incidents_past: str
    incidents_none: str
    history: str
    concerns: str
    updates: str
    operator_wrote: str
    maintenance: str
    share_title: str
    share_told: str
    share_band: str
    time: str
    failed: str
    not_measured: str
    report: str
    report_why: str
    report_which: str
    report_other: str
    report_send: str
    follow: str
    calendar: str
    data: str
    zone: str


class Catalogue(_Words, frozen=True):
    """Everything that is said in one language."""

    language: About
    states: dict[State, StateWords]
    overall: dict[Overall, HeadlineWords]
    kinds: dict[Kind, str]
    names: dict[Name, str]
    corridors: dict[Direction, str]
    stages: dict[Stage, str]
    phases: dict[Phase, str]
    titles: dict[Title, str]
    news: dict[News, str]
    how: dict[How, str]
    advice: dict[Advice, str]
    counted: dict[Counted, dict[str, str]]
    forms: Forms
    labels: Labels


@cache
def catalogue(language: Language) -> Catalogue:
    """The catalogue of a language, read and checked at its first use."""
    name = f"{language.value}.toml"
    text = files(__package__).joinpath("catalogue", name).read_text(encoding="utf-8")
    words = read(text, name, language)
    if language is not Language.EN:
        _same_arguments(words, catalogue(Language.EN), name)
    return words


def read(text: str, name: str, language: Language) -> Catalogue:
    """A catalogue from its TOML, refused when it has a gap; spaces before high signs, as in French, do not break."""
    try:
        words = msgspec.toml.decode(_BEFORE_HIGH_SIGNS.sub(NBSP, text), type=Catalogue)
    except msgspec.MsgspecError as error:
        raise InvariantBroken(f"catalogue {name}: {error}") from error
    if words.language.code is not language:
        raise InvariantBroken(f"catalogue {name}: missing its own code")
    missing = [*_missing(words), *_missing_plurals(words, PLURALS[language])]
    if missing:
        raise InvariantBroken(f"catalogue {name}: missing {', '.join(missing)}")
    told: list[tuple[Title | News | How, str]] = [*words.titles.items(), *words.news.items(), *words.how.items()]
    for key, sentence in told:
        allowed = {bare(argument) for argument in arguments_of(key)}
        if not placeholders(sentence) <= allowed:
            raise InvariantBroken(f"catalogue {name}: {key} has {sorted(placeholders(sentence) - allowed)}")
    return words


def bare(argument: str) -> str:
    """An argument's name as sentences have it: without its unit."""
    for unit in UNITS:
        argument = argument.removesuffix(unit)
    return argument


def placeholders(sentence: str) -> frozenset[str]:
    """The words in braces."""
    return frozenset(field for _, field, _, _ in string.Formatter().parse(sentence) if field is not None)


def offered() -> list[tuple[Language, Catalogue]]:
    """Every language with its catalogue, in the order offered."""
    return [(language, catalogue(language)) for language in Language]


def _missing(words: Catalogue) -> Iterator[str]:
    tables: tuple[tuple[str, type[StrEnum], Collection[str]], ...] = (
        ("states", State, words.states),
        ("overall", Overall, words.overall),
        ("kinds", Kind, words.kinds),
        ("names", Name, words.names),
        ("corridors", Direction, words.corridors),
        ("stages", Stage, words.stages),
        ("phases", Phase, words.phases),
        ("titles", Title, words.titles),
        ("news", News, words.news),
        ("how", How, words.how),
        ("advice", Advice, words.advice),
        ("counted", Counted, words.counted),
    )
    for name, keys, table in tables:
        yield from (f"{name}.{key.value}" for key in keys if key not in table)


def _missing_plurals(words: Catalogue, needed: frozenset[str]) -> Iterator[str]:
    for key, forms in words.counted.items():
        if set(forms) != needed:
            yield f"counted.{key}: exactly {', '.join(sorted(needed))}"


def _same_arguments(words: Catalogue, english: Catalogue, name: str) -> None:
    """A translation may move the words in braces, and must not lose one."""
    for (place, here), (_, there) in zip(_sentences(words), _sentences(english), strict=True):
        if placeholders(here) != placeholders(there):
            raise InvariantBroken(f"catalogue {name}: {place} has other words in braces than English")


def _sentences(words: Catalogue) -> list[tuple[str, str]]:
    """Every sentence by its place, in an order that all languages share; of plurals the general form."""
    found: list[tuple[str, str]] = []

    def walk(place: str, value: object) -> None:
        if isinstance(value, str):
            found.append((place, value))
        elif isinstance(value, dict):
            for key in sorted(value):
                if not (place.startswith(".counted.") and key != "other"):
                    walk(f"{place}.{key}", value[key])

    walk("", msgspec.to_builtins(words))
    return found
