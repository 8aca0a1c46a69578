"""Times as files write them, to unix seconds and back to the file's own form.

ISO 8601 with or without an offset (without one it is taken as UTC), unix time in seconds, milliseconds or
microseconds by its size, compact dates, and clock times without a date ("00h 01", "13:05"), which count from the
first of January 1970 and begin a new day where they pass midnight. A form that could be read in two ways, such as
03/04/2018, is refused.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from hakika.health.profile import DAY_S

MILLISECONDS_FROM, MICROSECONDS_FROM, NANOSECONDS_FROM = 1e11, 1e14, 1e17
CLOCK = re.compile(r"^(\d{1,2})\s*[h:]\s*(\d{1,2})(?:\s*(?:m(?:in)?)?\s*:?\s*(\d{1,2})\s*s?)?\s*m?$", re.IGNORECASE)
COMPACT = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
LATE_S, EARLY_S = 20 * 3600.0, 4 * 3600.0


class TimeRefused(ValueError):
    """A time that cannot be read, or not in one way only."""


def unix_s(text: str) -> float:
    """Unix seconds of a time of a single value; clock times count from 1970-01-01."""
    text = text.strip().strip("\"'")
    clock = CLOCK.match(text)
    if clock:
        hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        if hours > 23 or minutes > 59 or seconds > 59:
            raise TimeRefused(f"{text!r} is no time of a day")
        return hours * 3600.0 + minutes * 60.0 + seconds
    number = _number(text)
    if number is not None:
        return number
    try:
        moment = datetime.fromisoformat(text.replace("/", "-") if re.match(r"^\d{4}/", text) else text)
    except ValueError:
        raise TimeRefused(f"{text!r} is neither ISO 8601 nor unix time") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _number(text: str) -> float | None:
    if text.isdigit() and len(text) in COMPACT and (len(text) == 14 or text[:2] in ("19", "20")):
        if len(text) == 12 and not "190001010000" <= text <= "209912312359":
            return float(text) / 1e3
        try:
            return datetime.strptime(text, COMPACT[len(text)]).replace(tzinfo=UTC).timestamp()
        except ValueError:
            pass
    try:
        value = float(text)
    except ValueError:
        return None
    if not 0 <= value < 1e20:
        raise TimeRefused(f"{text!r} is no unix time")
    for limit, unit in ((NANOSECONDS_FROM, 1e9), (MICROSECONDS_FROM, 1e6), (MILLISECONDS_FROM, 1e3)):
        if value >= limit:
            return value / unit
    return value


@dataclass(slots=True)
class TimeForms:
    """Remembers how the file wrote each time, and writes others in the form of the first."""

    texts: dict[float, str] = field(default_factory=dict)
    sample: str = ""
    _day: int = 0
    _last_s: float = 0.0

    def read(self, text: str) -> float:
        """Unix seconds of the next row's time, in the file's order."""
        text = text.strip()
        at_s = unix_s(text)
        if CLOCK.match(text):
            if self._last_s >= LATE_S and at_s < EARLY_S:
                self._day += 1
            self._last_s = at_s
            at_s += self._day * DAY_S
        self.sample = self.sample or text
        self.texts.setdefault(at_s, text)
        return at_s

    def write(self, at_s: float) -> str | int | float:
        """A time as this file would have it: numbers stay numbers."""
        text = self.texts.get(at_s) or self._made(at_s)
        if re.fullmatch(r"\d+", text) and not (len(text) in (8, 14) and text[:2] in ("19", "20")):
            return int(text)
        return float(text) if re.fullmatch(r"\d+\.\d*", text) else text

    def _made(self, at_s: float) -> str:
        sample = self.sample
        moment = datetime.fromtimestamp(at_s, UTC)
        if CLOCK.match(sample):
            joint = "h " if "h" in sample.lower() else ":"
            return f"{moment.hour:02d}{joint}{moment.minute:02d}"
        if re.fullmatch(r"\d+(\.\d*)?", sample):
            scale = round(float(sample) / max(1.0, unix_s(sample)))
            whole = sample.isdigit()
            if whole and len(sample) in (8, 14) and scale not in (1, 1000):
                return moment.strftime(COMPACT[len(sample)])
            return str(round(at_s * scale)) if whole else str(at_s * scale)
        joint = "T" if "T" in sample else " "
        offset = re.search(r"(Z|[+-]\d{2}:?\d{2})$", sample)
        if offset and offset.group(1) != "Z":
            moment = moment.astimezone(datetime.fromisoformat(sample).tzinfo)
        made = moment.replace(tzinfo=None).isoformat(sep=joint, timespec="seconds")
        return made + (offset.group(1) if offset else "")
