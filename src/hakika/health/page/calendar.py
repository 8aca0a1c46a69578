"""Maintenance as a calendar (RFC 5545), so that a bank's own planners see it where they look.

A window keeps its UID, and its SEQUENCE rises with every change, so a subscribed calendar moves the event and
makes no second one; a cancelled window stays, as cancelled. Instants are UTC. Lines end in CRLF and are folded at
75 octets without cutting a letter. A calendar may not be empty, so one without windows holds the definition of UTC.
"""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from hakika.health.page.model import Language, Maintenance, Phase, StatusModel
from hakika.health.page.place import CALENDAR, INDEX, ROOT_LANGUAGE, PageSettings
from hakika.health.page.view import window_told
from hakika.health.page.words import Voice, clean, fill, plain

LINE_OCTETS_MAX = 75
SUMMARY_CHARS_MAX = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STATUS = {
    Phase.PLANNED: "CONFIRMED",
    Phase.RUNNING: "CONFIRMED",
    Phase.OVERRUN: "CONFIRMED",
    Phase.DONE: "CONFIRMED",
    Phase.CANCELLED: "CANCELLED",
}
_UTC_ZONE = (
    "BEGIN:VTIMEZONE", "TZID:Etc/UTC", "BEGIN:STANDARD", "DTSTART:19700101T000000", "TZOFFSETFROM:+0000",
    "TZOFFSETTO:+0000", "END:STANDARD", "END:VTIMEZONE",
)  # fmt: skip


def calendars(model: StatusModel, settings: PageSettings) -> dict[str, bytes]:
    """The calendar in every language by its path in the published folder; the one at the top speaks English."""
    found = {
        f"{language.value}/{CALENDAR}": calendar(Voice(language, settings.zone, model), settings)
        for language in Language
    }
    found[CALENDAR] = found[f"{ROOT_LANGUAGE.value}/{CALENDAR}"]
    return found


def calendar(voice: Voice, settings: PageSettings) -> bytes:
    """All windows in one language, the first to begin first."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Hakika//status page//EN",
        "CALSCALE:GREGORIAN",
        f"X-WR-CALNAME:{escaped(fill(voice.words.labels.title, operator=voice.operator))}",
        "REFRESH-INTERVAL;VALUE=DURATION:PT1H",
    ]
    windows = sorted(voice.model.maintenance, key=lambda window: (window.starts_ms, window.id))
    for window in windows:
        lines += _event(window, voice, settings)
    if not windows:
        lines += _UTC_ZONE
    lines.append("END:VCALENDAR")
    return "".join(folded(line) for line in lines).encode()


def escaped(text: str) -> str:
    """TEXT of RFC 5545, 3.3.11: backslash, semicolon, comma and line break; no other control character is left."""
    lines = [clean(line, SUMMARY_CHARS_MAX) for line in plain(text).splitlines()]
    shown = "\n".join(line for line in lines if line)
    for sign, instead in (("\\", "\\\\"), (";", "\\;"), (",", "\\,"), ("\n", "\\n")):
        shown = shown.replace(sign, instead)
    return shown


def folded(line: str) -> str:
    """A content line of RFC 5545, 3.1: at most 75 octets a line, continued after CRLF and a space."""
    parts = [""]
    room = LINE_OCTETS_MAX
    for letter in line:
        octets = len(letter.encode())
        if octets > room:
            parts.append("")
            room = LINE_OCTETS_MAX - 1  # for the space
        parts[-1] += letter
        room -= octets
    return "\r\n ".join(parts) + "\r\n"


def _event(window: Maintenance, voice: Voice, settings: PageSettings) -> list[str]:
    told = window_told(window, voice)
    about = "\n".join((told.phase, ", ".join(told.components)))
    host = urlsplit(settings.base_url).hostname or "localhost"
    return [
        "BEGIN:VEVENT",
        f"UID:{window.id}@{host}",
        f"DTSTAMP:{_instant(window.changed_ms)}",
        f"LAST-MODIFIED:{_instant(window.changed_ms)}",
        f"SEQUENCE:{window.sequence}",
        f"DTSTART:{_instant(window.starts_ms)}",
        f"DTEND:{_instant(window.ends_ms)}",
        f"SUMMARY:{escaped(told.title.text)}",
        f"DESCRIPTION:{escaped(about)}",
        f"STATUS:{_STATUS[window.phase]}",
        f"URL:{settings.address(f'{voice.language.value}/{INDEX}')}",
        "END:VEVENT",
    ]


def _instant(instant_ms: int) -> str:
    return f"{_EPOCH + timedelta(milliseconds=instant_ms):%Y%m%dT%H%M%SZ}"
