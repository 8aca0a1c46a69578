"""The evaluation of detection on the terminal: one table of delays, the false incidents under it, then the targets.

A cell is median / 95th percentile in seconds; `-` is a miss, and the share of misses follows where there are any. The
other rules show their median. Readable without colour and at 80 columns.
"""

from math import inf
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.det_baselines import BASELINES
from bench.det_faults import HARMLESS, KINDS
from bench.det_result import HAKIKA, Delay, Result, delay, named_right
from bench.det_targets import Target, targets

LOOK: dict[str, Any] = {"box": box.SIMPLE_HEAD, "pad_edge": False, "padding": (0, 1, 0, 0), "title_justify": "left"}
SHORT = {
    "burn rate 14.4x, 6x": "burn",
    "5 min above 10 %": "10 %",
    "5 min, fitted": "fit",
    "five in a row": "row",
    "Uptime Kuma": "kuma",
    "reports alone": "rep.",
}


def show(result: Result, console: Console) -> None:
    """Print everything."""
    if result.trials:
        console.print(_delays(result))
    console.print(f"Other rules: {', '.join(f'{short} = {name}' for name, short in SHORT.items())}.", style="dim")
    if result.unaffected:
        console.print(f"{result.unaffected} trials had no affected transfer within the horizon and are left out.")
    if result.quiet:
        console.print(_quiet(result))
    if result.harmless:
        console.print(_harmless(result))
    console.print(_targets(targets(result)))


def cell(found: Delay) -> str:
    """`20/50`, `90/- 5 %`."""
    both = f"{number(found.median_s)}/{number(found.p95_s)}"
    return f"{both} {found.missed * 100:.0f}%" if found.missed else both


def number(value: float) -> str:
    """Whole seconds, or `-` for a miss."""
    return "-" if value == inf else f"{value:.0f}"


def share(value: float | None) -> str:
    """A share as a percentage."""
    return "" if value is None else f"{value * 100:.0f}%"


def _delays(result: Result) -> Table:
    table = Table(title="Delay from the first affected transfer, seconds: median/p95, misses", **LOOK)
    table.add_column("fault", no_wrap=True)
    table.add_column("tx/min", no_wrap=True)
    table.add_column(HAKIKA, justify="right", style="green", no_wrap=True)
    table.add_column("named", justify="right")
    for baseline in BASELINES:
        table.add_column(SHORT[baseline.name], justify="right")
    for kind in KINDS:
        if kind.family == HARMLESS:
            continue
        name = kind.name
        for stratum in kind.strata:
            trials = result.cell(kind.name, stratum)
            if not trials:
                continue
            others = [number(delay(trials, baseline.name).median_s) for baseline in BASELINES]
            mine = delay(trials, HAKIKA)
            right = share(named_right(trials))
            table.add_row(name, stratum, cell(mine), right, *others)
            name = ""
    return table


def _quiet(result: Result) -> Table:
    table = Table(title=f"False public incidents in {result.months:g} months of 20 corridors", **LOOK)
    for head in ("", "count", "a month", "95 % interval"):
        table.add_column(head, justify="right" if head else "left")
    for judge in (HAKIKA, *(baseline.name for baseline in BASELINES)):
        count, a_month, (low, high) = result.false_rate(judge)
        style = "green" if judge == HAKIKA else ""
        table.add_row(judge, str(count), f"{a_month:.2f}", f"{low:.2f} to {high:.2f}", style=style)
    return table


def _harmless(result: Result) -> Table:
    table = Table(title="Opened although nothing was broken, of so many trials", **LOOK)
    table.add_column("harmless event")
    table.add_column("of", justify="right")
    table.add_column(HAKIKA, justify="right", style="green")
    for baseline in BASELINES:
        table.add_column(SHORT[baseline.name], justify="right")
    for kind in KINDS:
        found = [one for one in result.harmless if one.kind == kind.name]
        if found:
            judges = (HAKIKA, *(baseline.name for baseline in BASELINES))
            opened = [str(sum(one.opened[judge] for one in found)) for judge in judges]
            table.add_row(kind.words, str(len(found)), *opened)
    return table


def _targets(lines: list[Target]) -> Table:
    table = Table(title="Targets", **LOOK)
    for head in ("target", "at most", "measured", ""):
        table.add_column(head)
    for line in lines:
        verdict = "met, far better too" if line.far_met else "met" if line.met else "missed"
        style = "green" if line.met else "red"
        table.add_row(line.words, f"{line.limit:g}", line.said, Text(verdict, style=style))
    return table
