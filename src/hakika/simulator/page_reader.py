"""Reads the status page as its readers do, all through a run: what it showed, and since when.

Health may believe that it has published; what counts is the file that anybody can fetch. So `status.json` in the
folder that a web server would serve is looked at several times a second, and each version that says something else
about its incidents is kept with the instant at which it was read.
"""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from hakika import clock
from hakika.simulator.detection import PageRow

LOOK_EVERY_S = 0.2
FILE = Path("current") / "status.json"
_ID = re.compile(r"[0-9a-f]{32}")


class PageReader:
    """One reader of the page in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self.rows: list[PageRow] = []

    async def run(self) -> None:
        """Look until cancelled; a page that cannot be read shows nothing new."""
        before: dict[str, int] | None = None
        version = ""
        while True:
            now = await asyncio.to_thread(self._version)
            if now and now != version:
                shown = await asyncio.to_thread(self._read)
                if shown is not None:
                    version = now
                    if shown != before:
                        self.rows.append(PageRow(clock.now_ms(), shown))
                        before = shown
            await asyncio.sleep(LOOK_EVERY_S)

    def _version(self) -> str:
        """Changes with each page that is swapped in."""
        try:
            return str(self._file.resolve(strict=True))
        except OSError:
            return ""

    def _read(self) -> dict[str, int] | None:
        try:
            return openings(json.loads(self._file.read_text("utf-8")))
        except (OSError, ValueError):
            return None


def openings(content: Any) -> dict[str, int]:
    """How often each incident on a page has opened: once, and once for each relapse that the page tells of.

    Raises ValueError where it is no status page.
    """
    if not isinstance(content, dict) or not isinstance(content.get("incidents"), list):
        raise ValueError("no status page")
    found = {}
    for incident in content["incidents"]:
        identifier = _ID.search(str(incident.get("id", "")).replace("-", ""))
        if identifier is not None:
            found[identifier.group()] = 1 + len(incident.get("relapses") or ())
    return found
