"""What is said: catalogues are whole and agree, amounts and times are the reader's, every reason has its words."""

import re
import string
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from page_samples import COMING_BACK, HELD, IN_DOUBT, SAMPLES, at

from hakika.channels.web.catalogue import Language, catalogue, chosen_language, prefers_json
from hakika.channels.web.picture import SHAPES, TONES, Mark, facts_of, steps_of
from hakika.channels.web.view import Holder, Stage, TrackingView, holder_of, since_ms, status_of
from hakika.channels.web.words import NBSP, amount_text, clean, key_of, plain, said, times_of
from hakika.domain.reasons import InvariantBroken, Reason
from hakika.domain.transfer import Status

BANNED = ("pending", "processing", "oops", "try again", "session", "invalid input", "!")


def leaves(value: Any, path: str = "") -> dict[str, str]:
    """Every text of a catalogue by its path."""
    if isinstance(value, dict):
        return {k: t for key, item in value.items() for k, t in leaves(item, f"{path}.{key}").items()}
    return {path: value} if isinstance(value, str) else {}


TEXTS = {language: leaves(msgspec.to_builtins(catalogue(language))) for language in Language}


@pytest.mark.parametrize("language", list(Language))
def test_catalogues_agree_on_their_keys_and_on_the_words_to_fill_in(language: Language) -> None:
    english = TEXTS[Language.EN]
    assert TEXTS[language].keys() == english.keys()
    for path, text in TEXTS[language].items():
        if path.startswith(".language"):
            continue
        names = {name for _, name, _, _ in string.Formatter().parse(text) if name}
        assert names == {name for _, name, _, _ in string.Formatter().parse(english[path]) if name}, path
        assert text.strip() == text and text, path
        for word in BANNED:
            assert word not in text.lower(), path


def test_drafts_are_marked() -> None:
    drafts = {language: catalogue(language).language.draft for language in Language}
    assert drafts == {Language.EN: False, Language.SW: True, Language.FR: True}


@pytest.mark.parametrize("language", list(Language))
def test_every_sentence_begins_with_the_amount_and_keeps_its_promise(language: Language) -> None:
    for key, sentence in catalogue(language).sentences.items():
        assert sentence.holder.startswith("{amount} "), key
        for text in (sentence.holder, sentence.promise, sentence.advice):
            assert text.endswith("."), key
    for name in ("held", "sending", "in_doubt", "past_deadline_in_doubt", "coming_back", "held_overdue"):
        assert "{deadline}" in TEXTS[language][f".sentences.{name}.promise"]


@pytest.mark.parametrize("language", list(Language))
def test_every_reason_is_said_in_every_language(language: Language) -> None:
    told = {reason: said(replace(COMING_BACK, reason=reason), language).reason for reason in Reason}
    assert all(text.endswith(".") and len(text) < 140 for text in told.values())
    assert len(set(told.values())) == len(Reason)


def test_a_sentence_is_as_the_brand_has_it() -> None:
    told = said(HELD, Language.EN)
    assert plain(f"{told.holder} {told.promise} {told.advice}") == (
        "KES 500 is held by Hakika since 14:02. It arrives or comes back by 18:02. Do not send again."
    )
    told = said(HELD, Language.SW)
    assert plain(f"{told.holder} {told.promise} {told.advice}") == (
        "KES 500 iko kwa Hakika tangu 14:02. Itafika au itarudishwa kabla ya 18:02. Usitume tena."
    )
    told = said(HELD, Language.FR)
    assert plain(f"{told.holder} {told.promise} {told.advice}") == (
        "500 KES sont chez Hakika depuis 14:02. Ils arrivent ou reviennent avant 18:02. Ne renvoyez pas."
    )


@pytest.mark.parametrize(
    ("minor", "currency", "en", "fr"),
    [
        (500_00, "KES", "KES 500", "500 KES"),
        (1, "KES", "KES 0.01", "0,01 KES"),
        (1_234_567_05, "KES", "KES 1,234,567.05", "1 234 567,05 KES"),
        (1_500, "UGX", "UGX 1,500", "1 500 UGX"),
        (10**15, "KES", "KES 10,000,000,000,000", "10 000 000 000 000 KES"),
    ],
)
def test_amounts_in_the_readers_form(minor: int, currency: str, en: str, fr: str) -> None:
    assert plain(amount_text(minor, currency, Language.EN)) == en
    assert plain(amount_text(minor, currency, Language.SW)) == en
    assert plain(amount_text(minor, currency, Language.FR)) == fr
    assert " " not in amount_text(minor, currency, Language.FR)


def test_times_are_local_and_carry_the_day_when_it_is_not_today() -> None:
    night = SAMPLES["held-over-night"]
    spoken = {language: plain(times_of(night, language).text(night.deadline_ms)) for language in Language}
    assert spoken == {
        Language.EN: "02:40 on Friday 28 July",
        Language.SW: "02:40, Ijumaa 28 Julai",
        Language.FR: "02:40 le vendredi 28 juillet",
    }
    assert times_of(night, Language.EN).text(night.received_ms) == "22:40"
    later = replace(night, as_of_ms=night.as_of_ms + 366 * 86_400_000)
    assert plain(times_of(later, Language.EN).text(later.received_ms)) == "22:40 on Thursday 27 July 2023"
    nigeria = replace(HELD, currency="NGN")
    assert times_of(nigeria, Language.EN).text(HELD.received_ms) == "12:02"
    euro = replace(HELD, currency="EUR")
    assert times_of(euro, Language.EN).text(HELD.received_ms) == "14:02"


