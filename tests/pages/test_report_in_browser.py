"""The form for reports in Debian's Chromium: three widths, three languages, no script, nothing found by axe."""

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from axe import findings
from page_browser import CHROMIUM, Browser, Served, Tab, serving
from test_report_page import PAGE

from hakika.channels.web.catalogue import Language
from hakika.channels.web.report_page import Answer, Asked, report_headers

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and not os.environ.get("CI"), reason="chromium is not installed: tools/apt.sh installs it"
)

WIDTHS = (240, 360, 1280)
SMALL = """Array.from(document.querySelectorAll('a, button, select'), e => [e.outerHTML.slice(0, 90),
  e.getBoundingClientRect().width, e.getBoundingClientRect().height]).filter(e => e[1] < 44 || e[2] < 44)"""


def _answers() -> dict[str, Served]:
    answers = {}
    for language in Language:
        asked = Asked(language, "corridor:bank-a", tracking=True)
        bodies = {"form": PAGE.form(asked), **{answer.value: PAGE.answer(asked, answer) for answer in Answer}}
        for name, body in bodies.items():
            answers[f"/{name}-{language.value}"] = Served(body, report_headers(language))
    return answers


ANSWERS = _answers()


@pytest.fixture(scope="module")
def opened() -> Iterator[tuple[str, Tab]]:
    """The server's URL and a tab; one browser for this file."""
    with ExitStack() as stack:
        base = stack.enter_context(serving(ANSWERS))
        yield base, stack.enter_context(Browser()).tab()


@pytest.mark.parametrize("width", WIDTHS)
def test_one_request_no_sideways_scroll_and_targets_for_a_thumb(opened: tuple[str, Tab], width: int) -> None:
    base, tab = opened
    tab.screen(width, 320 if width == 240 else 640)
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    for path in ANSWERS:
        tab.open(base + path)
        assert tab.requests == [base + path]
        assert tab.complaints == [], path
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, path
        assert tab.evaluate(SMALL) == [], path


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing(opened: tuple[str, Tab], width: int, dark: bool) -> None:
    base, tab = opened
    tab.screen(width, dark=dark)
    tab.call("Emulation.setScriptExecutionDisabled", value=False)
    for path in ANSWERS:
        tab.open(base + path)
        assert findings(tab) == [], path
