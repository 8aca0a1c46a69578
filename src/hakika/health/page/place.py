"""Where a page is and where its links lead: relative between pages, so that any server, bucket or folder serves them.

Each language has a folder with the same files; the English overview stands once more at the top. Only feeds and
the report form need absolute addresses. Settings that could break out of an address or of the page's policy are
refused when they are read, not when a page is written in the middle of an outage.
"""

import re
from dataclasses import dataclass

from hakika.domain.reasons import InvariantBroken
from hakika.health.page.model import Language
from hakika.health.page.words import DEFAULT_ZONE, check_zone

INDEX = "index.html"
HISTORY = "history.html"
ATOM = "feed.atom"
JSON_FEED = "feed.json"
CALENDAR = "maintenance.ics"
STATUS = "status.json"
HEARTBEAT = "heartbeat.json"
ROOT_LANGUAGE = Language.EN
_ORIGIN = r"(https?://(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?)"
_ADDRESS = re.compile(_ORIGIN + r"(/[A-Za-z0-9._~%/-]*)?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSettings:
    """How one operator publishes: the page's own address, where reports go, and whose clocks are used."""

    base_url: str  # absolute, of the folder that is served
    report_url: str | None = None  # absolute; without it the page has no report form
    zone: str = DEFAULT_ZONE

    def __post_init__(self) -> None:
        if not _ADDRESS.fullmatch(self.base_url) or not self.base_url.endswith("/"):
            raise InvariantBroken(f"status page: base_url {self.base_url!r} is no http address that ends in /")
        if self.report_url is not None and not _ADDRESS.fullmatch(self.report_url):
            raise InvariantBroken(f"status page: report_url {self.report_url!r} is no http address without a query")
        check_zone(self.zone)

    @property
    def report_origin(self) -> str | None:
        """`https://host:port` of the report address: all that the policy lets the form send to."""
        found = _ADDRESS.fullmatch(self.report_url or "")
        return found.group(1) if found else None

    def address(self, file: str) -> str:
        """The absolute address of a file of the page."""
        return self.base_url + file


@dataclass(frozen=True, slots=True)
class Place:
    """One page: its language, its file, and whether it is the copy at the top."""

    language: Language
    file: str
    top: bool = False

    @property
    def path(self) -> str:
        """Where the page lies in the published folder."""
        return self.file if self.top else f"{self.language.value}/{self.file}"

    def page(self, file: str) -> str:
        """The link to another page, or to a feed, of the same language."""
        return f"{self.language.value}/{file}" if self.top and file != INDEX else file

    def other(self, language: Language) -> str:
        """The link to the same page in another language."""
        return f"{'' if self.top else '../'}{language.value}/{self.file}"

    def shared(self, file: str) -> str:
        """The link to a file that has no language."""
        return file if self.top else f"../{file}"


def incident_file(id_: str) -> str:
    """The file of an incident's page."""
    return f"incident-{id_}.html"


def component_file(id_: str) -> str:
    """The file of a component's figures."""
    return f"days-{id_}.html"
