"""The status page as bytes: every situation in every language says what is true, keeps its budgets and its policy."""

import base64
import hashlib
import re
from dataclasses import replace
from datetime import date, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from lxml import html as lxml_html
from status_samples import (
    AHEAD,
    CORE_OUT,
    CORRIDOR_OUT,
    MERGED,
    MERGED_INCIDENT,
    NOTHING,
    ONE_OUT,
    OVERRUN,
    PAST,
    SETTINGS,
    SITUATIONS,
    TODAY,
    UNKNOWN,
    WELL,
    at,
    full,
    hostile,
)
from test_tracking_page import PAYLOADS

from hakika.domain.reasons import InvariantBroken
from hakika.health.page.catalogue import catalogue
from hakika.health.page.headline import Overall, headline_of
from hakika.health.page.model import (
    Advice,
    Language,
    Money,
    News,
    OperatorWords,
    Phase,
    Stage,
    State,
    StatusModel,
    Update,
)
from hakika.health.page.pictures import ninety_days
from hakika.health.page.place import PageSettings, incident_file
from hakika.health.page.render import content_security_policy, pages, stylesheet
from hakika.health.page.site import site
from hakika.health.page.words import NAME_CHARS_MAX, Voice, plain

PAGE_BYTES_MAX = 30_000
STYLE_BYTES_MAX = 6_000
BANNED = ("pending", "processing", "oops", "try again", "session", "invalid input", "!")
FULL = full()
BUILT = {name: pages(model, SETTINGS) for name, model in {**SITUATIONS, "nothing": NOTHING, "full": FULL}.items()}
EVERY = [(name, path) for name, built in BUILT.items() for path in built]
DO_NOT_SEND = {Language.EN: "Do not send again", Language.SW: "Usitume tena", Language.FR: "Ne renvoyez pas"}


def parsed(body: bytes) -> Any:
    """The page as a browser's tree."""
    return lxml_html.document_fromstring(body)


def shown(body: bytes) -> str:
    """What a reader sees, in one line with ordinary spaces."""
    tree = parsed(body)
    for element in tree.xpath("//style | //svg"):
        element.drop_tree()
    return plain(" ".join(tree.text_content().split()))


def overview(model: StatusModel, language: Language = Language.EN) -> str:
    return shown(pages(model, SETTINGS)[f"{language.value}/index.html"])


@pytest.mark.parametrize(("name", "path"), EVERY, ids=[f"{name}-{path}" for name, path in EVERY])
def test_budgets_structure_and_words(name: str, path: str) -> None:
    body = BUILT[name][path]
    assert len(body) <= PAGE_BYTES_MAX
    tree = parsed(body)
    folder = path.partition("/")[0] if "/" in path else "en"
    assert tree.get("lang") == folder
    assert len(tree.xpath("//h1")) == 1
    assert not tree.xpath(
        "//script | //img | //iframe | //object | //*[@style] | //@*[starts-with(name(), 'on')] | //@src"
    )
    ids = tree.xpath("//@id")
    assert len(ids) == len(set(ids))
    for names in tree.xpath("//svg[@role='img']/@aria-labelledby"):
        title, told = (tree.get_element_by_id(one) for one in names.split())
        assert title.text and told.text
    assert {use.partition("#")[2] for use in tree.xpath("//use/@href")} <= set(ids)
    text = shown(body).lower()
    for word in (*BANNED, "{", "}", "none", "undefined"):
        assert word not in text
    assert re.search(r"\b\d\d:\d\d:\d\d eat\b", text)


VOID = {"meta", "link", "input", "br", "path", "circle", "rect", "use"}
SELF_CLOSED = {"path", "circle", "rect", "use"}


