"""The report's pictures as inline SVG: transfers in flight over time, and how long each waited.

Colour never stands alone: every area has its word on the picture and a texture of its own. Each picture is drawn
twice, wide and narrow, because a wide one shrunk to a telephone has letters that nobody can read. Colours come
from the page's custom properties, so both schemes work.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape

from hakika.simulator.record import Mark, Moment, Record, WaitBar, duration, moments, wait_bars

DEFS = (
    '<defs><pattern id="doubt{n}" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="7" height="7" class="f-unknown-soft"/><rect width="2.5" height="7" class="f-unknown"/></pattern>'
    '<pattern id="back{n}" width="6" height="6" patternUnits="userSpaceOnUse">'
    '<rect width="6" height="6" class="f-returned-soft"/><circle cx="3" cy="3" r="1.6" class="f-returned"/>'
    "</pattern></defs>"
)
LETTER = 7.4  # about how wide a letter is
HOUR_ROOM, HOUR_ROOM_NARROW = 48, 44  # between two hours that are named
LABEL_ROOM = 0.05  # an area gets its word where it is at least this share of the picture's height
Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a picture's data lie on its canvas, in user units."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    x_max: float
    y_max: float

    def x(self, value: float) -> float:
        """Across."""
        return self.left + (self.width - self.left - self.right) * min(value, self.x_max) / self.x_max

    def y(self, value: float) -> float:
        """Up."""
        return self.height - self.bottom - (self.height - self.top - self.bottom) * value / self.y_max


def in_flight(record: Record, *, width: int, height: int, number: int) -> str:
    """Transfers accepted and not yet where they belong, second by second; the outage shaded, kills marked."""
    series = moments(record)
    peak = max(series, key=lambda moment: moment.in_flight)
    y_max = _round_up(max(10, peak.in_flight) * 1.12)
    kills = [mark for mark in record.marks if mark.kind == "kill"]
    frame = Frame(width, height, 8, 8, 62, 28, max(1.0, series[-1].at_s), y_max)
    parts = [
        _open(frame, number, "Transfers in flight over time", _described(record, series, peak)),
        _outages(record, frame),
        _areas(series, frame, number),
        _hours(record, frame),
        _kills(record, frame, kills),
        _seen(record, frame),
        _words(series, frame),
        _peak(record, frame, peak),
        "</svg>",
    ]
    return "".join(parts)


def waits(record: Record, *, width: int, number: int) -> str:
    """How long transfers waited, from custody until the money was where it belonged."""
    bars = wait_bars(record)
    row, label = 34, 290 if width > 500 else 96
    height = row * len(bars) + 8
    most = max((bar.count for bar in bars), default=1) or 1
    room = width - label - (210 if width > 500 else 124)
    frame = Frame(width, height, 0, 0, 0, 0, 1, 1)
    told = "; ".join(f"{wait_label(bar)}: {bar.completed:,} arrived, {bar.returned:,} came back" for bar in bars)
    parts = [_open(frame, number, "How long transfers waited", told)]
    for place, bar in enumerate(bars):
        y = place * row + 4
        done, back = (max(1.5, room * part / most) if part else 0 for part in (bar.completed, bar.returned))
        parts.append(f'<text x="0" y="{y + 18}" class="t">{escape(wait_label(bar))}</text>')
        if width > 500:
            of_day = escape(story_label(bar, record.scenario.scale))
            parts.append(f'<text x="{label - 12}" y="{y + 18}" text-anchor="end" class="t soft">{of_day}</text>')
        parts.append(f'<rect x="{label}" y="{y}" width="{done:.1f}" height="24" class="f-completed"/>')
        parts.append(
            f'<rect x="{label + done:.1f}" y="{y}" width="{back:.1f}" height="24" fill="url(#back{number})"'
            ' class="s-returned"/>'
        )
        words = _bar_words(bar, narrow=width <= 500)
        parts.append(f'<text x="{label + done + back + 8:.1f}" y="{y + 18}" class="t num">{escape(words)}</text>')
    return "".join([*parts, "</svg>"])


def wait_label(bar: WaitBar) -> str:
    """`under 1 s`, `5 to 10 s`, `more than 80 s`."""
    if bar.from_s == 0:
        return f"under {bar.to_s:g} s"
    return f"{bar.from_s:g} to {bar.to_s:g} s" if bar.to_s is not None else f"over {bar.from_s:g} s"


def story_label(bar: WaitBar, scale: float) -> str:
    """The same in the story's time."""
    if bar.from_s == 0:
        return f"under {duration((bar.to_s or 0) * scale)}"
    if bar.to_s is None:
        return f"over {duration(bar.from_s * scale)}"
    return f"{duration(bar.from_s * scale)} to {duration(bar.to_s * scale)}"


