"""The delay of detection as one picture: inline SVG, readable on a telephone, numbers on the picture.

For each fault a bar from the median to the 95th percentile, on a scale in which each step to the right is ten times
longer, and beneath it the fastest of the other rules by its median. Colour never stands alone: Hakika's is a full bar
with a round head, the others' a hollow square, and each has its name or number beside it.
"""

from html import escape
from math import inf, log10

from bench.det_baselines import BASELINES
from bench.det_result import HAKIKA, Delay, Result, delay

WIDTH, LEFT, RIGHT, TOP, ROW = 480, 8, 8, 84, 74
FROM_S, TO_S = 5.0, 3600.0
TICKS = ((10, "10 s"), (60, "1 min"), (600, "10 min"), (3600, "1 h"))
FOOT_ROW = 22
LETTER = 7.6  # mean width of a letter at 14 px, to see whether words still fit
ROWS = (
    ("fail-95", ">=60", "95 % fail, busy corridor"),
    ("fail-50", ">=60", "half fail, busy corridor"),
    ("fail-20", ">=60", "one in five fails, busy corridor"),
    ("fail-50", "<6", "half fail, fewer than 6 a minute"),
    ("ramp", ">=60", "grows to 30 % in 20 minutes"),
    ("silent", ">=60", "nothing arrives any more"),
    ("stuck", ">=60", "answers lost, nothing fails"),
    ("core", "all", "core gone, every corridor"),
    ("product", "all", "one product of every corridor"),
    ("slow-database", "all", "slow database, nothing fails"),
    ("as-own-errors", ">=60", "hidden as customers' errors"),
    ("telemetry-lost", ">=60", "95 % fail and no counts arrive"),
)
STYLE = (
    "<style>"
    "svg{--paper:#FBF8F2;--ink:#1B1F2A;--rule:#D9D2C3;--own:#0A6B43;--other:#5B6070}"
    "@media(prefers-color-scheme:dark)"
    "{svg{--paper:#14161C;--ink:#ECE7DC;--rule:#343844;--own:#5CCB95;--other:#A9AEBD}}"
    "text{font:14px system-ui,sans-serif;fill:var(--ink)}.h{font-size:16px;font-weight:600}.b{font-weight:600}"
    ".o{fill:var(--other)}.own{fill:var(--own)}.mark{fill:none;stroke:var(--other);stroke-width:2}"
    ".rule{stroke:var(--rule);stroke-width:1}"
    "</style>"
)


def picture(result: Result) -> str:
    """The picture of one run; faults without trials are left out."""
    rows = [(words, result.cell(kind, stratum)) for kind, stratum, words in ROWS]
    rows = [(words, trials) for words, trials in rows if trials]
    foot = _false_alarms(result)
    bottom = TOP + ROW * len(rows)
    height = bottom + FOOT_ROW * (len(foot) + 1) + 8
    told, parts = [], []
    for place, (words, trials) in enumerate(rows):
        mine = delay(trials, HAKIKA)
        other = min(((delay(trials, rule.name).median_s, rule.name) for rule in BASELINES), default=(inf, ""))
        parts.append(_row(TOP + place * ROW, words, mine, other))
        told.append(f"{words}: {_said(mine)}; {_other_said(other)}")
    for place, words in enumerate(foot):
        style = ' class="b"' if place == 0 else ""
        parts.append(f'<text x="{LEFT}" y="{bottom + FOOT_ROW * (place + 1)}"{style}>{escape(words)}</text>')
    told += foot
    title = "How long until an outage is known"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' height="{height}" aria-labelledby="dt dd"><title id="dt">{title}</title>'
        f'<desc id="dd">Seconds from the first affected transfer. {escape(". ".join(told))}.</desc>{STYLE}'
        f'<rect width="{WIDTH}" height="{height}" fill="var(--paper)"/>'
        f'<text x="{LEFT}" y="22" class="h">{title}</text>'
        f'<text x="{LEFT}" y="44">after the first affected transfer: half of them, then 95 of 100</text>'
    )
    return "".join([head, _axis(bottom), *parts, "</svg>\n"])


def x_of(value_s: float) -> float:
    """Across, on the logarithmic scale; a miss is at the right edge."""
    bounded = min(max(value_s, FROM_S), TO_S)
    return LEFT + (WIDTH - LEFT - RIGHT) * log10(bounded / FROM_S) / log10(TO_S / FROM_S)


def duration(value_s: float) -> str:
    """`35 s`, `4 min`, `missed`."""
    if value_s == inf:
        return "missed"
    return f"{value_s:.0f} s" if value_s < 120 else f"{value_s / 60:.0f} min"


def _axis(bottom: int) -> str:
    lines = []
    for value, words in TICKS:
        x = x_of(value)
        anchor = "end" if value == TO_S else "middle"
        lines.append(f'<line x1="{x:.1f}" y1="70" x2="{x:.1f}" y2="{bottom - 6}" class="rule"/>')
        lines.append(f'<text x="{x:.1f}" y="65" text-anchor="{anchor}" class="o">{words}</text>')
    return "".join(lines)


def _false_alarms(result: Result) -> list[str]:
    """How often each rule opens an incident in a quiet month, two rules a line; nothing where no month was judged."""
    if not result.quiet:
        return []
    rates = [f"{rule.name} {result.false_rate(rule.name)[1]:.1f}" for rule in BASELINES]
    lines = [f"False alarms in a quiet month: {HAKIKA} {result.false_rate(HAKIKA)[1]:.1f}"]
    return lines + ["; ".join(rates[place : place + 2]) for place in range(0, len(rates), 2)]


def _row(y: float, words: str, mine: Delay, other: tuple[float, str]) -> str:
    since, until = x_of(mine.median_s), x_of(mine.p95_s)
    parts = [f'<text x="{LEFT}" y="{y + 16}">{escape(words)}</text>']
    parts.append(
        f'<rect x="{since:.1f}" y="{y + 25}" width="{max(1.0, until - since):.1f}" height="10" class="own"/>'
        f'<circle cx="{since:.1f}" cy="{y + 30}" r="7" class="own"/>'
    )
    parts.append(_beside(y + 35, since - 12, until + 10, _said(mine), "b"))
    where = x_of(other[0])
    if other[0] != inf:
        parts.append(f'<rect x="{where - 4:.1f}" y="{y + 47}" width="8" height="8" class="mark"/>')
        parts.append(_beside(y + 56, where - 12, where + 10, _other_said(other), "o"))
    else:
        parts.append(f'<text x="{WIDTH - RIGHT}" y="{y + 56}" text-anchor="end" class="o">{_other_said(other)}</text>')
    return "".join(parts)


def _beside(y: float, left: float, right: float, words: str, style: str) -> str:
    """Words to the right of a mark, or to its left where there is no room."""
    if right + len(words) * LETTER < WIDTH - RIGHT:
        return f'<text x="{right:.1f}" y="{y}" class="{style}">{escape(words)}</text>'
    return f'<text x="{left:.1f}" y="{y}" text-anchor="end" class="{style}">{escape(words)}</text>'


def _said(mine: Delay) -> str:
    return f"{duration(mine.median_s)}, {duration(mine.p95_s)}"


def _other_said(other: tuple[float, str]) -> str:
    return "every other rule misses it" if other[0] == inf else f"{other[1]}: {duration(other[0])}"