class Balance(HTMLParser):
    """Complains about an element that is not closed where it should be, and about an attribute given twice."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        assert tag not in SELF_CLOSED, f"{tag} is not closed"
        if tag == "p":
            assert "p" not in self.open, "a paragraph in a paragraph"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in SELF_CLOSED, tag

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.getpos()


def test_html_is_well_formed() -> None:
    for built in BUILT.values():
        for path, body in built.items():
            balance = Balance()
            balance.feed(body.decode())
            balance.close()
            assert balance.open == [], path
            assert body.startswith(b"<!doctype html>\n<html lang=")


@pytest.mark.parametrize("name", list(BUILT))
def test_every_link_leads_to_a_file_of_the_same_publication(name: str) -> None:
    model = {**SITUATIONS, "nothing": NOTHING, "full": FULL}[name]
    files = site(model, SETTINGS)
    assert set(BUILT[name]) < set(files)
    for path, body in BUILT[name].items():
        for link in parsed(body).xpath("//a/@href | //link[@rel='alternate']/@href"):
            there: list[str] = path.split("/")[:-1]
            for step in link.partition("#")[0].split("/"):
                there = there[:-1] if step == ".." else [*there, step]
            assert "/".join(there) in files, (path, link)


def test_the_page_at_the_top_is_the_english_one_with_other_links() -> None:
    for built in BUILT.values():
        top, english = parsed(built["index.html"]), parsed(built["en/index.html"])
        for tree in (top, english):
            for element in tree.iter():
                element.attrib.pop("href", None)
        assert lxml_html.tostring(top) == lxml_html.tostring(english)


def test_the_style_is_small_and_the_policy_allows_it_alone() -> None:
    style = stylesheet()
    assert len(style.encode()) <= STYLE_BYTES_MAX
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = content_security_policy(SETTINGS)
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; "
        "form-action https://report.example:8443"
    )
    assert "form-action 'none'" in content_security_policy(replace(SETTINGS, report_url=None))
    tree = parsed(BUILT["well"]["fr/index.html"])
    assert tree.xpath("//meta[@http-equiv='Content-Security-Policy']/@content") == [policy]
    assert tree.xpath("//style/text()") == [style]


def test_the_style_is_readable_by_a_browser_of_2016() -> None:
    style = stylesheet()
    for modern in ("display:grid", "clamp(", "min(", "max(", ":is(", ":where(", "aspect-ratio", "inset:", "gap:"):
        assert modern not in style
    for rule in re.findall(r"\{([^{}]*)\}", style):
        declared = [item.partition(":")[::2] for item in rule.split(";") if item]
        for index, (name, value) in enumerate(declared):
            if "var(" in value:
                whole = name.partition("-")[0]  # border-color falls back to the colour in border
                before = [text for other, text in declared[:index] if other.partition("-")[0] == whole]
                assert any("#" in text for text in before), f"{name}: {value} has no fallback"


def test_the_answer_comes_in_order_and_says_what_to_do() -> None:
    for language in Language:
        for model in (ONE_OUT, CORE_OUT):
            text = overview(model, language)
            incident = next(one for one in model.incidents if one.open)
            promise = "17:21 EAT" if incident is CORRIDOR_OUT else "02:00 EAT"
            held = "1840" if incident is CORRIDOR_OUT else "38211"
            squeezed = text.replace(",", "").replace(" ", "")
            begun = "13:21EAT" if incident is CORRIDOR_OUT else "23:47EAT"
            order = [begun, held, promise.replace(" ", ""), DO_NOT_SEND[language].replace(" ", ""), "14:02:10EAT"]
            places = [squeezed.index(part) for part in order]
            assert places == sorted(places)
            assert "14:03:10 EAT" in text


def test_unknown_is_never_green() -> None:
    for model in (UNKNOWN, NOTHING):
        tree = parsed(pages(model, SETTINGS)["en/index.html"])
        assert "answer unknown" in tree.xpath("//div[contains(@class,'answer')]/@class")
        assert "Everything works" not in overview(model)
    assert "Not known since 13:40 EAT" in overview(UNKNOWN)
    assert "Uptime not known" in overview(UNKNOWN)
    assert "Everything works." in overview(WELL)
    one_unknown = replace(WELL, components=(*WELL.components[:-1], replace(WELL.components[-1], state=State.UNKNOWN)))
    assert "Everything works" not in overview(one_unknown)


def test_banks_are_named_only_as_agreed() -> None:
    for language in Language:
        text = overview(WELL, language)
        assert "Demo Bank A" in text
        bank = catalogue(language).forms.bank.replace("{label}", "B")
        assert bank[1:] in text
    secret = tuple(replace(one, public_name=None, label="Q7") if one.public_name else one for one in WELL.components)
    for body in pages(replace(WELL, components=secret), SETTINGS).values():
        assert b"Demo Bank" not in body


def test_a_dispute_is_public_and_stays_open() -> None:
    for language in Language:
        disputed = SITUATIONS["disputed"]
        text = overview(disputed, language)
        sentence = plain(catalogue(language).overall[Overall.DISPUTED].sentence)
        assert sentence not in text  # the measured figures say it, once
        assert text.count("81 %") == text.count("13:57 EAT") == 1
        assert DO_NOT_SEND[language] in text
        incidents = (PAST, replace(disputed.incidents[-1], updates=disputed.incidents[-1].updates[:-1]))
        assert sentence in overview(replace(disputed, incidents=incidents), language)


def test_money_that_ended_is_told_with_promises_kept_and_missed() -> None:
    built = pages(WELL, SETTINGS)
    text = shown(built[f"en/{incident_file(PAST.id)}"])
    told = "At least 212 transfers have arrived since. At least 3 transfers have come back since."
    assert f"{told} No promise was seen to be missed." in text
    assert "It is over. Transfers counted while it lasted: at least 212 arrived, at least 3 came back." in text
    assert "All transfers" not in text
    assert "Over since 09:58 EAT on Thursday 16 July. It lasted 56 min." in text
    missed = replace(PAST, money=Money(held=0, promise_by_ms=None, advice=Advice.NOTHING, arrived=9, late=1))
    text = shown(pages(replace(WELL, incidents=(missed,)), SETTINGS)[f"en/{incident_file(PAST.id)}"])
    assert "At least 1 transfer ended later than promised." in text and "No promise" not in text
    assert "At least 3 transfers ended later than promised" in overview(CORE_OUT)


@pytest.mark.parametrize("language", Language)
def test_a_merged_incident_says_in_which_it_goes_on_and_leads_there(language: Language) -> None:
    built = pages(MERGED, SETTINGS)
    body = built[f"{language.value}/{incident_file(MERGED_INCIDENT.id)}"]
    words, text = catalogue(language), shown(body)
    assert plain(words.stages[Stage.MERGED]) in text
    assert plain(words.news[News.MERGED]) in text
    (link,) = parsed(body).xpath("//div[contains(@class,'answer')]//a")
    assert link.get("href") == incident_file(CORRIDOR_OUT.id)
    other = Voice(language, SETTINGS.zone, MERGED).title(CORRIDOR_OUT.title).text
    assert (link.text, f"{plain(words.labels.merged)} {plain(other)}" in text) == (other, True)
    assert DO_NOT_SEND[language] not in text  # its money is told there
    assert incident_file(MERGED_INCIDENT.id).encode() not in built[f"{language.value}/index.html"]
    assert headline_of(MERGED) == headline_of(ONE_OUT)


def test_the_operators_words_keep_their_language_and_their_lines() -> None:
    french = parsed(pages(CORE_OUT, SETTINGS)["fr/index.html"])
    quoted = french.xpath("//div[contains(@class,'said')]/p")
    assert [line.get("lang") for line in quoted] == ["en", "en", None]
    assert quoted[0].text == "A disk array has failed. Engineers are on site."
    swahili = parsed(pages(CORE_OUT, SETTINGS)["sw/index.html"]).xpath("//div[contains(@class,'said')]/p")
    assert [line.get("lang") for line in swahili] == [None, None, None]
    assert swahili[1].text == "Hakuna pesa iliyopotea."


def test_the_page_says_the_day_when_it_is_not_today() -> None:
    text = overview(CORE_OUT)
    assert "Since about 23:47 EAT on Sunday 26 July." in text
    assert "by 02:00 EAT on Tuesday 28 July." in text
    lagos = pages(WELL, replace(SETTINGS, zone="Africa/Lagos"))
    assert "12:02:10 WAT" in shown(lagos["en/index.html"])
    sao_paulo = pages(WELL, replace(SETTINGS, zone="America/Sao_Paulo"))
    assert "08:02:10 UTC-3" in shown(sao_paulo["en/index.html"])


def test_a_day_told_once_is_not_told_again_and_the_first_is_an_ordinal_in_french() -> None:
    incident = shown(BUILT["core-out"][f"en/{incident_file(CORE_OUT.incidents[-1].id)}"])
    assert "Since about 23:47 EAT on Sunday 26 July. Found at 23:48:00 EAT, published here at 23:48:03 EAT." in incident
    voice = Voice(Language.FR, "Africa/Nairobi", WELL)
    assert plain(voice.day(date(2026, 5, 1))) == "vendredi 1er mai"
    assert plain(voice.short_day(date(2026, 5, 11))) == "11 mai"
    assert plain(voice.span(at(23), at(1, day=1))) == "23:00 EAT à 01:00 EAT le mardi 28 juillet"


def test_the_report_form_is_plain_html_to_another_origin() -> None:
    form = parsed(BUILT["well"]["sw/index.html"]).xpath("//form")[0]
    assert (form.get("method"), form.get("action")) == ("post", SETTINGS.report_url)
    assert form.xpath(".//select/@name") == ["component"]
    assert form.xpath(".//option/@value") == ["", *(one.id for one in WELL.components)]
    assert form.xpath(".//input[@type='hidden']/@value") == ["sw"]
    assert not parsed(pages(WELL, replace(SETTINGS, report_url=None))["sw/index.html"]).xpath("//form")


def test_bars_are_the_days_and_the_table_has_the_figures() -> None:
    tree = parsed(BUILT["one-corridor-out"]["en/days-bank-a-in.html"])
    rows = tree.xpath("//tbody/tr")
    assert len(rows) == 90
    days = {day.day: day for day in ONE_OUT.component("bank-a-in").history}
    drawn = {}
    for path in tree.xpath("//svg[@class='days']/path"):
        state = State(path.get("class").removeprefix("d-"))
        for start, length in re.findall(r"M(\d+) \d+h(\d+)", path.get("d")):
            for place in range(int(start) // 4, (int(start) + int(length)) // 4):
                drawn[TODAY - timedelta(days=89 - place)] = state
    assert drawn == {day.day: day.worst for day in days.values()}
    cells = [plain("".join(cell.itertext())) for cell in tree.xpath("//tbody/tr[1]/td")]
    assert cells == ["27 Jul", "Not working Min down: 41. Min measured: 842.", "95.13 %"]
    assert [plain("".join(cell.itertext())) for cell in tree.xpath("//tbody/tr[2]/td")][1] == "Works"  # a whole day


def test_today_is_drawn_at_least_as_bad_as_the_state_above_it() -> None:
    stale = tuple(replace(one, state=State.UNAVAILABLE) for one in WELL.components)
    days = ninety_days(stale[0], TODAY)
    assert days[-1].state is State.UNAVAILABLE and days[-1].told is not None
    assert days[-1].told.worst is State.AVAILABLE
    assert ninety_days(WELL.components[0], TODAY)[-1].state is State.AVAILABLE
    assert ninety_days(replace(stale[0], history=()), TODAY)[-1].state is State.UNAVAILABLE


def test_many_updates_and_incidents_are_bounded_and_the_rest_is_named() -> None:
    words = OperatorWords({Language.EN: "x" * 5000})
    updates = tuple(Update(at(13, 22, number), Stage.IDENTIFIED, words) for number in range(60))
    incidents = [replace(CORRIDOR_OUT, id="loud", updates=updates)]
    incidents += [replace(PAST, id=f"past-{number}") for number in range(200)]
    built = pages(replace(ONE_OUT, incidents=tuple(incidents)), SETTINGS)
    assert max(len(body) for body in built.values()) <= PAGE_BYTES_MAX
    assert "earlier updates are in the data for machines" in shown(built["en/incident-loud.html"])
    assert "140 older incidents are in the data for machines" in shown(built["en/history.html"])


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_words_are_text_and_nothing_else(payload: str) -> None:
    clean, built = pages(hostile("Bank"), SETTINGS), pages(hostile(payload), SETTINGS)
    for path, body in built.items():
        if path.startswith("en/") and "days" not in path:
            tree = parsed(body)
            kinds = [(element.tag, sorted(element.keys())) for element in tree.iter()]
            lines = payload.count("\n")  # the operator's own paragraphs
            if not lines:
                assert kinds == [(element.tag, sorted(element.keys())) for element in parsed(clean[path]).iter()]
        text = body.decode()
        for character in "\u202e\u202c\u0000\u2028\u2029\ufeff\r":
            assert character not in text
        assert len(body) <= PAGE_BYTES_MAX
    tree = parsed(built["en/index.html"])
    assert not tree.xpath("//script | //img | //base | //*[starts-with(name(@*), 'on')]")
    if payload.isascii() and payload.isprintable() and len(payload) <= NAME_CHARS_MAX:
        assert tree.xpath("//bdi/text()") == [payload]
        assert payload + "x" in plain(tree.xpath("string(//h1)"))


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/'; script-src *", "javascript:alert(1)", "//x/", "https://a b/", "ftp://x/", "https://x/\"",
        "https://x/;y/", "https://user@x/", "https:///", "", "https://x/?a=b/", "https://x/\n/",
    ],
)  # fmt: skip
def test_settings_cannot_break_out_of_the_policy(url: str) -> None:
    with pytest.raises(InvariantBroken):
        PageSettings(base_url=url)
    with pytest.raises(InvariantBroken):
        PageSettings(base_url="https://x/", report_url=url)
    with pytest.raises(InvariantBroken):
        PageSettings(base_url="https://x/", zone="Mars/Olympus")
    assert PageSettings(base_url="http://[::1]:8080/s/", report_url="http://127.0.0.1:9/r").report_origin == (
        "http://127.0.0.1:9"
    )


def test_planned_work_is_told_with_its_time_and_an_overrun_with_its_incident() -> None:
    planned = overview(SITUATIONS["planned"])
    assert planned.count("Wallets and balances: planned work 00:00 to 04:00 EAT") == 1
    assert "01:00 to 03:30 EAT on Sunday 2 August" in planned
    assert "(English)" in overview(SITUATIONS["planned"], Language.SW)  # the operator wrote in no other language
    tree = parsed(BUILT["overrun"]["en/index.html"])
    assert tree.xpath(f"//li[@id='{OVERRUN.maintenance[0].id}']//a/@href") == ["incident-inc_01K15OVERRUN.html"]
    over = parsed(pages(replace(WELL, maintenance=(replace(AHEAD, phase=Phase.DONE),)), SETTINGS)["en/index.html"])
    assert not over.xpath(f"//li[@id='{AHEAD.id}']")
