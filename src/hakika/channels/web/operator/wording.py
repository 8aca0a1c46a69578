"""What the operator's screens call things that the code knows by ids: parts, causes, kinds of evidence, refusals.

Ids stay in logs, in the table for machines and in addresses; people read names. A bank has its name here whether or
not it is public, a channel the name of the status page. English sentences of other modules (the regulator's report,
what a disk said) are looked up in the language's phrases; what has no phrase is shown as it was written.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from hakika.channels.web.operator.words import Words, phrases
from hakika.health.naming import Named
from hakika.health.page.words import Voice, clean

AFTER = re.compile(r"after ([0-9]{1,9}) s", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wording:
    """One language's names for one platform's parts."""

    words: Words
    voice: Voice
    names: Named

    def fill(self, key: str, **values: str) -> str:
        """A sentence of the screens."""
        return self.words[key].format(**values)

    def name(self, series: str) -> str:
        """`Demo Bank A`, `Tracking page`: the settings' name, else the page's, else the id."""
        name, public = self.names.operators_name(series), self.names.public.get(series)
        if name == series.partition(":")[2] and public is not None and public.name is not None:
            name = self.voice.words.names[public.name]
        return clean(name)

    def component(self, series: str) -> str:
        """`Demo Bank A (corridor)`, `Tracking page (channel)`."""
        key = f"kind_{series.partition(':')[0]}"
        return self.fill(key, name=self.name(series)) if key in self.words else self.name(series)

    def components(self, series: Sequence[str]) -> list[str]:
        """Each by its name."""
        return [self.component(one) for one in series]

    def cause(self, cause: str) -> str:
        """`one bank's corridor: Demo Bank A`; what an operator opened by hand names the parts that were ticked."""
        kind, _, id_ = cause.partition(":")
        what = self.words.get(f"cause_{kind}")
        if what is None:
            return cause
        of = [cause] if cause in self.names.all else [one for one in id_.split(",") if one]
        who = ", ".join(self.name(one if one in self.names.all else f"corridor:{one}") for one in of)
        return self._about(what, who) if who else what

    def evidence(self, kinds: Sequence[str]) -> str:
        """`technical failures (no answer), synthetic tests`, or that there is none."""
        reasons = [one.partition(":")[0] for one in kinds if ":" in one]  # one with its reason says more than without
        return ", ".join(self._kind(one) for one in kinds if one not in reasons) or self.words["none"]

    def refused(self, kind: str) -> str:
        """`Test result: not signed by a known vantage`."""
        what, _, why = kind.partition("_")
        subject, reason = self.words.get(f"refused_{what}"), self.words.get(f"why_{why}")
        return self._about(subject, reason) if subject and reason else kind

    def phrase(self, text: str) -> str:
        """An English phrase of another module in this language; one that nobody has translated as it is."""
        known = phrases(self.voice.language)
        if text in known:
            return known[text]
        after = AFTER.fullmatch(text)
        if after is not None:
            seconds = self.voice.number(int(after[1]))
            return self.fill("after", time=self.voice.words.forms.seconds.format(s=seconds))
        return text

    def _kind(self, kind: str) -> str:
        what, _, reason = kind.partition(":")
        word = self.words.get(f"evidence_{what}", what)
        if not reason:
            return word
        return f"{word} ({self.words.get(f'reason_{reason}', reason.replace('_', ' '))})"

    def _about(self, what: str, why: str) -> str:
        return self.fill("about", what=what, why=why)
