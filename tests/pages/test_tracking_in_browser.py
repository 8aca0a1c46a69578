"""The tracking page in Debian's Chromium: one request, nothing refused by its own policy, no sideways scroll.

Also what a slow network costs, that hostile names run nothing, and that every link is a good target for a thumb.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from page_browser import CHROMIUM, Browser, Served, Tab, serving
from page_samples import HELD, SAMPLES, hostile
from test_tracking_page import PAYLOADS, other_pages

from hakika.channels.web.catalogue import Language
from hakika.channels.web.policy import page_headers
from hakika.channels.web.render import page

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and not os.environ.get("CI"), reason="chromium is not installed: tools/apt.sh installs it"
)

GPRS_BITS_PER_S = 50_000
GPRS_LATENCY_MS = 600
READABLE_S = 3.0
WIDTHS = (240, 320, 360, 1280)
LONGEST = replace(
    HELD,
    amount_minor=10**15 - 1,
    bank_name="W" * 60,
    creditor_name_masked="W" * 32,
    debtor_name_masked="W" * 32,
    position_short=True,
)


def _answers() -> dict[str, Served]:
    answers = {}
    for language in Language:
        headers = page_headers(language.value)
        for name, view in {**SAMPLES, "longest": LONGEST}.items():
            answers[f"/{name}-{language}"] = Served(page(view, language), headers)
        for name, body in other_pages(language).items():
            answers[f"/{name}-{language}"] = Served(body, headers)
    for number, payload in enumerate(PAYLOADS):
        answers[f"/hostile-{number}"] = Served(page(hostile(payload), Language.EN), page_headers("en"))
    unstyled = page(HELD, Language.EN).replace(b"</style>", b" </style>")
    answers["/unstyled"] = Served(unstyled, page_headers("en"))
    return answers


ANSWERS = _answers()


@pytest.fixture(scope="module")
def opened() -> Iterator[tuple[str, Tab]]:
    """The server's URL and a tab; one browser for this file."""
    with ExitStack() as stack:
        base = stack.enter_context(serving(ANSWERS))
        yield base, stack.enter_context(Browser()).tab()


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_is_one_request_and_fits_its_screen(opened: tuple[str, Tab], width: int) -> None:
    base, tab = opened
    tab.screen(width, 320 if width == 240 else 640)
    for path in ANSWERS:
        if path.startswith(("/hostile", "/unstyled")):
            continue
        tab.open(base + path)
        assert tab.requests == [base + path]
        assert tab.complaints == [], path
        across = tab.evaluate("document.documentElement.scrollWidth")
        assert across <= width, f"{path} scrolls sideways at {width}: {across}"


def test_the_answer_is_on_the_first_screen_of_a_phone(opened: tuple[str, Tab]) -> None:
    base, tab = opened
    tab.screen(360, 640)
    for language in Language:
        tab.open(f"{base}/held-{language}")
        bottom = tab.evaluate("document.querySelector('.asof').getBoundingClientRect().bottom")
        assert bottom <= 640


def test_links_are_targets_for_a_thumb(opened: tuple[str, Tab]) -> None:
    base, tab = opened
    for width in (240, 360, 1280):
        tab.screen(width)
        tab.open(f"{base}/held-sw")
        heights = tab.evaluate("Array.from(document.querySelectorAll('a'), a => a.getBoundingClientRect().height)")
        assert len(heights) == 3 and min(heights) >= 44


def test_hostile_names_run_nothing_and_ask_for_nothing(opened: tuple[str, Tab]) -> None:
    base, tab = opened
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


def test_dark_mode_is_obeyed(opened: tuple[str, Tab]) -> None:
    base, tab = opened
    paper = "getComputedStyle(document.body).backgroundColor"
    tab.screen(360, dark=True)
    tab.open(f"{base}/held-en")
    assert tab.evaluate(paper) == "rgb(20, 22, 28)"
    tab.screen(360)
    assert tab.evaluate(paper) == "rgb(251, 248, 242)"


def test_it_is_readable_within_three_seconds_on_2g(opened: tuple[str, Tab]) -> None:
    base, tab = opened
    tab.slow(bits_per_s=GPRS_BITS_PER_S, latency_ms=GPRS_LATENCY_MS)
    try:
        longest = max(tab.open(f"{base}/{name}-fr") for name in ("held", "past-deadline-in-doubt", "longest"))
    finally:
        tab.slow(bits_per_s=10**9, latency_ms=0)
    assert longest <= READABLE_S


def test_a_picture_can_be_taken(opened: tuple[str, Tab], tmp_path: Path) -> None:
    base, tab = opened
    tab.screen(240, 320)
    tab.open(f"{base}/held-en")
    tab.picture(tmp_path / "held.png")
    data = (tmp_path / "held.png").read_bytes()
    assert data.startswith(b"\x89PNG") and int.from_bytes(data[16:20], "big") == 240
