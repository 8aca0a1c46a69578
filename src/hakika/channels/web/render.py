"""Pages and JSON about one transfer, or about why there is none to show; bytes from values, no I/O after start.

Every answer is dated, and a page that may change looks again by itself until it is final; the reader can stop
that. Whatever comes from outside is escaped by the templates. Budgets, kept by tests: a page 10 kB in one
request, its stylesheet 6 kB, no script.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from hakika.channels.web.catalogue import Language, Page, catalogue
from hakika.channels.web.picture import SHAPES, TONES, Tone, facts_of, steps_of
from hakika.channels.web.policy import stylesheet
from hakika.channels.web.view import TrackingView, holder_of, since_ms, status_of
from hakika.channels.web.words import (
    DEFAULT_ZONE,
    Said,
    Times,
    clean,
    fill,
    key_of,
    offered,
    plain,
    said,
)
from hakika.domain.money import decimal_text

LOOK_AGAIN_S = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def page(view: TrackingView, language: Language, *, looking_again: bool = True, report_url: str = "") -> bytes:
    """The tracking page of one transfer; `looking_again` False once the reader has stopped it.

    `report_url` is where its reader says that something does not work; the reference does not go there.
    """
    key = key_of(view)
    told = said(view, language)
    values = {
        "said": told,
        "rest": told.holder.removeprefix(told.amount).lstrip(),
        "tone": TONES[key].value,
        "shape": SHAPES[key],
        "steps": steps_of(view, language),
        "facts": facts_of(view, language),
        "look_again_s": LOOK_AGAIN_S if looking_again and not view.final else None,
        "may_change": not view.final,
        "report_link": _report_link(report_url, language, f"corridor:{view.bank_id}" if view.bank_id else ""),
    }
    return _rendered(language, values)


def unknown_page(language: Language, *, as_of_ms: int) -> bytes:
    """No transfer under this link: the same for a wrong reference and for an unknown one."""
    return _about_no_transfer(Page.UNKNOWN, language, as_of_ms, {}, None)


def unavailable_page(
    language: Language,
    since_ms: int,
    *,
    as_of_ms: int,
    look_again_s: int = LOOK_AGAIN_S,
    zone: str = DEFAULT_ZONE,
    report_url: str = "",
) -> bytes:
    """Our database does not answer: since when we do not know, and what holds nevertheless."""
    times = Times(language, zone, as_of_ms, seconds=False)
    values = {"since": times.text(since_ms)}
    link = _report_link(report_url, language, "channel:tracking")
    return _about_no_transfer(Page.UNAVAILABLE, language, as_of_ms, values, look_again_s, link)


def busy_page(language: Language, *, as_of_ms: int, retry_after_s: int) -> bytes:
    """Too many look-ups from this address; nothing is said about the transfer."""
    return _about_no_transfer(Page.BUSY, language, as_of_ms, {"seconds": str(retry_after_s)}, retry_after_s)


def as_json(view: TrackingView) -> bytes:
    """The same facts for machines; fields are documented in docs/reference/tracking.md and only ever added."""
    key = key_of(view)
    content = {
        "reference": view.reference,
        "status": status_of(view.stage).value,
        "stage": view.stage.value,
        "final": view.final,
        "holder": holder_of(view).value,
        "since": iso(since_ms(view)),
        "amount": decimal_text(view.amount_minor, view.currency),
        "currency": view.currency,
        "fee": None if view.fee_minor is None else decimal_text(view.fee_minor, view.currency),
        "debtor": {"name": clean(view.debtor_name_masked), "bank": clean(view.bank_name)},
        "creditor": {"name": clean(view.creditor_name_masked), "msisdn": clean(view.creditor_msisdn_masked)},
        "received": iso(view.received_ms),
        "sent": _iso_or_none(view.sent_ms),
        "ended": _iso_or_none(view.ended_ms),
        "return_confirmed": _iso_or_none(view.acknowledged_ms),
        "deadline": iso(view.deadline_ms),
        "as_of": iso(view.as_of_ms),
        "reason": view.reason.value if view.reason else None,
        "position_short": view.position_short,
        "sentence": key.value,
        "sentences": {language.value: _spoken(said(view, language)) for language in Language},
    }
    return json.dumps(content, ensure_ascii=False).encode()


def iso(instant_ms: int) -> str:
    """`2026-11-23T17:02:00.000Z`."""
    moment = _EPOCH + timedelta(milliseconds=instant_ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _iso_or_none(instant_ms: int | None) -> str | None:
    return None if instant_ms is None else iso(instant_ms)


def _spoken(told: Said) -> dict[str, str]:
    extra = " ".join((told.reason, *told.notes)).strip()
    parts = {"word": told.word, "holder": told.holder, "promise": told.promise, "advice": told.advice}
    return {name: plain(text) for name, text in (parts | {"more": extra}).items()}


def _about_no_transfer(
    about: Page,
    language: Language,
    as_of_ms: int,
    values: Mapping[str, str],
    look_again_s: int | None,
    report_link: str = "",
) -> bytes:
    words = catalogue(language)
    sentence = words.pages[about]
    times = Times(language, DEFAULT_ZONE, as_of_ms, seconds=False)
    told = Said(
        key=about.value,
        word=fill(sentence.word),
        amount="",
        holder=fill(sentence.holder, **values),
        promise=fill(sentence.promise, **values),
        deadline="",
        advice=fill(sentence.advice),
        reason="",
        notes=(),
        as_of=fill(words.notes.as_of, as_of=times.dated(as_of_ms)),
    )
    shown = {
        "said": told,
        "rest": told.holder,
        "tone": Tone.UNKNOWN.value,
        "shape": "doubt",
        "steps": [],
        "facts": [],
        "look_again_s": look_again_s,
        "may_change": False,
        "report_link": report_link,
    }
    return _rendered(language, shown)


def _report_link(report_url: str, language: Language, component: str) -> str:
    if not report_url:
        return ""
    fields = {"lang": language.value, "from": "tracking", **({"component": component} if component else {})}
    return f"{report_url}{'&' if '?' in report_url else '?'}{urlencode(fields)}"


def _rendered(language: Language, values: Mapping[str, object]) -> bytes:
    words = catalogue(language)
    reloads = fill(words.notes.reloads, seconds=str(LOOK_AGAIN_S))
    text = _template().render(
        values, language=language.value, words=words, reloads=reloads, languages=offered(), style=stylesheet()
    )
    return "".join(line.strip() + "\n" for line in text.splitlines() if line.strip()).encode()


@cache
def _template() -> Template:
    """Templates are read once; an unknown name in one of them is an error, never an empty string."""
    environment = Environment(
        loader=PackageLoader("hakika.channels.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    return environment.get_template("page.html")
