"""From a view to what is said about it: which sentence, with which amounts and times, in the reader's form.

One key a situation, the same in every channel; the words are in the catalogue. Amounts and times are written
as the reader's language writes them, in the local time of the transfer's country, with the day when it is not
today. Results carry non-breaking spaces for pages; `plain` takes them out for SMS, USSD and JSON.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import assert_never
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_decimal

from hakika.channels.web.catalogue import Catalogue, Key, Language, catalogue
from hakika.channels.web.view import Stage, TrackingView, since_ms
from hakika.domain.money import decimal_text, minor_digits

NBSP = "\u00a0"
NAME_CHARS_MAX = 60
SECONDS_BELOW_MS = 15 * 60_000  # a promise shorter than this is told with its seconds
DEFAULT_ZONE = "Africa/Nairobi"
ZONES = {
    "KES": "Africa/Nairobi",
    "UGX": "Africa/Kampala",
    "TZS": "Africa/Dar_es_Salaam",
    "RWF": "Africa/Kigali",
    "NGN": "Africa/Lagos",
    "INR": "Asia/Kolkata",
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BEFORE_HIGH_SIGNS = re.compile(" (?=[;:?])")  # French sets a space there that may not break


@dataclass(frozen=True, slots=True)
class Said:
    """A situation in words: one word, who holds it since when, what happens by when, what to do."""

    key: str
    word: str
    amount: str  # `holder` begins with it
    holder: str
    promise: str
    deadline: str  # as it stands in `promise`, if it does
    advice: str
    reason: str
    notes: tuple[str, ...]
    as_of: str

    def parted_promise(self) -> tuple[str, str, str]:
        """The promise before, at and after the deadline; all of it before when it names none."""
        return self.promise.partition(self.deadline) if self.deadline else (self.promise, "", "")


def key_of(view: TrackingView) -> Key:
    """The sentence that is true of a view."""
    match view.stage:
        case Stage.HELD:
            return Key.HELD_OVERDUE if view.as_of_ms > view.deadline_ms else Key.HELD
        case Stage.SENDING:
            return Key.SENDING
        case Stage.IN_DOUBT:
            return Key.IN_DOUBT
        case Stage.PAST_DEADLINE_IN_DOUBT:
            return Key.PAST_DEADLINE_IN_DOUBT
        case Stage.COMPLETED:
            return Key.COMPLETED
        case Stage.COMING_BACK:
            return Key.COMING_BACK_OVERDUE if view.as_of_ms > view.deadline_ms else Key.COMING_BACK
        case Stage.RETURNED:
            return Key.RETURNED
        case Stage.RETURNED_BUT_CREDITED:
            confirmed = view.acknowledged_ms is not None
            return Key.RETURNED_BUT_CREDITED if confirmed else Key.RETURNING_BUT_CREDITED
        case _ as never:
            assert_never(never)


def said(view: TrackingView, language: Language) -> Said:
    """What is said about a transfer in one language."""
    words = catalogue(language)
    times = times_of(view, language)
    key = key_of(view)
    values = {
        "amount": amount_text(view.amount_minor, view.currency, language),
        "since": times.text(since_ms(view)),
        "deadline": times.text(view.deadline_ms),
        "msisdn": shown_msisdn(view),
        "bank": clean(view.bank_name),
    }
    sentence = words.sentences[key]
    both = view.stage is Stage.RETURNED_BUT_CREDITED  # why it went back would contradict that it arrived
    notes = []
    if view.stage is Stage.HELD and view.position_short and key is Key.HELD:
        notes.append(fill(words.notes.position_short, **values))
    if view.stage is Stage.COMPLETED and view.fee_minor:
        fee = amount_text(view.fee_minor, view.currency, language)
        credited = amount_text(view.amount_minor - view.fee_minor, view.currency, language)
        notes.append(fill(words.notes.after_fee, fee=fee, credited=credited))
    if _late(view):
        notes.append(fill(words.notes.late, **values))
    return Said(
        key=key.value,
        word=fill(sentence.word),
        amount=values["amount"],
        holder=fill(sentence.holder, **values),
        promise=fill(sentence.promise, **values),
        deadline=values["deadline"],
        advice=fill(sentence.advice),
        reason=fill(words.reasons[view.reason], **values) if view.reason and not both else "",
        notes=tuple(notes),
        as_of=fill(words.notes.as_of, as_of=times.dated(view.as_of_ms)),
    )


def _late(view: TrackingView) -> bool:
    """Final, but after the promise: said, not hidden."""
    if view.stage is Stage.COMPLETED:
        return view.ended_ms is not None and view.ended_ms > view.deadline_ms
    return (
        view.stage is Stage.RETURNED and view.acknowledged_ms is not None and (view.acknowledged_ms > view.deadline_ms)
    )


@dataclass(frozen=True, slots=True)
class Times:
    """Instants as a reader in `zone` writes them on the day of `as_of_ms`."""

    language: Language
    zone: str
    as_of_ms: int
    seconds: bool

    def text(self, instant_ms: int) -> str:
        """`14:02`, with the day when it is not today."""
        local, today = self._local(instant_ms), self._local(self.as_of_ms)
        if local.date() == today.date():
            return self._clock(local)
        return self._with_day(local, today)

    def dated(self, instant_ms: int) -> str:
        """`14:02:10` with the day in any case: a picture of the page stays dated."""
        local = self._local(instant_ms)
        text = f"{local:%H:%M:%S}"
        return self._with_day(local, self._local(self.as_of_ms), text)

    def _clock(self, local: datetime) -> str:
        return f"{local:%H:%M:%S}" if self.seconds else f"{local:%H:%M}"

    def _with_day(self, local: datetime, today: datetime, time: str = "") -> str:
        pattern = "EEEE d MMMM" if local.year == today.year else "EEEE d MMMM y"
        day = format_date(local.date(), pattern, locale=_locale(self.language))
        bound = day.rpartition(" ")[0].replace(" ", NBSP) + NBSP + day.rpartition(" ")[2]
        return fill(catalogue(self.language).notes.time_with_day, time=time or self._clock(local), day=bound)

    def _local(self, instant_ms: int) -> datetime:
        return (_EPOCH + timedelta(milliseconds=instant_ms)).astimezone(_zone(self.zone))


def times_of(view: TrackingView, language: Language) -> Times:
    """How instants of this transfer are written."""
    zone = ZONES.get(view.currency, DEFAULT_ZONE)
    return Times(language, zone, view.as_of_ms, view.deadline_ms - view.received_ms < SECONDS_BELOW_MS)


def amount_text(amount_minor: int, currency: str, language: Language) -> str:
    """`KES 1,500` or `KES 1,500.50`: decimals only where there are any."""
    digits = minor_digits(currency)
    value = Decimal(decimal_text(amount_minor, currency))
    pattern = "#,##0." + "0" * digits if value != value.to_integral_value() else "#,##0"
    number = format_decimal(value, format=pattern, locale=_locale(language)).replace("\u202f", NBSP)
    form = catalogue(language).language.amount
    return form.replace("¤¤", currency).replace("{number}", number).replace(" ", NBSP)


def shown_msisdn(view: TrackingView) -> str:
    """The masked number, in one piece."""
    return clean(view.creditor_msisdn_masked).replace(" ", NBSP)


def clean(text: str) -> str:
    """A name from outside in one line, bounded, without characters that hide or turn the text around it."""
    kept = (" " if unicodedata.category(c)[0] == "Z" else c for c in text)
    shown = "".join(c for c in kept if unicodedata.category(c)[0] != "C")
    line = " ".join(shown.split())
    return line if len(line) <= NAME_CHARS_MAX else line[: NAME_CHARS_MAX - 1].rstrip() + "…"


def fill(template: str, **values: str) -> str:
    """A catalogue's sentence with its words filled in; values are never read as templates."""
    return _BEFORE_HIGH_SIGNS.sub(NBSP, template).format(**values)


def plain(text: str) -> str:
    """The same text for channels that know no non-breaking space."""
    return text.replace(NBSP, " ")


def offered() -> list[tuple[Language, Catalogue]]:
    """Every language with its catalogue, in the order offered."""
    return [(language, catalogue(language)) for language in Language]


@cache
def _locale(language: Language) -> Locale:
    return Locale.parse(language.value)


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
