"""`make bench ONLY=DET`: how fast outages are detected, how often falsely, and how others do on the same data.

The short run, which is the default, takes some minutes and says that it is short; `--full` judges 100 platform-months
and sixty trials of each fault and volume, and writes the figures into the documentation. `--tuning` runs the same on
the tuning seeds, the only ones that anybody may look at while changing a detector. Results stay in `var/bench/`.
"""

import argparse
import importlib

from rich.console import Console

from bench import det_compiled


def main(arguments: list[str]) -> int:
    """Run, show, keep; an exit code."""
    asked = parser().parse_args(arguments)
    console = Console()
    if not asked.plain:
        console.print(f"Judging with {det_compiled.use()}.", style="dim")
    # Only now: importing the evaluation imports the judging code, compiled or plain.
    code: int = importlib.import_module("bench.det_evaluate").evaluate(asked, console)
    return code


def parser() -> argparse.ArgumentParser:
    """The arguments of the benchmark."""
    made = argparse.ArgumentParser(prog="make bench ONLY=DET", description="Evaluate the detection of outages.")
    made.add_argument("--full", action="store_true", help="100 platform-months; writes the documentation's figures")
    made.add_argument("--tuning", action="store_true", help="on the tuning seeds")
    made.add_argument("--platforms", type=int, help="how many platforms")
    made.add_argument("--months", type=int, help="quiet months of each platform")
    made.add_argument("--trials", type=int, help="trials of each fault and volume, over all platforms")
    made.add_argument("--kind", action="append", default=[], help="only this kind of fault (may be repeated)")
    made.add_argument("--processes", type=int, default=2, help="platforms side by side")
    made.add_argument("--plain", action="store_true", help="judge with the plain Python files")
    made.add_argument("--show", metavar="FILE", help="show an earlier result and do nothing else")
    made.add_argument(
        "--page", action="store_true", help="write the documentation's figures, whatever the run's length"
    )
    return made
