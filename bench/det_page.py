"""Writes the figures of one run into `docs/explanation/detection.md`, and the picture beside it.

The page's words are written by hand; what stands between its two marks is made here from a result, so that no figure
on the page was ever typed. Faults are said in words; a cell is median / 95th percentile in seconds, and `-` is a miss.
"""

from collections.abc import Sequence
from pathlib import Path

from bench.det_baselines import BASELINES
from bench.det_bound import Bound, bounds
from bench.det_faults import CLASSIC, HARMLESS, KINDS, UNFITTED, Kind
from bench.det_picture import picture
from bench.det_result import HAKIKA, Result, delay, named_right
from bench.det_table import cell, number, share
from bench.det_targets import targets

BEGIN, END = "<!-- figures: made by make bench ONLY=DET -->", "<!-- end of figures -->"
PICTURE = "docs/pictures/detection-delay.svg"
PAGE = "docs/explanation/detection.md"
WEAK_SHARE = 0.20  # of the fault whose limit is shown


def write_page(result: Result, root: Path) -> None:
    """Put the figures and the picture where the page expects them."""
    drawn = root / PICTURE
    drawn.parent.mkdir(parents=True, exist_ok=True)
    drawn.write_text(picture(result))
    page = root / PAGE
    platforms = sorted(set(result.platforms))
    best = [bounds(WEAK_SHARE, platforms, tests=tests) for tests in (False, True)]
    page.write_text(replaced(page.read_text(), fragment(result, best)))


def replaced(page: str, figures: str) -> str:
    """The page with what stood between its marks replaced."""
    before, mark, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"{PAGE} has lost its marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{figures}\n{END}{after}"


def fragment(result: Result, best: Sequence[Sequence[Bound]]) -> str:
    """All figures of a run as Markdown; `best` is what can be reached at all, by transfers alone and with tests."""
    parts = [_run(result), "### Targets", _targets(result), "### The limit for 20 % failures", _limit(result, best)]
    for family, title in ((CLASSIC, "Faults of the usual list"), (UNFITTED, "Faults that nothing was fitted on")):
        parts += [f"### {title}", _delays(result, [kind for kind in KINDS if kind.family == family])]
    parts += ["### False public incidents", _quiet(result), "### Harmless events", _harmless(result)]
    return "\n\n".join(parts) + "\n"


def _run(result: Result) -> str:
    seeds = ", ".join(str(seed) for seed in sorted(set(result.platforms)))
    left_out = f" {result.unaffected} trials had no affected transfer and are left out." if result.unaffected else ""
    what = f"{len(result.trials):,} faults, {len(result.harmless):,} harmless events, {result.months:g} quiet months"
    short = "" if result.full else " **A short run: the intervals are wide, and a percentile rests on few trials.**"
    return f"{what}, on platforms {seeds}; {result.took_s / 60:.0f} min.{left_out}{short}"


def _targets(result: Result) -> str:
    rows = [
        (
            line.words,
            f"{line.limit:g}",
            line.said,
            "far better" if line.far_met else "met" if line.met else "**missed**",
        )
        for line in targets(result)
    ]
    return _table(("Target", "At most", "Measured", ""), rows)


def _limit(result: Result, best: Sequence[Sequence[Bound]]) -> str:
    rows = []
    for alone, with_tests in zip(*best, strict=True):
        trials = result.cell("fail-20", alone.stratum)
        mine = cell(delay(trials, HAKIKA)) if trials else ""
        limits = (f"{number(one.median_s)}/{number(one.p95_s)}" for one in (alone, with_tests))
        rows.append((_escaped(alone.stratum), *limits, mine))
    return _table(("tx/min", "transfers alone", "transfers and tests", HAKIKA), rows)


def _delays(result: Result, kinds: list[Kind]) -> str:
    rows = []
    for kind in kinds:
        for stratum in kind.strata:
            trials = result.cell(kind.name, stratum)
            if not trials:
                continue
            others = [number(delay(trials, rule.name).median_s) for rule in BASELINES]
            named = share(named_right(trials))
            wider = share(named_right(trials, wider=True))
            rows.append((kind.words, _escaped(stratum), cell(delay(trials, HAKIKA)), named, wider, *others))
    return _table(("Fault", "tx/min", HAKIKA, "named exactly", "or wider", *(rule.name for rule in BASELINES)), rows)


def _quiet(result: Result) -> str:
    rows = []
    for judge in (HAKIKA, *(rule.name for rule in BASELINES)):
        count, a_month, (low, high) = result.false_rate(judge)
        rows.append((judge, str(count), f"{a_month:.2f}", f"{low:.2f} to {high:.2f}"))
    return _table(("", f"in {result.months:g} months", "a month", "95 % interval"), rows)


def _harmless(result: Result) -> str:
    rows = []
    for kind in KINDS:
        found = [one for one in result.harmless if one.kind == kind.name]
        if kind.family == HARMLESS and found:
            judges = (HAKIKA, *(rule.name for rule in BASELINES))
            rows.append(
                (kind.words, str(len(found)), *(str(sum(one.opened[judge] for one in found)) for judge in judges))
            )
    return _table(("Event", "trials", f"opened by {HAKIKA}", *(rule.name for rule in BASELINES)), rows)


def _escaped(words: str) -> str:
    return words.replace("<", "under ").replace(">=", "from ")


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines: list[tuple[str, ...]] = [heads, ("---",) * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
