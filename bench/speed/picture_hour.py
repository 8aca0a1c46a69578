"""The course of H1 or KILL as one picture: transfers a second over time, memory under it, kills as marks.

Each point is the mean of an equal share of the run, so that an hour fits on a telephone; the scales begin at zero.
"""

from collections.abc import Sequence
from html import escape
from itertools import pairwise
from typing import Any

from bench.speed.picture import STYLE

WIDTH, LEFT, RIGHT = 480, 56, 12
RATE_TOP, RATE_HEIGHT = 64, 150
MEMORY_TOP, MEMORY_HEIGHT = 276, 70
HEIGHT = 384
POINTS = 120
MIB = 1024 * 1024
LINE = 'fill="none" stroke="var(--own)" stroke-width="2" stroke-linejoin="round"'


def course(curve: dict[str, Any], name: str) -> str:
    """The picture of what `hour._keep_curve` has kept."""
    seconds = max(1, len(curve["by_second"]))
    rates = shares(curve["by_second"], POINTS)
    memory = [one / MIB for one in shares(curve["memory_bytes"], POINTS)]
    killed = [at_s for at_s, _ in curve["killed"]]
    told = f"{name}: {rates[0]:,.0f} transfers a second at the beginning, {rates[-1]:,.0f} at the end"
    told += f"; memory {memory[0]:,.0f} to {memory[-1]:,.0f} MB" + (f"; {len(killed)} kills" if killed else "")
    named = f'role="img" aria-label="{escape(told)}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {named}>',
        STYLE,
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="var(--paper)"/>',
        f'<text x="8" y="24" class="h">{escape(name)}</text>',
        '<text x="8" y="46" class="o">Transfers a second' + (", kills marked above" if killed else "") + "</text>",
        *_panel(rates, RATE_TOP, RATE_HEIGHT),
        *(_mark(at_s / seconds) for at_s in killed),
        f'<text x="8" y="{MEMORY_TOP - 16}" class="o">Memory of core and gateway, MB</text>',
        *_panel(memory, MEMORY_TOP, MEMORY_HEIGHT),
    ]
    for part in range(7):
        x, minutes = LEFT + (WIDTH - LEFT - RIGHT) * part / 6, seconds * part / 360
        label = f"{minutes:g}" if part < 6 else f"{minutes:g} min"
        anchor = "end" if part == 6 else "middle"
        parts.append(f'<text x="{x:.0f}" y="{HEIGHT - 14}" text-anchor="{anchor}" class="o">{label}</text>')
    return "".join([*parts, "</svg>"]) + "\n"


def shares(values: Sequence[float], most: int) -> list[float]:
    """At most so many means, each of an equal part of the values in their order."""
    count = min(most, len(values))
    edges = [round(len(values) * number / count) for number in range(count + 1)] if count else []
    return [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)] or [0.0]


def _panel(values: Sequence[float], top: int, height: int) -> list[str]:
    highest = _round_up(max(values))
    width = WIDTH - LEFT - RIGHT
    points = [
        f"{LEFT + width * (number + 0.5) / len(values):.1f},{top + height * (1 - value / highest):.1f}"
        for number, value in enumerate(values)
    ]
    parts = [f'<polyline points="{" ".join(points)}" {LINE}/>']
    for share in (0.0, 0.5, 1.0):
        y = top + height * (1 - share)
        parts.insert(0, f'<line x1="{LEFT}" y1="{y:.0f}" x2="{WIDTH - RIGHT}" y2="{y:.0f}" class="rule"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 5:.0f}" text-anchor="end" class="o">{highest * share:,.0f}</text>')
    return parts


def _mark(share: float) -> str:
    x = LEFT + (WIDTH - LEFT - RIGHT) * share
    return f'<line x1="{x:.1f}" y1="{RATE_TOP - 10}" x2="{x:.1f}" y2="{RATE_TOP - 2}" class="mark"/>'


def _round_up(value: float) -> float:
    """The next of 2, 4, 6, 8 or 10 times a power of ten."""
    power = 1.0
    while power * 10 < value:
        power *= 10
    return next((step * power for step in (2, 4, 6, 8) if step * power >= value), power * 10)
