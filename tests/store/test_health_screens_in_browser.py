"""The operator's screens in Debian's Chromium: three widths, three languages, no script, nothing that axe finds.

HAKIKA_SCREENS names a folder: then pictures of every screen are left there, light and dark.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from screens_kit import gathered

sys.path.append(str(Path(__file__).parents[1] / "pages"))

from axe import findings
from page_browser import CHROMIUM, Browser, Served, Tab, serving

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and not os.environ.get("CI"), reason="chromium is not installed: tools/apt.sh installs it"
)
WIDTHS = (240, 360, 1280)
SMALL = """Array.from(document.querySelectorAll('a, button, select, input:not([type=hidden]), textarea, summary'),
  e => [e.outerHTML.slice(0, 90), (e.closest('label') || e).getBoundingClientRect().width,
  (e.closest('label') || e).getBoundingClientRect().height]).filter(e => e[1] < 44 || e[2] < 44)"""
PICTURES = os.environ.get("HAKIKA_SCREENS", "")


@pytest.fixture(scope="module")
def screens(templates: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Tab, list[str]]]:
    """The server's URL, a tab in which pages run no script, and the paths of all screens."""
    database = templates.copy("health")
    found = asyncio.run(gathered(database, tmp_path_factory.mktemp("page")))
    templates.drop(database)
    with ExitStack() as stack:
        base = stack.enter_context(serving({path: Served(body, headers) for path, (body, headers) in found.items()}))
        tab = stack.enter_context(Browser()).tab()
        tab.call("Emulation.setScriptExecutionDisabled", value=True)
        yield base, tab, sorted(found)


@pytest.mark.parametrize("width", WIDTHS)
def test_every_screen_fits_and_has_targets_for_a_thumb(screens: tuple[str, Tab, list[str]], width: int) -> None:
    base, tab, paths = screens
    assert len(paths) > 25
    for dark in (False, True):
        tab.screen(width, 320 if width == 240 else 800, dark=dark)
        for path in paths:
            tab.open(base + path)
            assert tab.requests == [base + path]
            assert tab.complaints == [], path
            across = tab.evaluate("document.documentElement.scrollWidth")
            assert across <= width, f"{path} scrolls sideways at {width}: {across}"
            assert tab.evaluate(SMALL) == [], path
            if PICTURES and (not dark or path.endswith("/en")):
                name = path.strip("/").replace("/", "-")
                tab.picture(Path(PICTURES) / f"operator-{name}-{width}{'-dark' if dark else ''}.png")


@pytest.mark.parametrize(("width", "dark"), [(240, False), (360, True), (1280, False)])
def test_axe_finds_nothing(screens: tuple[str, Tab, list[str]], width: int, dark: bool) -> None:
    base, tab, paths = screens
    tab.screen(width, dark=dark)
    tab.call("Emulation.setScriptExecutionDisabled", value=False)
    try:
        for path in paths:
            tab.open(base + path)
            assert findings(tab) == [], path
    finally:
        tab.call("Emulation.setScriptExecutionDisabled", value=True)
