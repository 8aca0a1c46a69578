"""Hands out the work of an evaluation to processes, a platform each, and shows and keeps what they found."""

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console

from bench.det_faults import KINDS
from bench.det_learn import ROOT, judged_code
from bench.det_page import write_page
from bench.det_result import Result, read, write
from bench.det_run import Order, run
from bench.det_seeds import EVALUATION_PLATFORMS, EVALUATION_TRIALS, TUNING_PLATFORMS, TUNING_TRIALS
from bench.det_table import show
from hakika import clock

SHORT_PLATFORMS, SHORT_MONTHS, SHORT_TRIALS = 2, 1, 6
FULL_MONTHS, FULL_TRIALS = 10, 60  # months of each platform; trials of each fault and volume over all platforms
RESULTS = ROOT / "var" / "bench"


def evaluate(asked: argparse.Namespace, console: Console) -> int:
    """Run what is asked for, show it, keep it; 2 for a kind of fault that does not exist."""
    if asked.show:
        earlier = read(Path(asked.show))
        show(earlier, console)
        if asked.page:
            write_page(earlier, ROOT)
        return 0
    unknown = sorted(set(asked.kind) - {kind.name for kind in KINDS})
    if unknown:
        console.print(f"No such kind of fault: {', '.join(unknown)}. There are: {', '.join(k.name for k in KINDS)}")
        return 2
    result = _run(list(_orders(asked)), asked.processes, console)
    result.full = asked.full and not asked.tuning and not asked.kind
    name = "det-tuning.json" if asked.tuning else "det.json" if not asked.kind else "det-some.json"
    write(result, RESULTS / name)
    show(result, console)
    console.print(f"Kept in {(RESULTS / name).relative_to(ROOT)}; {result.took_s / 60:.0f} min.")
    if result.full or asked.page:
        write_page(result, ROOT)
        console.print("Figures and picture written into docs/explanation/detection.md.")
    if not result.full:
        console.print("This was a short run: its intervals are wide. `--full` is the evaluation.", style="yellow")
    return 0


def _orders(asked: argparse.Namespace) -> Iterator[Order]:
    """Trials are dealt to the platforms in turn."""
    seeds = TUNING_PLATFORMS if asked.tuning else EVALUATION_PLATFORMS
    count = asked.platforms or (len(seeds) if asked.full else SHORT_PLATFORMS)
    months = FULL_MONTHS if asked.full else SHORT_MONTHS
    trials = asked.trials if asked.trials is not None else FULL_TRIALS if asked.full else SHORT_TRIALS
    for place, seed in enumerate(seeds[:count]):
        yield Order(
            seed,
            max(1, months if asked.months is None else asked.months),  # trials need a judge who was at work
            tuple(range(place, trials, count)),
            TUNING_TRIALS if asked.tuning else EVALUATION_TRIALS,
            tuple(asked.kind),
        )


def _run(orders: list[Order], processes: int, console: Console) -> Result:
    """All platforms, so many side by side."""
    began_s = clock.monotonic_s()
    console.print(f"{len(orders)} platforms of 20 corridors, {processes} at a time ...")
    total = Result(judged=judged_code())
    with ProcessPoolExecutor(processes) as pool:
        for done in as_completed([pool.submit(run, order) for order in orders]):
            result = done.result()
            total.join(result)
            found = sum(one.false["Hakika"] for one in result.quiet)
            months = sum(one.months for one in result.quiet)
            console.print(
                f"platform {result.platforms[0]}: {len(result.trials)} faults, {months:g} months with {found} false"
                f" incidents, {result.took_s:.0f} s"
            )
    total.took_s = clock.monotonic_s() - began_s
    return total
