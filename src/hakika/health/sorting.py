"""From a public post to the component that its author says does not work, or to none; pure, by keywords.

A post is cut into sentences and clauses. In each clause it is looked for trouble, for the opposite (works again, no
problem) and for whom it is about: us, one of our components, or somebody else, the nearest name before the trouble
deciding. Trouble of the past does not count, nor does a sentence of hearsay, news or plans; what a later clause takes
back does not count either. English, Kiswahili and French share one pass, because posts mix them. It errs on the side
of none: a report that is missed costs little, one too many is a rumour.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from hakika.health.sorting_words import DOUBTFUL, PAST, TROUBLE, USUAL_OTHERS, USUAL_WORDS, WELL

TEXT_MAX = 2_000
KINDS = ("corridor", "channel", "product", "role")  # the more exact first
_MARKS = 0xE000  # private use: one sign for a name; no post has any, they are taken out before
_CONJUNCTIONS = (
    "but|however|though|although|whereas|while|lakini|ila|wakati|bali|mais|pourtant|tandis que|alors que|cependant"
)
_SENTENCES = re.compile(r"[.!?;\n\u2026]+")
_CLAUSES = re.compile(rf"[:,()]+|(?<!\w)(?:{_CONJUNCTIONS})(?!\w)")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_HASHTAG = re.compile(r"#\w+")
_LINK = re.compile(r"https?://\S+|www\.\S+")
_APOSTROPHE = re.compile(r"(?<=[a-z])['\u2019`\u00b4](?=(?:t|s|re|ve|ll|d|m)\b)")
_NO_LETTER = re.compile(r"[^\w.!?;:\n,()\u2026]+|_")


def _any(lines: str) -> re.Pattern[str]:
    words = [line if line[0] == "^" else rf"(?<!\w){line}" for line in lines.split("\n") if line]
    return re.compile("|".join(rf"(?:{word}(?!\w))" for word in words))


_TROUBLE, _WELL, _PAST, _DOUBTFUL = _any(TROUBLE), _any(WELL), _any(PAST), _any(DOUBTFUL)


@dataclass(frozen=True)
class Vocabulary:
    """Whose platform it is: our names, our components in the words of people, and the names of others."""

    operators: tuple[str, ...]
    components: Mapping[str, tuple[str, ...]]
    others: tuple[str, ...] = USUAL_OTHERS

    @cached_property
    def names(self) -> tuple[tuple[re.Pattern[str], str], ...]:
        """Every name as it is looked for, with what it stands for: a component, `us` or `other`; longest first."""
        found = [(_plain(name), "us") for name in self.operators]
        for component, words in self.components.items():
            found += [(_plain(word), component) for word in (*words, *USUAL_WORDS.get(component, ()))]
        ours = {name for name, _ in found}
        found += [(_plain(name), "other") for name in self.others if _plain(name) not in ours]
        found = sorted({one for one in found if one[0]}, key=lambda one: (-len(one[0]), one))
        return tuple((re.compile(rf"(?<!\w){re.escape(name)}(?!\w)"), meaning) for name, meaning in found)

    @cached_property
    def general(self) -> str | None:
        """What a post is about that names us and no component: the first product."""
        return next((one for one in self.components if one.startswith("product:")), None)


@dataclass(frozen=True, slots=True)
class _Clause:
    """One clause: whom it names, by position, and what it says."""

    named: tuple[tuple[int, str], ...]
    trouble_at: int | None
    well: bool
    doubtful: bool

    def before(self) -> str:
        """Whose name stands nearest before the trouble; nobody's where there is none."""
        at = 10**6 if self.trouble_at is None else self.trouble_at
        return next((_side(name) for position, name in reversed(self.named) if position < at and _sided(name)), "")

    def about(self) -> str:
        """The nearest name before the trouble, else the first after it, else nobody; components count as us."""
        return self.before() or next((_side(name) for _, name in self.named if _sided(name)), "")

    def components(self) -> list[str]:
        """Components that it names."""
        return [name for _, name in self.named if name not in ("us", "other")]


def component_of(text: str, vocabulary: Vocabulary) -> str | None:
    """The component that the author of `text` says does not work now; None where the post says no such thing."""
    clauses = [clause for part in _SENTENCES.split(_plain(text[:TEXT_MAX])) for clause in _sentence(part, vocabulary)]
    sides = {_side(name) for clause in clauses for _, name in clause.named if _sided(name)}
    if "us" not in sides or any(clause.doubtful for clause in clauses if clause.trouble_at is not None):
        return None
    mentioned = [component for clause in clauses for component in clause.components()]
    troubled: list[str] = []
    subject, elsewhere = "", False
    for clause in clauses:
        subject = clause.about() or subject
        said = clause.components()
        if clause.well:
            troubled = [one for one in troubled if said and one not in said and one != vocabulary.general]
        elif clause.trouble_at is None:
            continue
        elif subject == "other":
            elsewhere = True  # and what does not work afterwards is its consequence, unless we are named first
        elif (subject == "us" or "other" not in sides) and (not elsewhere or clause.before() == "us"):
            troubled += said or mentioned or [one for one in (vocabulary.general,) if one]
    return min(troubled, key=_exactness) if troubled else None


def _exactness(component: str) -> int:
    kind = component.partition(":")[0]
    return KINDS.index(kind) if kind in KINDS else len(KINDS)


def _sided(name: str) -> bool:
    """A product's words (from my bank) say what, never whose."""
    return not name.startswith("product:")


def _side(name: str) -> str:
    return "other" if name == "other" else "us"


def _sentence(text: str, vocabulary: Vocabulary) -> list[_Clause]:
    parts = [_named(part, vocabulary) for part in _CLAUSES.split(text)]
    doubtful = any(_DOUBTFUL.search(spoken) for spoken, _ in parts)
    clauses = []
    for spoken, named in parts:
        trouble = _TROUBLE.search(spoken)
        unsure = doubtful or _PAST.search(spoken) is not None
        at = None if trouble is None else trouble.start()
        clauses.append(_Clause(named, at, _WELL.search(spoken) is not None, unsure))
    return clauses


def _named(part: str, vocabulary: Vocabulary) -> tuple[str, tuple[tuple[int, str], ...]]:
    """A clause with `app` in the place of each name (`hakika down` reads as `app down`), and the names by position."""
    rest = " ".join(part.split())
    marks: dict[str, str] = {}
    for number, (pattern, meaning) in enumerate(vocabulary.names):
        mark = chr(_MARKS + number)
        if pattern.search(rest):
            rest, marks[mark] = pattern.sub(mark, rest), meaning
    named: list[tuple[int, str]] = []
    spoken: list[str] = []
    at = 0
    for character in rest:
        if character in marks:
            named.append((at, marks[character]))
        spoken.append("app" if character in marks else character)
        at += len(spoken[-1])
    return "".join(spoken), tuple(named)


def _plain(text: str) -> str:
    """Lower case without accents, links and signs; hashtags in their words, English short forms in one."""
    linked = _LINK.sub(" ", unicodedata.normalize("NFKC", text))
    parted = _HASHTAG.sub(lambda found: _HUMP.sub(" ", found.group()), linked)
    bare = "".join(c for c in unicodedata.normalize("NFKD", parted.lower()) if not unicodedata.combining(c))
    return _NO_LETTER.sub(" ", _APOSTROPHE.sub("", bare)).strip()
