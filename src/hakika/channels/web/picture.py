"""The way of the money as three steps, each a shape, a word and a colour; and the details beside it.

Three steps are enough for a worried reader: it reached us, it went to the wallet, it ended. What is drawn says
the same as the sentence, from the same view, and never more.
"""

from dataclasses import dataclass
from enum import StrEnum

from hakika.channels.web.catalogue import Key, Language, catalogue
from hakika.channels.web.view import Stage, TrackingView, since_ms
from hakika.channels.web.words import amount_text, clean, fill, key_of, shown_msisdn, times_of


class Tone(StrEnum):
    """The colour of a state; its name is the class in the stylesheet."""

    HELD = "held"
    UNKNOWN = "unknown"
    COMPLETED = "completed"
    RETURNED = "returned"
    BROKEN = "broken"


TONES = {
    Key.HELD: Tone.HELD,
    Key.HELD_OVERDUE: Tone.BROKEN,
    Key.SENDING: Tone.UNKNOWN,
    Key.IN_DOUBT: Tone.UNKNOWN,
    Key.PAST_DEADLINE_IN_DOUBT: Tone.BROKEN,
    Key.COMPLETED: Tone.COMPLETED,
    Key.COMING_BACK: Tone.RETURNED,
    Key.COMING_BACK_OVERDUE: Tone.BROKEN,
    Key.RETURNED: Tone.RETURNED,
    Key.RETURNED_BUT_CREDITED: Tone.RETURNED,
    Key.RETURNING_BUT_CREDITED: Tone.RETURNED,
}

# The shape of a state, a macro in icons.html; no two tones share one.
SHAPES = {
    Key.HELD: "held",
    Key.HELD_OVERDUE: "late",
    Key.SENDING: "sending",
    Key.IN_DOUBT: "doubt",
    Key.PAST_DEADLINE_IN_DOUBT: "late",
    Key.COMPLETED: "arrived",
    Key.COMING_BACK: "returning",
    Key.COMING_BACK_OVERDUE: "late",
    Key.RETURNED: "returned",
    Key.RETURNED_BUT_CREDITED: "both",
    Key.RETURNING_BUT_CREDITED: "both",
}


class Mark(StrEnum):
    """How far a step is."""

    DONE = "done"
    NOW = "now"
    NEXT = "next"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its label, when, how far it is, and the shape drawn."""

    label: str
    when: str
    mark: Mark
    mark_word: str
    shape: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the details; `name` is who, `value` is where or how much."""

    label: str
    name: str
    value: str


def steps_of(view: TrackingView, language: Language) -> list[Step]:
    """Three steps, at most one of them `now`."""
    words = catalogue(language).steps
    times = times_of(view, language)
    by = fill(words.by, deadline=times.text(view.deadline_ms))
    received = times.text(view.received_ms)
    now = times.text(since_ms(view))
    key = key_of(view)
    shape = SHAPES[key]

    def step(label: str, when: str, mark: Mark, drawn: str = "") -> Step:
        drawn = drawn or {Mark.DONE: "done", Mark.STOPPED: "stopped"}.get(mark, "next")
        return Step(label, when, mark, getattr(words, mark.value), drawn)

    reached = step(words.hakika_done, received, Mark.DONE)
    sent = step(words.wallet_sent, times.text(view.sent_ms) if view.sent_ms else "", Mark.DONE)
    never = step(words.wallet_never, "", Mark.STOPPED)
    if key is Key.HELD:
        here = step(words.hakika_now, received, Mark.NOW, shape)
        return [here, step(words.wallet_next, "", Mark.NEXT), step(words.end_next, by, Mark.NEXT)]
    if key is Key.HELD_OVERDUE:
        here = step(words.hakika_now, received, Mark.NOW, shape)
        return [here, never, step(words.end_coming_back, "", Mark.NEXT)]
    if view.stage is Stage.COMPLETED:
        return [reached, sent, step(words.end_completed, now, Mark.DONE, shape)]
    if view.stage is Stage.COMING_BACK:
        return [reached, never, step(words.end_coming_back, by, Mark.NOW, shape)]
    if view.stage is Stage.RETURNED:
        return [reached, never, step(words.end_returned, now, Mark.DONE, shape)]
    if view.stage is Stage.RETURNED_BUT_CREDITED:
        both = fill(catalogue(language).sentences[key].word)
        return [reached, sent, step(both, now, Mark.DONE if view.final else Mark.NOW, shape)]
    return [reached, step(words.wallet_sent, now, Mark.NOW, shape), step(words.end_next, by, Mark.NEXT)]


def facts_of(view: TrackingView, language: Language) -> list[Fact]:
    """Both parties, masked, the amounts, the promise and the reference."""
    words = catalogue(language).facts
    debtor = clean(view.debtor_name_masked) or words.nobody
    creditor = clean(view.creditor_name_masked) or words.nobody
    facts = [
        Fact(words.from_, debtor, clean(view.bank_name)),
        Fact(words.to, creditor, shown_msisdn(view)),
        Fact(words.amount, "", amount_text(view.amount_minor, view.currency, language)),
    ]
    if view.stage is Stage.COMPLETED and view.fee_minor:
        credited = view.amount_minor - view.fee_minor
        facts.append(Fact(words.fee, "", amount_text(view.fee_minor, view.currency, language)))
        facts.append(Fact(words.credited, "", amount_text(credited, view.currency, language)))
    facts.append(Fact(words.promised, "", times_of(view, language).text(view.deadline_ms)))
    facts.append(Fact(words.reference, "", view.reference))
    return facts
