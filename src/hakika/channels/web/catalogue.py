"""The sentences of Hakika in each language, read once from `catalogue/*.toml` and checked to be whole.

A translator edits one file and no code. Loading refuses a language that lacks a sentence, a reason or a word,
or knows one too many, so a page can never meet a gap. `draft` marks a language that a native reader has not
seen yet. Which sentence fits a transfer is decided in `words.py`.
"""

import re
from enum import StrEnum
from functools import cache
from importlib.resources import files

import msgspec

from hakika.domain.reasons import InvariantBroken, Reason


class Language(StrEnum):
    """Languages served, in the order in which they are offered."""

    EN = "en"
    SW = "sw"
    FR = "fr"


class Key(StrEnum):
    """One sentence each, the same in every channel."""

    HELD = "held"
    HELD_OVERDUE = "held_overdue"
    SENDING = "sending"
    IN_DOUBT = "in_doubt"
    PAST_DEADLINE_IN_DOUBT = "past_deadline_in_doubt"
    COMPLETED = "completed"
    COMING_BACK = "coming_back"
    COMING_BACK_OVERDUE = "coming_back_overdue"
    RETURNED = "returned"
    RETURNED_BUT_CREDITED = "returned_but_credited"
    RETURNING_BUT_CREDITED = "returning_but_credited"


class Page(StrEnum):
    """Answers that are about no transfer."""

    UNKNOWN = "unknown"
    UNAVAILABLE = "unavailable"
    BUSY = "busy"


class _Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the catalogue: every field is there, nothing else is."""


class About(_Words, frozen=True):
    """The language itself; `amount` is how a currency code (¤¤) and a number stand together."""

    code: Language
    name: str
    draft: bool
    amount: str


class Sentence(_Words, frozen=True):
    """Who holds the money and since when; what happens by when; what to do; and one word for all of it."""

    word: str
    holder: str
    promise: str
    advice: str


class Steps(_Words, frozen=True):
    """Labels of the picture of the way."""

    title: str
    hakika_now: str
    hakika_done: str
    wallet_next: str
    wallet_sent: str
    wallet_never: str
    end_next: str
    end_completed: str
    end_coming_back: str
    end_returned: str
    done: str
    now: str
    next: str
    stopped: str
    by: str


class Facts(_Words, frozen=True, rename={"from_": "from"}):
    """Labels of the details."""

    title: str
    from_: str
    to: str
    amount: str
    fee: str
    credited: str
    promised: str
    reference: str
    nobody: str


class Notes(_Words, frozen=True):
    """What stands beside the sentence."""

    after_fee: str
    position_short: str
    late: str
    as_of: str
    reloads: str
    reload_off: str
    reload_on: str
    who_sees: str
    help: str
    languages: str
    time_with_day: str
    report: str


class Report(_Words, frozen=True):
    """The form in which people say that something does not work, and what they are told then."""

    title: str
    why: str
    which: str
    unsure: str
    corridor: str
    send: str
    status: str
    counted_word: str
    counted: str
    busy_word: str
    busy: str
    later_word: str
    later: str
    unknown_word: str
    unknown: str


class Catalogue(_Words, frozen=True):
    """Everything that is said in one language."""

    language: About
    sentences: dict[Key, Sentence]
    reasons: dict[Reason, str]
    steps: Steps
    facts: Facts
    notes: Notes
    pages: dict[Page, Sentence]
    report: Report


@cache
def catalogue(language: Language) -> Catalogue:
    """The catalogue of a language, read and checked at its first use."""
    name = f"{language.value}.toml"
    text = files(__package__).joinpath("catalogue", name).read_text(encoding="utf-8")
    try:
        words = msgspec.toml.decode(text, type=Catalogue)
    except msgspec.MsgspecError as error:
        raise InvariantBroken(f"catalogue {name}: {error}") from error
    missing = [
        *(f"sentences.{key}" for key in Key if key not in words.sentences),
        *(f"reasons.{reason}" for reason in Reason if reason not in words.reasons),
        *(f"pages.{page}" for page in Page if page not in words.pages),
    ]
    if missing or words.language.code is not language:
        raise InvariantBroken(f"catalogue {name}: missing {', '.join(missing) or 'its own code'}")
    return words


def chosen_language(asked: str | None, accept_language: str | None) -> Language:
    """`?lang=` when it names a language served, else the best of Accept-Language (RFC 9110, 12.5.4)."""
    for language in Language:
        if asked == language.value:
            return language
    best, best_weight = Language.EN, 0.0
    for weight, tag in _weighted(accept_language or ""):
        primary = tag.partition("-")[0].lower()
        found = next((language for language in Language if language.value == primary), None)
        if found is not None and weight > best_weight:
            best, best_weight = found, weight
    return best


ACCEPT_ITEMS_MAX = 20
_QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?", re.ASCII)  # RFC 9110, 12.4.2


def _weighted(header: str) -> list[tuple[float, str]]:
    """Items of an Accept-like header with their weights; unreadable weights count as 0."""
    items = []
    for part in header.split(",", ACCEPT_ITEMS_MAX)[:ACCEPT_ITEMS_MAX]:
        value, *parameters = (piece.strip() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, number = parameter.partition("=")
            if name.strip().lower() == "q":
                weight = _weight(number.strip())
        items.append((weight, value))
    return items


def _weight(text: str) -> float:
    return float(text) if _QUALITY.fullmatch(text) else 0.0


def prefers_json(accept: str | None) -> bool:
    """True when `Accept` names application/json before HTML; a bare */* gets the page."""
    weights = {value.lower(): weight for weight, value in _weighted(accept or "")}
    return weights.get("application/json", 0.0) > weights.get("text/html", 0.0)
