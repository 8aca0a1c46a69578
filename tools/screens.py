#!/usr/bin/env python3
"""Screenshots of what people see, into var/screens: every situation of the tracking page and of the status page.

    tools/screens.py                                  all of it, light, at 240, 360 and 1280 px
    tools/screens.py --only 'held*' --lang sw --dark  a part of it, as a phone in dark mode shows it
    tools/screens.py --file report=var/replay/2023-07-27/report.html --width 1280

Names: tracking-<situation>-<language>-<width>[-dark].png, status-<situation>[-incident|-days|-history]-..., and
<name>-<width>.png for files. `--only` knows a situation of the status page as status-<situation>. The operator's
screens need a database, so their browser test takes their pictures; `make screens` runs both. Needs Debian's chromium
(tools/apt.sh).
"""

import argparse
import sys
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests" / "pages")]

from page_browser import Browser, Served, serving  # noqa: E402
from page_samples import SAMPLES, at  # noqa: E402
from status_samples import SETTINGS, SITUATIONS  # noqa: E402

from hakika.channels.web.catalogue import Language  # noqa: E402
from hakika.channels.web.policy import page_headers  # noqa: E402
from hakika.channels.web.render import busy_page, page, unavailable_page, unknown_page  # noqa: E402
from hakika.channels.web.report_page import Answer, Asked, Choice, ReportPage, report_headers  # noqa: E402
from hakika.health.page.place import component_file, incident_file  # noqa: E402
from hakika.health.page.render import pages  # noqa: E402

WIDTHS = (240, 360, 1280)
HEIGHTS = {240: 320, 360: 640}  # a KaiOS phone, a small Android


def tracking_pages(language: Language) -> dict[str, bytes]:
    """Every page that a tracking link can lead to, by name."""
    pages = {name: page(view, language) for name, view in SAMPLES.items()}
    now_ms = at(14, 30)
    pages["unknown"] = unknown_page(language, as_of_ms=now_ms)
    pages["unavailable"] = unavailable_page(language, at(14, 12), as_of_ms=now_ms)
    pages["busy"] = busy_page(language, as_of_ms=now_ms, retry_after_s=20)
    return pages


def status_pages(language: Language) -> dict[str, bytes]:
    """The status page in every situation: the overview, its open incident, a component's days, the history."""
    found = {}
    for name, model in SITUATIONS.items():
        built = pages(model, SETTINGS)
        found[f"status-{name}"] = built[f"{language.value}/index.html"]
        for incident in model.incidents:
            if incident.open:
                found[f"status-{name}-incident"] = built[f"{language.value}/{incident_file(incident.id)}"]
        if name in ("one-corridor-out", "unknown"):
            found[f"status-{name}-days"] = built[f"{language.value}/{component_file('bank-a-in')}"]
            found[f"status-{name}-history"] = built[f"{language.value}/history.html"]
    return found


def report_pages(language: Language) -> dict[str, bytes]:
    """The form for reports, and every answer to it."""
    choices = [Choice("corridor:bank-a", "Mlima Bank", True), Choice("channel:tracking", "Tracking page", False)]
    form = ReportPage("Hakika", "https://status.example/", choices)
    asked = Asked(language, "corridor:bank-a")
    return {"report-form": form.form(asked)} | {f"report-{one}": form.answer(asked, one) for one in Answer}


def wanted(asked: argparse.Namespace) -> dict[str, Served]:
    """What is asked for, by the name of its picture without the width."""
    served = {}
    for item in asked.file:
        name, _, path = item.partition("=")
        served[name] = Served(Path(path or name).read_bytes())
    if asked.file and not asked.only:
        return served
    languages = [Language(code) for code in asked.lang] or list(Language)
    for language in languages:
        for name, body in tracking_pages(language).items():
            if fnmatch(name, asked.only or "*"):
                served[f"tracking-{name}-{language.value}"] = Served(body, page_headers(language.value))
        for name, body in report_pages(language).items():
            if fnmatch(name, asked.only or "*"):
                served[f"{name}-{language.value}"] = Served(body, report_headers(language))
        for name, body in status_pages(language).items():
            if fnmatch(name, asked.only or "*"):
                served[f"{name}-{language.value}"] = Served(body)
    return served


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Screenshots of Hakika's pages.")
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "screens", help="folder for the pictures")
    parser.add_argument("--only", default="", metavar="PATTERN", help="situations, as held* or status-core-out*")
    parser.add_argument("--lang", action="append", default=[], choices=[code.value for code in Language])
    parser.add_argument("--width", action="append", type=int, default=[], help="CSS pixels; repeatable")
    parser.add_argument("--dark", action="store_true", help="prefers-color-scheme: dark")
    parser.add_argument("--file", action="append", default=[], metavar="NAME=PATH", help="an HTML file instead")
    return parser.parse_args()


def main() -> int:
    """Take the pictures; 0 when all were taken."""
    asked = arguments()
    served = wanted(asked)
    taken = 0
    with serving({f"/{name}": answer for name, answer in served.items()}) as base, Browser() as browser:
        tab = browser.tab()
        for width in asked.width or WIDTHS:
            tab.screen(width, HEIGHTS.get(width, 800), dark=asked.dark)
            for name in served:
                tab.open(f"{base}/{name}")
                tab.picture(asked.out / f"{name}-{width}{'-dark' if asked.dark else ''}.png")
                taken += 1
    print(f"{taken} pictures in {asked.out}")
    return 0 if taken else 1


if __name__ == "__main__":
    raise SystemExit(main())
