"""The status page in Debian's Chromium, at three widths, in three languages, without JavaScript, light and dark.

One request, nothing refused by its own policy, no sideways scroll, targets for a thumb, zero axe findings; and that
the report form reaches its own origin and no other.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest
from axe import findings
from page_browser import CHROMIUM, Browser, Served, Tab, serving
from status_samples import CORE_INCIDENT, SETTINGS, SITUATIONS, full, hostile
from test_tracking_page import PAYLOADS

from hakika.health.page.model import Language
from hakika.health.page.place import PageSettings, component_file, incident_file
from hakika.health.page.render import pages

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and not os.environ.get("CI"), reason="chromium is not installed: tools/apt.sh installs it"
)

WIDTHS = (240, 360, 1280)
GPRS_BITS_PER_S = 50_000
GPRS_LATENCY_MS = 600
READABLE_S = 6.5  # 30 kB uncompressed; servers that compress send a third of it
SMALL = """Array.from(document.querySelectorAll('a, button, select, summary'), e => [e.outerHTML.slice(0, 90),
  e.getBoundingClientRect().width, e.getBoundingClientRect().height]).filter(e => e[1] < 44 || e[2] < 44)"""


def _answers() -> dict[str, Served]:
    """Every kind of page of every situation, as `/situation/path`."""
    answers = {}
    for name, model in {**SITUATIONS, "full": full()}.items():
        wanted = {"index.html", "history.html", component_file("bank-a-in")}
        wanted |= {incident_file(incident.id) for incident in model.incidents if incident.open}
        for path, body in pages(model, SETTINGS).items():
            if path.rpartition("/")[2] in wanted:
                answers[f"/{name}/{path}"] = Served(body)
    for number, payload in enumerate(PAYLOADS):
        answers[f"/hostile-{number}"] = Served(pages(hostile(payload), SETTINGS)["en/index.html"])
    unstyled = answers["/well/en/index.html"].body.replace(b"</style>", b" </style>")
    answers["/unstyled"] = Served(unstyled)
    return answers


ANSWERS = _answers()
PATHS = [path for path in ANSWERS if path.count("/") > 1]


@pytest.fixture(scope="module")
def opened() -> Iterator[tuple[str, Tab]]:
    """The server's URL and a tab in which pages run no script; one browser for this file."""
    with ExitStack() as stack:
        base = stack.enter_context(serving(ANSWERS))
        tab = stack.enter_context(Browser()).tab()
        tab.call("Emulation.setScriptExecutionDisabled", value=True)
        yield base, tab


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("language", Language)
def test_every_page_is_one_request_fits_and_has_targets_for_a_thumb(
    opened: tuple[str, Tab], language: Language, width: int
) -> None:
    base, tab = opened
    tab.screen(width, 320 if width == 240 else 640)
    paths = [path for path in PATHS if f"/{language.value}/" in path]
    assert len(paths) > 20
    for path in paths:
        tab.open(base + path)
        assert tab.requests == [base + path]
        assert tab.complaints == [], path
        across = tab.evaluate("document.documentElement.scrollWidth")
        assert across <= width, f"{path} scrolls sideways at {width}: {across}"
        assert tab.evaluate(SMALL) == [], path


def test_the_page_at_the_top_is_shown_whole_too(opened: tuple[str, Tab]) -> None:
    base, tab = opened
    tab.screen(360)
    tab.open(f"{base}/core-out/index.html")
    assert tab.evaluate("document.querySelector('h1').textContent") == "Wallets: not working"


@contextmanager
def scripts_allowed(tab: Tab) -> Iterator[None]:
    """axe is a script; and what must not run has to be able to."""
    tab.call("Emulation.setScriptExecutionDisabled", value=False)
    try:
        yield
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=True)


