"""The rows as one picture: inline SVG, readable on a telephone, each bar with its number and its target marked.

A bar is a ratio to P, on a scale in which each step to the right is ten times more, because a ledger in process and a
whole transfer lie a hundredfold apart. Colour never stands alone: a missed target says so in words.
"""

from html import escape
from math import log10
from typing import Any

WIDTH, LEFT, RIGHT, TOP, ROW = 480, 8, 8, 72, 58
FROM, TO = 0.05, 20.0
TICKS = (0.1, 1.0, 10.0)
STYLE = (
    "<style>"
    "svg{--paper:#FBF8F2;--ink:#1B1F2A;--rule:#D9D2C3;--own:#0A6B43;--other:#5B6070}"
    "@media(prefers-color-scheme:dark)"
    "{svg{--paper:#14161C;--ink:#ECE7DC;--rule:#343844;--own:#5CCB95;--other:#A9AEBD}}"
    "text{font:14px system-ui,sans-serif;fill:var(--ink)}.h{font-size:16px;font-weight:600}"
    ".o{fill:var(--other)}.own{fill:var(--own)}.mark{stroke:var(--ink);stroke-width:2}"
    ".rule{stroke:var(--rule);stroke-width:1}"
    "</style>"
)


def picture(rows: list[dict[str, Any]]) -> str:
    """Every row that is a ratio to P; S1 compares with itself and M1 is no rate, so they stand in the table alone."""
    shown = [row for row in rows if row["target"]["most"] is None and row["id"] != "S1"]
    height = TOP + ROW * len(shown) + 12
    told = "; ".join(f"{row['id']}: {row['ratio']:.2f} times P" for row in shown)
    named = f'role="img" aria-label="{escape(told)}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {named}>',
        STYLE,
        f'<rect width="{WIDTH}" height="{height}" fill="var(--paper)"/>',
        f'<text x="{LEFT}" y="24" class="h">Work per second, in multiples of P</text>',
        f'<text x="{LEFT}" y="44" class="o">P: pgbench, same server, same run; | is the target</text>',
    ]
    for tick in TICKS:
        x = _x(tick)
        parts.append(f'<line x1="{x:.0f}" y1="66" x2="{x:.0f}" y2="{height - 8}" class="rule"/>')
        parts.append(f'<text x="{x:.0f}" y="62" text-anchor="middle" class="o">{tick:g}</text>')
    for place, row in enumerate(shown):
        parts += _bar(TOP + place * ROW, row)
    return "".join([*parts, "</svg>"]) + "\n"


def _bar(y: int, row: dict[str, Any]) -> list[str]:
    end, target = _x(row["ratio"]), row["target"]["ratio"]
    words = f"{row['id']}: {row['name']}"
    value = f"{row['ratio']:.2f} P" + ("" if row["met"] else f", below {target:g}" if target else ", too slow")
    parts = [
        f'<text x="{LEFT}" y="{y + 18}">{escape(words)}</text>',
        f'<rect x="{LEFT}" y="{y + 26}" width="{max(2.0, end - LEFT):.0f}" height="14" rx="3" class="own"/>',
    ]
    if target:
        x = _x(target)
        parts.append(f'<line x1="{x:.0f}" y1="{y + 22}" x2="{x:.0f}" y2="{y + 44}" class="mark"/>')
    clear = max(end, _x(target) + 2) if target else end  # of the bar and of its target's mark
    beside = clear + 6 if clear < WIDTH - 150 else LEFT + 6
    inside = ' style="fill:var(--paper)"' if beside == LEFT + 6 else ""
    parts.append(f'<text x="{beside:.0f}" y="{y + 38}"{inside}>{escape(value)}</text>')
    return parts


def _x(ratio: float) -> float:
    share = log10(min(TO, max(FROM, ratio)) / FROM) / log10(TO / FROM)
    return LEFT + (WIDTH - LEFT - RIGHT) * share
