"""What the status page decides by itself: the headline, the two uptime rules, what a model may not say, and words."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from importlib.resources import files
from itertools import pairwise

import pytest
from status_samples import (
    AHEAD,
    COMPONENTS,
    CORE_OUT,
    CORRIDOR_OUT,
    DISPUTED,
    MERGED,
    MERGED_INCIDENT,
    NOTHING,
    ONE_OUT,
    OVERRUN,
    OVERRUN_INCIDENT,
    PAST,
    PLANNED,
    TODAY,
    UNKNOWN,
    WELL,
    at,
)

from hakika.domain.reasons import InvariantBroken
from hakika.health.page.catalogue import PLURALS, Counted, bare, catalogue, placeholders, read
from hakika.health.page.headline import Headline, Overall, headline_of, worst
from hakika.health.page.model import (
    Advice,
    Day,
    How,
    Kind,
    Language,
    Money,
    Name,
    News,
    OperatorWords,
    SharePoint,
    Stage,
    State,
    Template,
    Title,
    arguments_of,
)
from hakika.health.page.pictures import thinned
from hakika.health.page.uptime import Request, Span, added_up, down_spans, good_minute
from hakika.health.page.words import Voice, clean, fill, plain

SENTENCES: list[Title | News | How] = [*Title, *News, *How]
EN = Voice(Language.EN, "Africa/Nairobi", WELL)


def value_of(argument: str) -> int | str:
    return {"component": "ussd", "code": "*334#"}.get(argument, at(13, 5) if argument.endswith("_ms") else 77)


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("key", SENTENCES, ids=lambda key: f"{type(key).__name__}-{key}")
def test_every_sentence_is_there_in_every_language_and_says_its_arguments(
    key: Title | News | How, language: Language
) -> None:
    template = Template(key, {argument: value_of(argument) for argument in arguments_of(key)})
    voice = Voice(language, "Africa/Nairobi", WELL)
    text = plain(voice.told(template).text)
    assert text and "{" not in text
    told = {"component": voice.component(WELL.component("ussd")), "code": "*334#"}
    for argument in arguments_of(key):
        expected = told.get(argument, "13:05 EAT" if argument.endswith("_ms") else "77")
        assert expected in text if not argument.endswith("_s") else "1" in text, argument
    words = catalogue(language)
    tables = {Title: words.titles, News: words.news, How: words.how}
    sentence = tables[type(key)][key]  # type: ignore[index]
    assert placeholders(sentence) == {bare(argument) for argument in arguments_of(key)}


def test_a_catalogue_with_a_gap_is_refused() -> None:
    text = files("hakika.health.page").joinpath("catalogue", "sw.toml").read_text(encoding="utf-8")
    assert read(text, "sw.toml", Language.SW).language.draft
    wrong = {
        "missing titles.overrun": text.replace('overrun = "{component}: matengenezo hayajaisha"\n', ""),
        "Invalid enum value 'strange'": text.replace("[states.unknown]", "[states.strange]"),
        "Object missing required field `more`": text.replace('more = "Yote kuhusu hitilafu hii"\n', ""),
        "unknown field `moar`": text.replace('more = "Yote', 'moar = "Yote'),
        "exactly one, other": text.replace('[counted.late]\none = "', '[counted.late]\nfew = "'),
        "has \\['elsewhere'\\]": text.replace('located = "Hitilafu iko hapa: {component}."', 'located = "{elsewhere}"'),
        "missing its own code": text.replace('code = "sw"', 'code = "fr"'),
    }
    for message, spoilt in wrong.items():
        assert spoilt != text
        with pytest.raises(InvariantBroken, match=message):
            read(spoilt, "sw.toml", Language.SW)


def test_counts_take_the_form_of_their_number() -> None:
    voices = {language: Voice(language, "Africa/Nairobi", WELL) for language in Language}
    assert plain(voices[Language.EN].counted(Counted.HELD, 1)) == "1 transfer is held by DemoPesa."
    assert plain(voices[Language.FR].counted(Counted.DAYS, 0)) == "0 jour"
    assert plain(voices[Language.FR].counted(Counted.DAYS, 2_000_000)) == "2 000 000 de jours"
    for language, voice in voices.items():
        for what in Counted:
            for count in (0, 1, 2, 5, 11, 1840, 1_000_000):
                assert voice.counted(what, count)
        assert set(catalogue(language).counted[Counted.HELD]) == PLURALS[language]


@pytest.mark.parametrize(
    ("model", "overall", "incident"),
    [
        (WELL, Overall.ALL_WELL, None),
        (NOTHING, Overall.UNKNOWN, None),
        (UNKNOWN, Overall.UNKNOWN, None),
        (PLANNED, Overall.MAINTENANCE, None),
        (ONE_OUT, Overall.UNAVAILABLE, CORRIDOR_OUT.id),
        (DISPUTED, Overall.DISPUTED, CORRIDOR_OUT.id),
        (OVERRUN, Overall.RECOVERING, OVERRUN_INCIDENT.id),
        (replace(WELL, components=ONE_OUT.components), Overall.UNAVAILABLE, None),  # broken, no incident yet
        (replace(OVERRUN, components=CORE_OUT.components), Overall.UNAVAILABLE, None),  # worse than its incident covers
    ],
)
def test_the_worst_is_said_first(model: object, overall: Overall, incident: str | None) -> None:
    found: Headline = headline_of(model)  # type: ignore[arg-type]
    assert found.overall is overall
    assert (found.incident.id if found.incident else None) == incident


def test_every_stage_and_state_has_its_headline() -> None:
    for stage in Stage:
        for state in State:
            closed = at(14) if stage is Stage.RESOLVED else None
            into = PAST.id if stage is Stage.MERGED else None
            incident = replace(CORRIDOR_OUT, stage=stage, worst=state, closed_ms=closed, merged_into=into)
            found = headline_of(replace(WELL, incidents=(incident, PAST))).overall
            if stage in (Stage.RESOLVED, Stage.MERGED):
                assert found is Overall.ALL_WELL
            else:
                assert found not in (Overall.ALL_WELL, Overall.MAINTENANCE, Overall.UNKNOWN)
    assert worst([]) is State.UNKNOWN
    assert worst([State.AVAILABLE, State.UNKNOWN, State.MAINTENANCE]) is State.UNKNOWN


def test_a_minute_is_good_below_five_per_cent() -> None:
    assert good_minute(100, 4) is True
    assert good_minute(100, 5) is False
    assert good_minute(1, 0) is True
    assert good_minute(0, 0) is None


def test_uptime_counts_measured_minutes_alone_and_is_never_rounded_up() -> None:
    day = Day(TODAY, State.AVAILABLE, 1440, 1440, 0)
    none = Day(date(2026, 7, 1), State.UNKNOWN, 0, 0, 0)
    assert added_up([day, none]).percent == 100 and added_up([day, none]).days == 1
    assert added_up([none]).percent is None and added_up([]).percent is None
    nearly = [replace(day, measured=1440, good=1440)] * 89 + [replace(day, good=1439)]
    assert added_up(nearly).percent == Decimal("99.99")
    assert plain(EN.percent(Decimal("99.60"))) == "99.60 %" and plain(EN.percent(Decimal("100.00"))) == "100 %"
    assert plain(EN.share(0.9999)) == "99 %" and plain(EN.share(0.0199)) == "1.9 %"


def test_down_begins_at_the_first_of_five_unanswered_and_ends_at_an_answer() -> None:
    def seen(answers: str) -> list[Span]:
        requests = [Request(1000 * number, letter == "y") for number, letter in enumerate(answers)]
        return down_spans(requests, until_ms=99_000)

    assert seen("yyyy") == seen("nnnny") == seen("nnnnynnnn") == []
    assert seen("ynnnnny") == [Span(1000, 6000)]
    assert seen("nnnnn") == [Span(0, 99_000)]
    assert seen("nnnnnnnyynnnnnny") == [Span(0, 7000), Span(9000, 15_000)]


def test_what_contradicts_itself_is_no_model() -> None:
    corridor, channel = COMPONENTS[0], COMPONENTS[4]
    day = Day(TODAY, State.AVAILABLE, 10, 10, 0)
    broken: list[Callable[[], object]] = [
        lambda: replace(corridor, direction=None),
        lambda: replace(corridor, public_name=None, label=""),
        lambda: replace(corridor, delay_s=3),
        lambda: replace(corridor, history=(day, day)),
        lambda: replace(channel, name=None),
        lambda: replace(channel, kind=Kind.CORRIDOR),
        lambda: replace(channel, id="../x"),
        lambda: replace(channel, id=""),
        lambda: Day(TODAY, State.AVAILABLE, 10, 11, 0),
        lambda: Template(News.LOCATED, {}),
        lambda: Template(News.LOCATED, {"component": 3}),
        lambda: Template(News.BANKS_TOLD, {"count": "3"}),
        lambda: Template(News.BANKS_TOLD, {"count": 3, "more": 1}),
        lambda: OperatorWords({Language.EN: " "}),
        lambda: Money(held=1, promise_by_ms=None, advice=Advice.WAIT),
        lambda: Money(held=-1, promise_by_ms=1, advice=Advice.WAIT),
        lambda: replace(PAST, closed_ms=None),
        lambda: replace(CORRIDOR_OUT, closed_ms=at(14)),
        lambda: replace(PAST, started_ms=PAST.detected_ms + 1),
        lambda: replace(PAST, id="a/b"),
        lambda: replace(PAST, merged_into=CORRIDOR_OUT.id),
        lambda: replace(MERGED_INCIDENT, merged_into=None),
        lambda: replace(MERGED_INCIDENT, merged_into=MERGED_INCIDENT.id),
        lambda: replace(WELL, incidents=(PAST, MERGED_INCIDENT)),  # it leads nowhere
        lambda: replace(
            MERGED, incidents=(*MERGED.incidents, replace(MERGED_INCIDENT, id="x", merged_into=MERGED_INCIDENT.id))
        ),
        lambda: replace(AHEAD, ends_ms=AHEAD.starts_ms),
        lambda: replace(AHEAD, sequence=-1),
        lambda: replace(WELL, next_update_by_ms=WELL.as_of_ms),
        lambda: replace(WELL, incidents=(PAST, PAST)),
        lambda: replace(WELL, incidents=(PAST, replace(PAST, id=PAST.id.lower()))),  # one file on some systems
        lambda: replace(WELL, incidents=(replace(PAST, components=("gone",)),)),
        lambda: replace(WELL, components=WELL.components[:3]),
    ]
    for number, make in enumerate(broken):
        with pytest.raises(InvariantBroken):
            make()
            pytest.fail(f"number {number} was accepted")


def test_words_from_outside_lose_what_hides_or_turns_text() -> None:
    assert clean("  a\u202eb\u0000c\u2028d\t\ne  ") == "abc d e"
    assert len(clean("W" * 500)) == 60 and clean("W" * 500).endswith("…")
    assert fill("{name}", name="{other}") == "{other}"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (7500, "2 h 5 min"), (90_000, "25 h"),
     (172_800, "2 d 0 h"), (10_000_000, "115 d 17 h")],
)  # fmt: skip
def test_durations(seconds: int, text: str) -> None:
    assert plain(EN.duration(seconds)) == text


def test_thinning_keeps_every_peak_and_every_gap_stays_one() -> None:
    points = [SharePoint(number, 0.9 if number == 777 else 0.01) for number in range(1000)]
    few = thinned(points, 24)
    assert len(few) <= 24 and max(point.failed or 0 for point in few) == 0.9
    assert all(one.at_ms < other.at_ms for one, other in pairwise(few))
    assert thinned([SharePoint(1, None)], 24) == [SharePoint(1, None)] and thinned([], 24) == []


def test_names_are_one_thing_each() -> None:
    for language in Language:
        words = catalogue(language)
        names = [words.names[name] for name in Name]
        states = [words.states[state].word for state in State]
        assert len(set(names)) == len(names) and len(set(states)) == len(states)
