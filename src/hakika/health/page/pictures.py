"""The page's pictures as inline SVG: a bar a day for 90 days, and an incident as a band over the share that failed.

Colour never stands alone: a worse day is a taller bar, a day that nobody measured is broken in two, and the band
has its word on the picture. Bars of one state are one path, so that ten components of 90 days weigh little. Each
picture has a title and a description for those who hear the page; the figures are in a table beside it. The
incident is drawn twice, wide and narrow, because a wide one shrunk to a telephone has letters that nobody can read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import groupby

from markupsafe import Markup, escape

from hakika.health.page.catalogue import Counted
from hakika.health.page.headline import SEVERITY, worst
from hakika.health.page.model import HISTORY_DAYS, Component, Day, Incident, SharePoint, State
from hakika.health.page.uptime import added_up
from hakika.health.page.words import Voice, fill

BAR_STEP = 4
BARS_HIGH = 28
# Where the middle of a state's bars lies; how tall they are is in the stylesheet. Not known is two short strokes,
# which no other state is. Days in a row are one dashed line: three units of every four are drawn.
MIDDLES = {
    State.AVAILABLE: (23,),
    State.MAINTENANCE: (20,),
    State.DEGRADED: (18,),
    State.UNAVAILABLE: (14,),
    State.UNKNOWN: (26, 18),
}
POINTS_MAX = 120
ROWS_MAX = 24
WIDE = (640, 200)
NARROW = (300, 180)


@dataclass(frozen=True, slots=True)
class DayShown:
    """One day of 90; `told` is None where nothing is known of it."""

    day: date
    state: State
    told: Day | None


def ninety_days(component: Component, today: date) -> list[DayShown]:
    """The last 90 days, oldest first; days that the model leaves out are not known."""
    known = {day.day: day for day in component.history}
    days = [today - timedelta(days=back) for back in range(HISTORY_DAYS - 1, -1, -1)]
    shown = [DayShown(day, told.worst if (told := known.get(day)) else State.UNKNOWN, told) for day in days]
    # Today is at least as bad as it is now, so that no bar contradicts the state above it.
    shown[-1] = replace(
        shown[-1], state=worst([shown[-1].state, component.state]) if shown[-1].told else component.state
    )
    return shown


def day_bars(component: Component, voice: Voice, number: int) -> Markup:
    """Ninety bars, a path for each state."""
    days = ninety_days(component, voice.today())
    paths = "".join(_bars_of(state, [day.state for day in days]) for state in SEVERITY)
    title = fill(voice.words.labels.bars, component=voice.component(component))
    return Markup(  # noqa: S704 - every text in it is escaped
        f'<svg class="days" viewBox="0 0 {BAR_STEP * HISTORY_DAYS} {BARS_HIGH}" preserveAspectRatio="none" role="img"'
        f' aria-labelledby="t{number} d{number}"><title id="t{number}">{escape(title)}</title>'
        f'<desc id="d{number}">{escape(days_told(days, voice))}</desc>{paths}</svg>'
    )


def days_told(days: Sequence[DayShown], voice: Voice) -> str:
    """`Not working: 1 day. Works: 89 days. Worst day: Monday 27 July, 61 minutes down.`"""
    words = voice.words
    told = []
    for state in SEVERITY:
        count = sum(1 for day in days if day.state is state)
        if count:
            days_counted = voice.counted(Counted.DAYS, count)
            told.append(fill(words.forms.named, name=words.states[state].word, value=days_counted))
    down = [day.told for day in days if day.told is not None and day.told.down]
    if down:
        longest = max(down, key=lambda day: day.down)
        minutes = voice.counted(Counted.MINUTES, longest.down)
        told.append(fill(words.labels.worst_day, day=voice.day(longest.day), minutes=minutes))
    return " ".join(told)


def sample_bar(state: State) -> Markup:
    """One bar as the key shows it."""
    bar = _bars_of(state, [state])
    return Markup(f'<svg class="key" viewBox="0 0 4 {BARS_HIGH}" aria-hidden="true">{bar}</svg>')  # noqa: S704 - no text


def uptime_told(component: Component, voice: Voice) -> str:
    """`Uptime 99.98 %` of the 90 days."""
    shown = [day.told for day in ninety_days(component, voice.today()) if day.told is not None]
    percent = added_up(shown).percent
    labels = voice.words.labels
    return fill(labels.uptime_unknown) if percent is None else fill(labels.uptime, percent=voice.percent(percent))


def thinned(points: Sequence[SharePoint], most: int) -> list[SharePoint]:
    """At most `most` points, each the worst of its neighbours: a peak is never thinned away."""
    step = -(-len(points) // most) if points else 1
    found = []
    for start in range(0, len(points), step):
        group = points[start : start + step]
        shares = [point.failed for point in group if point.failed is not None]
        found.append(SharePoint(group[0].at_ms, max(shares, default=None)))
    return found


@dataclass(frozen=True, slots=True)
class _Canvas:
    """Where instants and shares lie, in user units."""

    width: int
    height: int
    from_ms: int
    to_ms: int
    top: int = 40
    bottom: int = 24

    def x(self, at_ms: int) -> str:
        """Across, bounded to the picture."""
        inside = min(max(at_ms, self.from_ms), self.to_ms)
        return f"{1 + (self.width - 2) * (inside - self.from_ms) / max(1, self.to_ms - self.from_ms):.4g}"

    def y(self, share: float) -> str:
        """Up: 1 is the top."""
        return f"{self.height - self.bottom - (self.height - self.top - self.bottom) * min(1.0, share):.4g}"


def failed_share(incident: Incident, voice: Voice) -> Markup | None:
    """The share of failed transfers with the incident as a shaded band, wide and narrow; None without a series."""
    points = [point for point in incident.failed_share if point.at_ms <= voice.model.as_of_ms]
    if not any(point.failed is not None for point in points):
        return None
    sizes = (("wide", WIDE, 1), ("narrow", NARROW, 2))
    return Markup("").join(_drawn(incident, points, voice, *size) for size in sizes)


def share_told(points: Sequence[SharePoint], voice: Voice) -> str:
    """What the picture shows, in a sentence."""
    at, peak = _peak(points)
    return fill(
        voice.words.labels.share_told,
        start=voice.time(points[0].at_ms),
        end=voice.time(points[-1].at_ms),
        peak=voice.share(peak),
        at=voice.time(at),
    )


def _bars_of(state: State, days: Sequence[State]) -> str:
    """The bars of one state as one path, or nothing when no day has it."""
    lines = []
    place = 0
    for its, run in groupby(days):
        count = len(list(run))
        if its is state:
            lines += [f"M{BAR_STEP * place} {middle}h{BAR_STEP * count}" for middle in MIDDLES[state]]
        place += count
    return f'<path class="d-{state.value}" d="{"".join(lines)}"/>' if lines else ""


def _peak(points: Sequence[SharePoint]) -> tuple[int, float]:
    """The first instant of the greatest share, and that share."""
    share = max(point.failed for point in points if point.failed is not None)
    return next(point.at_ms for point in points if point.failed == share), share


def _drawn(
    incident: Incident, points: Sequence[SharePoint], voice: Voice, name: str, size: tuple[int, int], number: int
) -> Markup:
    end_ms = voice.model.as_of_ms if incident.closed_ms is None else incident.closed_ms
    canvas = _Canvas(*size, points[0].at_ms, max(points[-1].at_ms, points[0].at_ms + 60_000))
    labels = voice.words.labels
    at, peak = _peak(points)
    left, right = float(canvas.x(incident.started_ms)), float(canvas.x(end_ms))
    floor, top = canvas.y(0), canvas.y(1)
    side = "end" if float(canvas.x(at)) > canvas.width / 2 else "start"
    away = -6 if side == "end" else 6
    return Markup(  # noqa: S704 - every text in it is escaped
        f'<svg class="share {name}" viewBox="0 0 {canvas.width} {canvas.height}" role="img"'
        f' aria-labelledby="st{number} sd{number}"><title id="st{number}">{escape(labels.share_title)}</title>'
        f'<desc id="sd{number}">{escape(share_told(points, voice))}</desc>'
        f'<rect class="band" x="{left:.4g}" y="24" width="{max(2.0, right - left):.4g}"'
        f' height="{float(floor) - 24:.4g}"/>'
        f'<text x="{min(left + 4, canvas.width - 90):.4g}" y="18">{escape(labels.share_band)}</text>'
        f'<path class="area" d="{_area(points, canvas)}"/><path class="line" d="{_line(points, canvas)}"/>'
        f'<path class="axis" d="M1 {floor}H{canvas.width - 1}M1 {top}H{canvas.width - 1}"/>'
        f'<text x="{canvas.width - 1}" y="{float(top) - 4:.4g}" text-anchor="end">{escape(voice.share(1))}</text>'
        f'<text x="{float(canvas.x(at)) + away:.4g}" y="{float(canvas.y(peak)) + (20 if peak > 0.5 else -8):.4g}"'
        f' text-anchor="{side}"><tspan class="b">{escape(voice.share(peak))}</tspan></text>'
        f'<text x="1" y="{canvas.height - 6}">{escape(voice.brief(points[0].at_ms))}</text>'
        f'<text x="{canvas.width - 1}" y="{canvas.height - 6}" text-anchor="end">'
        f"{escape(voice.brief(points[-1].at_ms))}</text></svg>"
    )


def _pieces(points: Sequence[SharePoint]) -> list[list[tuple[int, float]]]:
    """Stretches without a gap: where nothing was measured nothing is drawn."""
    pieces: list[list[tuple[int, float]]] = [[]]
    for point in thinned(points, POINTS_MAX):
        if point.failed is None:
            pieces.append([])
        else:
            pieces[-1].append((point.at_ms, point.failed))
    return [piece for piece in pieces if piece]


def _line(points: Sequence[SharePoint], canvas: _Canvas) -> str:
    return "".join(
        "M" + "L".join(f"{canvas.x(at)} {canvas.y(share)}" for at, share in piece) for piece in _pieces(points)
    )


def _area(points: Sequence[SharePoint], canvas: _Canvas) -> str:
    floor = canvas.y(0)
    return "".join(
        f"M{canvas.x(piece[0][0])} {floor}L"
        + "L".join(f"{canvas.x(at)} {canvas.y(share)}" for at, share in piece)
        + f"L{canvas.x(piece[-1][0])} {floor}z"
        for piece in _pieces(points)
    )