def test_a_short_promise_is_told_with_its_seconds() -> None:
    short = replace(HELD, deadline_ms=HELD.received_ms + 60_000, as_of_ms=HELD.received_ms + 5_000)
    told = said(short, Language.EN)
    assert "since 14:02:03" in told.holder and "by 14:03:03" in told.promise


def test_the_key_follows_the_view() -> None:
    keys = {name: key_of(view).value for name, view in SAMPLES.items()}
    assert keys["held"] == keys["held-position-short"] == keys["nameless"] == "held"
    assert keys["held-overdue"] == "held_overdue"
    assert keys["coming-back-overdue"] == "coming_back_overdue"
    assert keys["returning-but-credited"] == "returning_but_credited"
    assert set(TONES) == set(SHAPES) == {key_of(view) for view in SAMPLES.values()}


HOLDERS: dict[str, tuple[Status, Holder]] = {
    "held": (Status.RECEIVED, Holder.HAKIKA),
    "sending": (Status.IN_FLIGHT, Holder.BEING_ESTABLISHED),
    "in-doubt": (Status.IN_FLIGHT, Holder.BEING_ESTABLISHED),
    "past-deadline-in-doubt": (Status.IN_FLIGHT, Holder.BEING_ESTABLISHED),
    "completed": (Status.COMPLETED, Holder.WALLET),
    "coming-back": (Status.RETURNED, Holder.HAKIKA),
    "returned": (Status.RETURNED, Holder.BANK),
    "returned-but-credited": (Status.RETURNED, Holder.BANK),
    "returning-but-credited": (Status.RETURNED, Holder.HAKIKA),
}


@pytest.mark.parametrize("name", sorted(HOLDERS))
def test_status_and_holder(name: str) -> None:
    view = SAMPLES[name]
    assert (status_of(view.stage), holder_of(view)) == HOLDERS[name]


def test_since_is_the_instant_of_the_stage() -> None:
    assert since_ms(HELD) == at(14, 2, 3)
    assert since_ms(IN_DOUBT) == at(14, 3)
    assert since_ms(SAMPLES["completed"]) == at(14, 6, 2)
    assert since_ms(SAMPLES["coming-back"]) == at(17, 58)
    assert since_ms(SAMPLES["returned"]) == at(17, 58, 4)


@pytest.mark.parametrize(
    ("stage", "field"),
    [(Stage.IN_DOUBT, "sent_ms"), (Stage.COMPLETED, "ended_ms"), (Stage.RETURNED, "acknowledged_ms")],
)
def test_a_view_without_the_instant_of_its_stage_is_a_bug(stage: Stage, field: str) -> None:
    missing: dict[str, Any] = {field: None}
    with pytest.raises(InvariantBroken):
        replace(HELD, stage=stage, **missing)


@pytest.mark.parametrize("language", list(Language))
def test_the_picture_has_three_steps_and_at_most_one_is_now(language: Language) -> None:
    for name, view in SAMPLES.items():
        steps = steps_of(view, language)
        nows = [step for step in steps if step.mark is Mark.NOW]
        assert len(steps) == 3
        assert len(nows) == (0 if view.final else 1), name
        assert all(step.label and step.mark_word for step in steps)


def test_the_details_name_both_parties_and_never_a_gap() -> None:
    def details(view: TrackingView) -> list[tuple[str, str, str]]:
        return [(fact.label, fact.name, plain(fact.value)) for fact in facts_of(view, Language.EN)]

    assert details(HELD)[:2] == [("From", "ACHIENG O.", "Savanna Bank"), ("To", "BARAKA M.", "0712 *** 678")]
    assert details(SAMPLES["nameless"])[0] == ("From", "Name not given", "B")


def test_names_from_outside_lose_what_hides_or_turns_text() -> None:
    assert clean("  A\u202eB\tC\u2028D\u00a0 E\x00\ud800 ") == "AB" + "C D E"
    assert clean("x" * 80) == "x" * 59 + "…"
    assert NBSP not in clean(f"a{NBSP}b")


@pytest.mark.parametrize(
    ("asked", "accepted", "expected"),
    [
        (None, None, "en"),
        ("sw", "fr", "sw"),
        ("xx", "fr-FR,fr;q=0.9", "fr"),
        (None, "de, sw;q=0.5, fr;q=0.7", "fr"),
        (None, "SW-KE", "sw"),
        (None, "sw;q=0, *", "en"),
        (None, "fr;q=inf", "en"),
        (None, "fr;q=nan, sw;q=0.1", "sw"),
        (None, ";;,,=;q=", "en"),
        ("EN", "sw", "sw"),
        (None, "de," * 5000 + "fr", "en"),
    ],
)
def test_the_language_asked_for(asked: str | None, accepted: str | None, expected: str) -> None:
    assert chosen_language(asked, accepted).value == expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, False),
        ("*/*", False),
        ("application/json", True),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("text/html;q=0.5, application/json", True),
        ("application/json;q=0", False),
    ],
)
def test_json_when_accept_prefers_it(accept: str | None, expected: bool) -> None:
    assert prefers_json(accept) is expected


def test_no_page_text_breaks_a_sign_from_its_word_in_french() -> None:
    for view in SAMPLES.values():
        told = said(view, Language.FR)
        for text in (told.holder, told.promise, told.reason, *told.notes):
            assert not re.search(r" [;:?]", text)