def looked_at_by_axe(opened: tuple[str, Tab], paths: list[str]) -> None:
    base, tab = opened
    with scripts_allowed(tab):
        for path in paths:
            tab.open(base + path)
            tab.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
            assert findings(tab) == [], path


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("language", Language)
def test_axe_finds_nothing_at_any_width_in_any_language(
    opened: tuple[str, Tab], language: Language, width: int
) -> None:
    opened[1].screen(width, dark=width == 360)
    names = ("core-out/{}/index.html", f"core-out/{{}}/{incident_file(CORE_INCIDENT.id)}", "unknown/{}/history.html")
    looked_at_by_axe(opened, [f"/{name.format(language.value)}" for name in names])


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_in_any_situation(opened: tuple[str, Tab], dark: bool) -> None:
    opened[1].screen(240 if dark else 1280, dark=dark)
    paths = [path for path in PATHS if path.startswith("/full/") or path.endswith("index.html") or "days" in path]
    looked_at_by_axe(opened, [path for path in paths if "/fr/" in path])


def test_axe_would_find_something(opened: tuple[str, Tab]) -> None:
    base, tab = opened
    with scripts_allowed(tab):
        tab.open(f"{base}/well/en/index.html")
        tab.evaluate("document.querySelector('label').remove()")
        assert any(finding.startswith("select-name") for finding in findings(tab))


def test_the_first_screen_of_a_phone_says_what_to_do(opened: tuple[str, Tab]) -> None:
    base, tab = opened
    tab.screen(360, 640)
    for language in Language:
        for name in ("one-corridor-out", "core-out"):
            tab.open(f"{base}/{name}/{language.value}/index.html")
            bottom = tab.evaluate("document.querySelector('.do').getBoundingClientRect().bottom")
            assert bottom <= 640, (name, language)


def test_hostile_words_run_nothing_and_ask_for_nothing(opened: tuple[str, Tab]) -> None:
    base, tab = opened
    with scripts_allowed(tab):  # nothing runs although it could
        tab.screen(360)
        for number, payload in enumerate(PAYLOADS):
            tab.open(f"{base}/hostile-{number}")
            assert tab.requests == [f"{base}/hostile-{number}"], payload
            assert tab.complaints == [], payload
            assert tab.evaluate("document.scripts.length + document.images.length") == 0, payload


def test_a_changed_style_is_refused_so_the_policy_is_alive(opened: tuple[str, Tab]) -> None:
    base, tab = opened
    tab.open(f"{base}/unstyled")
    assert any("Content Security Policy" in complaint for complaint in tab.complaints)


def asked(tab: Tab) -> bool:
    return any(request.endswith("/reports") for request in tab.requests)


def refused(tab: Tab) -> bool:
    return any("form-action" in complaint for complaint in tab.complaints)


def test_the_report_reaches_its_origin_and_the_policy_stops_any_other(opened: tuple[str, Tab]) -> None:
    _, tab = opened
    got = {"/reports": Served(b"thanks"), "/page": Served(b""), "/moved": Served(b"")}
    with serving(got) as reports:
        settings = PageSettings(base_url="https://status.example/", report_url=f"{reports}/reports")
        body = pages(SITUATIONS["well"], settings)["en/index.html"]
        other = pages(SITUATIONS["well"], replace(settings, report_url="https://elsewhere.example/r"))["en/index.html"]
        form = b'action="%s/reports"' % reports.encode()
        got["/page"] = Served(body)
        got["/moved"] = Served(other.replace(b'action="https://elsewhere.example/r"', form))
        for page, sent in (("/page", True), ("/moved", False)):
            tab.open(reports + page)
            tab.evaluate("document.querySelector('select').selectedIndex = 1")
            tab.evaluate("document.querySelector('button').click()")
            tab.browser.pump(lambda: asked(tab) or refused(tab))
            assert (asked(tab), refused(tab)) == (sent, not sent), page


def test_dark_mode_is_obeyed(opened: tuple[str, Tab]) -> None:
    base, tab = opened
    paper = "getComputedStyle(document.body).backgroundColor"
    tab.screen(360, dark=True)
    tab.open(f"{base}/well/en/index.html")
    assert tab.evaluate(paper) == "rgb(20, 22, 28)"
    tab.screen(360)
    assert tab.evaluate(paper) == "rgb(251, 248, 242)"


def test_the_heaviest_overview_on_2g(opened: tuple[str, Tab]) -> None:
    base, tab = opened
    tab.slow(bits_per_s=GPRS_BITS_PER_S, latency_ms=GPRS_LATENCY_MS)
    try:
        took = tab.open(f"{base}/full/fr/index.html")
    finally:
        tab.slow(bits_per_s=10**9, latency_ms=0)
    assert took <= READABLE_S
