"""The form for reports: whole in one small request, in three languages, dead to whatever is put into it."""

import pytest
from lxml import html

from hakika.channels.web.catalogue import Language
from hakika.channels.web.report_page import Answer, Asked, Choice, ReportPage, report_headers

PAGE_MAX = 6_000
CHOICES = [
    Choice("corridor:bank-a", "Mlima Bank", True),
    Choice("corridor:bank-b", "Rift Trust Bank", True),
    Choice("channel:bank-api", "API for banks", False),
    Choice("channel:core-api", "API for wallets", False),
    Choice("channel:tracking", "Tracking page", False),
    Choice("product:bank-to-wallet", "Bank to wallet", False),
]
PAGE = ReportPage("Hakika", "https://status.example/", CHOICES)


def parsed(body: bytes) -> html.HtmlElement:
    return html.document_fromstring(body.decode())


@pytest.mark.parametrize("language", Language)
def test_the_form_is_small_whole_and_without_script(language: Language) -> None:
    body = PAGE.form(Asked(language, "corridor:bank-b", tracking=True))
    assert len(body) <= PAGE_MAX
    page = parsed(body)
    assert page.get("lang") == language.value
    assert not page.xpath("//script | //img | //link[@rel='stylesheet'] | //@onclick")
    assert page.xpath("//form/@method") == ["post"]
    assert page.xpath("//form/@action") == []
    assert page.xpath("//option[@selected]/@value") == ["corridor:bank-b"]
    assert page.xpath("//input[@name='language']/@value") == [language.value]
    assert page.xpath("//input[@name='from']/@value") == ["tracking"]
    assert [option.get("value") for option in page.xpath("//option")] == ["", *(one.component for one in CHOICES)]
    assert page.xpath("//label/@for") == page.xpath("//select/@id")


@pytest.mark.parametrize("answer", Answer)
@pytest.mark.parametrize("language", Language)
def test_every_answer_says_what_became_of_it(language: Language, answer: Answer) -> None:
    body = PAGE.answer(Asked(language), answer)
    assert len(body) <= PAGE_MAX
    page = parsed(body)
    assert page.xpath("string(//div[starts-with(@class, 'told')]/h1)").strip()
    assert bool(page.xpath("//form")) == (answer in (Answer.LATER, Answer.UNKNOWN))
    assert page.xpath("//a[@class='on']/@href") == ["https://status.example/"]


def test_the_three_languages_differ() -> None:
    assert len({PAGE.answer(Asked(language), Answer.COUNTED) for language in Language}) == len(Language)
    assert "Mlima Bank vers portefeuilles" in PAGE.form(Asked(Language.FR)).decode()


def test_only_known_components_come_back() -> None:
    for evil in ('"><script>alert(1)</script>', "corridor:bank-z", "javascript:alert(1)"):
        assert PAGE.form(Asked(Language.EN, evil)) == PAGE.form(Asked(Language.EN))
        assert evil.encode() not in PAGE.answer(Asked(Language.EN, evil), Answer.UNKNOWN)


def test_names_of_settings_are_escaped() -> None:
    page = ReportPage("<b>O&M</b>", 'https://x/"onclick="', [Choice('a:"b"', "<script>alert(1)</script>", True)])
    body = page.form(Asked(Language.EN, 'a:"b"'))
    assert b"<script" not in body
    assert parsed(body).xpath("//script | //@onclick | //main//b") == []


def test_nothing_runs_and_the_form_goes_home() -> None:
    headers = dict(report_headers(Language.SW))
    assert headers["content-language"] == "sw"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self'" in policy
    assert "unsafe" not in policy
