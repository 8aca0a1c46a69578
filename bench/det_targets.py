"""The targets of detection, each with its figure of this run and whether it is met.

A figure is the one that the target names and nothing kinder: a 95th percentile over all trials, misses included; the
estimate of a rate, with its interval beside it. "Far better" is judged the same way.
"""

from dataclasses import dataclass
from math import inf

from bench.det_faults import STRATA
from bench.det_result import HAKIKA, Result, delay

BUSY = ">=60"


@dataclass(frozen=True, slots=True)
class Target:
    """One line: what is asked, what was measured. Limits and figure are in the unit that `words` names."""

    words: str
    limit: float
    far: float
    figure: float
    said: str  # the figure as people read it

    @property
    def met(self) -> bool:
        """The target itself."""
        return self.figure <= self.limit

    @property
    def far_met(self) -> bool:
        """The harder one."""
        return self.figure <= self.far


def targets(result: Result) -> list[Target]:
    """All targets that this run has trials or quiet months for."""
    lines = [
        *_p95(result, "50 % or more fail, 60 tx/min or more", ("fail-50", "fail-95"), BUSY, 60, 30),
    ]
    for stratum in STRATA:
        lines += _p95(result, f"20 % fail, {stratum} tx/min", ("fail-20",), stratum, 300, 120)
    for stratum in STRATA:
        lines += _p95(result, f"gateway silent, {stratum} tx/min", ("silent",), stratum, 90, 60)
    if not result.quiet:
        return lines
    count, a_month, (low, high) = result.false_rate(HAKIKA)
    said = f"{a_month:.2f} a month ({count} in {result.months:g}; 95 %: {low:.2f} to {high:.2f})"
    lines.append(Target("false public incidents of the platform", 1.0, 1 / 3, a_month, said))
    return lines


def seconds(value: float) -> str:
    """`35 s`, or `missed`."""
    return "missed" if value == inf else f"{value:.0f} s"


def _p95(result: Result, words: str, kinds: tuple[str, ...], stratum: str, limit: float, far: float) -> list[Target]:
    trials = result.cell(kinds, stratum)
    if not trials:
        return []
    found = delay(trials, HAKIKA)
    said = f"p95 {seconds(found.p95_s)} (median {seconds(found.median_s)}, {found.count} trials)"
    return [Target(words, limit, far, found.p95_s, said)]
