"""The words of the operator's screens in each language, read once from `catalogue/*.toml` and checked to be whole.

A language that lacks a word, knows one too many or has other words in braces than English is refused when it is first
used. `draft` marks a language that a native reader has not seen yet.
"""

import string
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from hakika.domain.reasons import InvariantBroken
from hakika.health.page.model import Language

Words = Mapping[str, str]


@cache
def words(language: Language) -> Words:
    """All words of a language."""
    found: dict[str, str] = _table(language, "words")
    if language is not Language.EN:
        check(found, words(Language.EN), language.value)
    return found


@cache
def phrases(language: Language) -> Words:
    """English phrases of other modules and what they are in this language; English has none."""
    return _table(language, "phrases")


def _table(language: Language, name: str) -> dict[str, str]:
    text = files(__package__).joinpath("catalogue", f"{language.value}.toml").read_text(encoding="utf-8")
    found: dict[str, str] = tomllib.loads(text).get(name, {})
    return found


def check(found: Words, english: Words, name: str) -> None:
    """Refuse a translation with a gap."""
    if wrong := set(found) ^ set(english):
        raise InvariantBroken(f"operator's words {name}: {', '.join(sorted(wrong))}")
    for key, text in english.items():
        if _braces(text) != _braces(found[key]):
            raise InvariantBroken(f"operator's words {name}: {key} has other words in braces than English")


def _braces(text: str) -> frozenset[str]:
    return frozenset(field for _, field, _, _ in string.Formatter().parse(text) if field is not None)
