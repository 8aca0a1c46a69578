"""Synthetic tests of one way in, from several vantages: when their failures are the platform's and not their own.

Each vantage has a sum of its own, capped at what two or three failures are worth, and only the best three count
together. So a vantage that is broken for a week contributes its cap and no more, two of them and one slip of a
third stay under the threshold, and the way in is called down when three vantages have each failed twice or more
within a short time. A vantage that reports nothing says nothing. How often a probe slips by itself is learnt.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from hakika.health.judgement import Alarm, Level, Thresholds
from hakika.health.observations import ProbeResult

KIND = "probes"
QUORUM = 3
FAILING = 0.5  # the share of tests that fail in the outage looked for
SLIP_DEFAULT, SLIP_MIN, SLIP_MAX = 0.01, 0.01, 0.2
SLIP_MEMORY = 2_000.0
SLIP_PRIOR = 400.0
CAP = 8.0  # two failures are worth a little less
PROBE_THRESHOLDS = Thresholds(amber=5.0, slow=15.9, publish=21.5)
STALE_S = 300.0  # evidence of a vantage that has reported nothing for so long counts no more
CALM_S = 300.0
GREEN = 2  # vantages that must have been green for CALM_S before it is over


@dataclass(slots=True)
class _Vantage:
    score: float = 0.0
    start_s: float = 0.0
    last_s: float = float("-inf")
    failed_s: float | None = None  # the last failure
    green_s: float | None = None  # the first success after it


@dataclass(slots=True)
class ProbeQuorum:
    """Judges one way in; results may come in any order of vantages, each vantage's in the order of time."""

    series: str
    slip: float = SLIP_DEFAULT
    level: Level = Level.QUIET
    start_s: float = 0.0
    _tests: float = 0.0
    _vantages: dict[str, _Vantage] = field(default_factory=dict)

    @classmethod
    def fit(cls, series: str, quiet: Sequence[ProbeResult]) -> "ProbeQuorum":
        """Learn how often this probe slips from results of quiet days."""
        failed = sum(not result.ok for result in quiet)
        slip = (failed + SLIP_DEFAULT * SLIP_PRIOR) / (len(quiet) + SLIP_PRIOR)
        return cls(series, min(SLIP_MAX, max(SLIP_MIN, slip)), _tests=float(min(SLIP_MEMORY, len(quiet))))

    def step(self, result: ProbeResult) -> tuple[Alarm, ...]:
        """What one test changes; a test not newer than the vantage's last one changes nothing."""
        vantage = self._vantages.setdefault(result.vantage, _Vantage())
        if result.at_s <= vantage.last_s:
            return ()
        if result.at_s - vantage.last_s > STALE_S:
            vantage.score, vantage.green_s = 0.0, None
        vantage.last_s = result.at_s
        if result.ok:
            vantage.score = max(0.0, vantage.score + math.log((1 - FAILING) / (1 - self.slip)))
            vantage.green_s = result.at_s if vantage.green_s is None else vantage.green_s
        else:
            if vantage.score <= 0:
                vantage.start_s = result.at_s
            vantage.score = min(CAP, vantage.score + math.log(FAILING / self.slip))
            vantage.failed_s, vantage.green_s = result.at_s, None
        return self._judge(result)

    def _judge(self, result: ProbeResult) -> tuple[Alarm, ...]:
        now_s, score = result.at_s, self.score(result.at_s)
        reached = PROBE_THRESHOLDS.level(score)
        if reached > self.level:
            self.level, self.start_s = reached, self._started_s(now_s)
        elif self.level and self._over(now_s, score):
            self.level = Level.QUIET
        else:
            if not self.level:
                self._learn(result.ok)
            return ()
        return (Alarm(self.series, KIND, self.level, now_s, self.start_s, round(score, 3)),)

    def score(self, now_s: float) -> float:
        """The evidence of the best three vantages that still report."""
        return sum(sorted(self.vantage_scores(now_s), reverse=True)[:QUORUM])

    def vantage_scores(self, now_s: float) -> tuple[float, ...]:
        """The evidence of each vantage that still reports."""
        return tuple(one.score for one in self._vantages.values() if now_s - one.last_s <= STALE_S)

    def green(self, now_s: float) -> int:
        """How many vantages report, and have seen no failure for CALM_S."""
        return sum(
            now_s - one.last_s <= STALE_S and one.green_s is not None and self._calm_for(one, now_s) >= CALM_S
            for one in self._vantages.values()
        )

    @staticmethod
    def _calm_for(vantage: _Vantage, now_s: float) -> float:
        if vantage.failed_s is None:
            return math.inf
        return now_s - vantage.green_s if vantage.green_s is not None else 0.0

    def _over(self, now_s: float, score: float) -> bool:
        if self.level is Level.AMBER:
            return score <= 0
        return self.green(now_s) >= GREEN and score < PROBE_THRESHOLDS.slow

    def _started_s(self, now_s: float) -> float:
        """The middle one of the counted vantages' starts: one that was broken before does not date the outage."""
        counted = [one for one in self._vantages.values() if now_s - one.last_s <= STALE_S and one.score > 0]
        counted.sort(key=lambda one: one.score, reverse=True)
        return min(now_s, median(one.start_s for one in counted[:QUORUM]))

    def _learn(self, ok: bool) -> None:
        self._tests = min(SLIP_MEMORY, self._tests + 1)
        slip = self.slip + ((0.0 if ok else 1.0) - self.slip) / (self._tests + SLIP_PRIOR)
        self.slip = min(SLIP_MAX, max(SLIP_MIN, slip))

    def to_state(self) -> dict[str, Any]:
        """Everything that the future depends on, as plain values for JSON."""
        vantages = {
            name: [one.score, one.start_s, one.last_s, one.failed_s, one.green_s]
            for name, one in self._vantages.items()
        }
        return {
            "series": self.series,
            "slip": self.slip,
            "level": int(self.level),
            "start_s": self.start_s,
            "tests": self._tests,
            "vantages": vantages,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "ProbeQuorum":
        """Back from `to_state`: the same future from here on."""
        return cls(
            state["series"],
            state["slip"],
            Level(state["level"]),
            state["start_s"],
            state["tests"],
            {name: _Vantage(*saved) for name, saved in state["vantages"].items()},
        )