def _bar_words(bar: WaitBar, *, narrow: bool) -> str:
    words = []
    if bar.completed:
        words.append(f"{bar.completed:,}" if narrow else f"{bar.completed:,} arrived")
    if bar.returned:
        words.append(f"{bar.returned:,} back" if narrow else f"{bar.returned:,} came back")
    return ", ".join(words) or "0"


def _open(frame: Frame, number: int, title: str, told: str) -> str:
    size = f'viewBox="0 0 {frame.width} {frame.height}" width="{frame.width}" height="{frame.height}"'
    names = f'aria-labelledby="pt{number} pd{number}"'
    heads = f'<title id="pt{number}">{escape(title)}</title><desc id="pd{number}">{escape(told)}</desc>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size} {names}>{heads}{DEFS.format(n=number)}'


def _described(record: Record, series: list[Moment], peak: Moment) -> str:
    hours = " and from ".join(_hours_of(record, band) for band in record.scenario.outages)
    at = record.clock(record.began_ms + round(peak.at_s * 1000))
    last = series[-1].in_flight
    return f"Outage from {hours}. Most in flight: {peak.in_flight:,} at {at}. At the end: {last:,}."


def _hours_of(record: Record, band: tuple[float, float]) -> str:
    since, until = (record.scenario.story_time(at_s) for at_s in band)
    return f"{since:%H:%M} to {until:%H:%M}"


def _outages(record: Record, frame: Frame) -> str:
    """Every band, its hours above it: the first one's in whole, of the others only where there is room."""
    top, bottom = 18, frame.height - frame.bottom
    parts = []
    free = float(frame.left)
    for number, band in enumerate(record.scenario.outages):
        since, until = (frame.x(at_s) for at_s in band)
        words = ("outage, " if number == 0 else "again, ") + _hours_of(record, band)
        half = len(words) * LETTER / 2
        middle = min(frame.width - frame.right - half, max(free + half, (since + until) / 2))
        parts.append(
            f'<rect x="{since:.1f}" y="{top}" width="{until - since:.1f}" height="{bottom - top}" class="band"/>'
        )
        if number == 0 or middle - half >= free:
            parts.append(f'<text x="{middle:.1f}" y="13" class="t mid strong">{words}</text>')
            free = middle + half + LETTER
    return "".join(parts)


def _areas(series: list[Moment], frame: Frame, number: int) -> str:
    """Stacked: in doubt at the bottom, on the way back, held on top."""
    low: Points = [(moment.at_s, 0.0) for moment in series]
    parts = []
    fills = (f'fill="url(#doubt{number})"', f'fill="url(#back{number})"', 'class="f-held"')
    for pick, fill in zip((_doubt, _back, _held), fills, strict=True):
        high = [(at_s, base + pick(moment)) for (at_s, base), moment in zip(low, series, strict=True)]
        path = [*high, *reversed(low)]
        points = " ".join(f"{frame.x(at_s):.1f},{frame.y(value):.1f}" for at_s, value in path)
        parts.append(f'<polygon points="{points}" {fill}/>')
        low = high
    return "".join(parts)


def _doubt(moment: Moment) -> int:
    return moment.in_doubt


def _back(moment: Moment) -> int:
    return moment.coming_back


def _held(moment: Moment) -> int:
    return moment.held


def _words(series: list[Moment], frame: Frame) -> str:
    """Each area's word where it is thickest, on the picture."""
    parts = []
    layers = ((_doubt, "in doubt", 0), (_back, "on the way back", 1), (_held, "held by Hakika", 2))
    for pick, word, below in layers:
        thick = max(series, key=pick)
        if pick(thick) < frame.y_max * LABEL_ROOM * (1 if frame.width > 500 else 1.6):
            continue
        base = sum(layer[0](thick) for layer in layers[:below])
        y = frame.y(base + pick(thick) / 2) + 5
        half = len(word) * 4.6
        x = min(frame.width - frame.right - half, max(frame.left + half, frame.x(thick.at_s) - half))
        parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="t mid on">{word}</text>')
    return "".join(parts)


