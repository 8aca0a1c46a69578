"""The form in which people say that something does not work, and the answer to it; bytes from values, no I/O.

One request, no script, under 6 kB: it must open on the day on which little else does. It offers what has a public
name and nothing else, so a bank that has not agreed to be named is not named here. Nothing that a person writes is
shown again: of what arrives only a known component comes back.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from hakika.channels.web.catalogue import Language, Report, catalogue
from hakika.channels.web.words import fill, offered


class Answer(StrEnum):
    """What a person is told about a report."""

    COUNTED = "counted"  # also when it had counted before: nobody learns who reported
    BUSY = "busy"
    LATER = "later"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Choice:
    """Something that may not work; `corridor` says that `name` is a bank's."""

    component: str
    name: str
    corridor: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """For whom the page is: in which language, about which component, whether they came from a tracking page."""

    language: Language
    component: str = ""
    tracking: bool = False


@dataclass(frozen=True, slots=True)
class _Told:
    word: str
    text: str
    tone: str


class ReportPage:
    """The page of one operator."""

    def __init__(self, operator: str, status_url: str, choices: Sequence[Choice]) -> None:
        self._operator = operator
        self._status_url = status_url
        self._choices = tuple(choices)

    def form(self, asked: Asked) -> bytes:
        """The form."""
        return self._rendered(asked, None)

    def answer(self, asked: Asked, answer: Answer) -> bytes:
        """What became of a report; the form stands below it where there is something to do."""
        words = catalogue(asked.language).report
        word, text = _sentences(words, answer)
        return self._rendered(asked, _Told(word, text, "done" if answer is Answer.COUNTED else "wait"), answer)

    def _rendered(self, asked: Asked, told: _Told | None, answer: Answer | None = None) -> bytes:
        words = catalogue(asked.language)
        choices = [
            (one.component, fill(words.report.corridor, bank=one.name) if one.corridor else one.name)
            for one in self._choices
        ]
        text = _template().render(
            language=asked.language.value,
            words=words,
            languages=offered(),
            operator=self._operator,
            status_url=self._status_url,
            choices=choices,
            chosen=asked.component if any(asked.component == value for value, _ in choices) else "",
            tracking=asked.tracking,
            told=told,
            asking=answer in (None, Answer.LATER, Answer.UNKNOWN),
            style=_style(),
        )
        return "".join(line.strip() + "\n" for line in text.splitlines() if line.strip()).encode()


def report_headers(language: Language) -> tuple[tuple[str, str], ...]:
    """Nothing runs, nothing is fetched, nobody frames it; the form goes back to where it came from."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    return (
        ("content-security-policy", policy),
        ("content-language", language.value),
        ("vary", "accept-language"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    )


def _sentences(words: Report, answer: Answer) -> tuple[str, str]:
    match answer:
        case Answer.COUNTED:
            return fill(words.counted_word), fill(words.counted)
        case Answer.BUSY:
            return fill(words.busy_word), fill(words.busy)
        case Answer.LATER:
            return fill(words.later_word), fill(words.later)
        case Answer.UNKNOWN:
            return fill(words.unknown_word), fill(words.unknown)


@cache
def _style() -> str:
    text = files(__package__).joinpath("templates", "report.css").read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return "".join(line for line in lines if line and not line.startswith("/*"))


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("hakika.channels.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    return environment.get_template("report.html")