def _hours(record: Record, frame: Frame) -> str:
    """The story's full hours along the bottom, as many of them named as there is room for."""
    base = frame.height - frame.bottom
    parts = [f'<line x1="{frame.left}" y1="{base}" x2="{frame.width - frame.right}" y2="{base}" class="rule"/>']
    room = HOUR_ROOM if frame.width > 500 else HOUR_ROOM_NARROW
    named = float(frame.left) - room
    for at_s, moment in _full_hours(record, frame.x_max):
        x = frame.x(at_s)
        if x - named >= room and frame.left + 16 <= x <= frame.width - frame.right - 16:
            parts.append(f'<text x="{x:.1f}" y="{base + 20}" class="t mid soft">{moment:%H:%M}</text>')
            named = x
        parts.append(f'<line x1="{x:.1f}" y1="{base}" x2="{x:.1f}" y2="{base + 5}" class="rule"/>')
    return "".join(parts)


def _full_hours(record: Record, until_s: float) -> list[tuple[float, datetime]]:
    scenario = record.scenario
    moment = scenario.starts.replace(minute=0, second=0, microsecond=0)
    found = []
    while (at_s := scenario.second_of(moment)) <= until_s:
        if at_s >= 0:
            found.append((at_s, moment))
        moment += timedelta(hours=1)
    return found


def _kills(record: Record, frame: Frame, kills: list[Mark]) -> str:
    """A numbered mark for each kill; the list below the picture has the words."""
    parts = []
    before = -99.0
    low = False
    for place, mark in enumerate(kills, start=1):
        x = frame.x(record.seconds(mark.at_ms))
        low = not low if x - before < 20 else False
        before = x
        y = 48 if low else 30
        parts.append(
            f'<line x1="{x:.1f}" y1="{y}" x2="{x:.1f}" y2="{frame.height - frame.bottom}" class="kill"/>'
            f'<path d="M{x:.1f} {y + 10}l-9 -9v-9h18v9z" class="f-broken"/>'
            f'<text x="{x:.1f}" y="{y + 3}" class="t mid tag">{place}</text>'
        )
    return "".join(parts)


def _seen(record: Record, frame: Frame) -> str:
    """When health knew, when its page said so, and when it said that it was over: a line each, words at the foot."""
    if record.detection is None:
        return ""
    parts = []
    for seen in record.detection.seen:
        words = "" if seen.detected_after_s is None else f"seen {seen.detected_after_s:.0f} s"
        words += "" if seen.published_after_s is None else f", said {seen.published_after_s:.0f} s"
        for at_ms, word, up in (
            (seen.published_ms, "", 0),
            (seen.detected_ms, words, 34),
            (seen.closed_ms, "over", 52),
        ):
            if at_ms is not None:
                parts.append(_line(frame, frame.x(record.seconds(at_ms)), word, up))
    return "".join(parts)


def _line(frame: Frame, x: float, word: str, up: int) -> str:
    """A line from top to foot, its word on the side that has room."""
    base = frame.height - frame.bottom
    line = f'<line x1="{x:.1f}" y1="{frame.top}" x2="{x:.1f}" y2="{base}" class="seen"/>'
    if not word:
        return line
    anchor, shift = ("end", -5) if x > frame.width * 0.7 else ("start", 5)
    return f'{line}<text x="{x + shift:.1f}" y="{base - up}" text-anchor="{anchor}" class="t on">{escape(word)}</text>'


def _peak(record: Record, frame: Frame, peak: Moment) -> str:
    x, y = frame.x(peak.at_s), frame.y(peak.in_flight)
    words = f"{peak.in_flight:,} at {record.clock(record.began_ms + round(peak.at_s * 1000))}"
    left = x > frame.width / 2
    anchor, shift = ("end", -8) if left else ("start", 8)
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="f-ink"/>'
        f'<text x="{x + shift:.1f}" y="{y - 4:.1f}" text-anchor="{anchor}" class="t strong">{words}</text>'
    )


def _round_up(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten, or a quarter between."""
    power = 10.0 ** (len(str(int(value))) - 1)
    for step in (1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10):
        if value <= step * power:
            return step * power
    return value
