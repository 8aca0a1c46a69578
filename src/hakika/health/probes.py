"""Synthetic tests of one way in, from several vantages: when their failures are the platform's and not their own.

Each vantage has a sum of its own, capped at what two or three failures are worth, and only the best three count
together. So a vantage that is broken for a week contributes its cap and no more, two of them and one slip of a
third stay under the threshold, and the way in is called down when three vantages have each failed twice or more
within a short time. A vantage that reports nothing says nothing. How often a probe slips by itself is learnt.

Where a test has just failed, or transfers raise doubts, the answer is a dozen tests away and not worth waiting half a
minute for each: `doubted` says that the vantages had better look closer.

Where only a fifth of the tests fail, two in a row are rare. A second sum of each vantage looks for that, in the same
way and with the same cap; it takes minutes. Sooner it supports what transfers say (see `fusion`), who are few in a slow
corridor where tests are as many as ever.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from hakika.health.judgement import Alarm, Level, Thresholds
from hakika.health.observations import ProbeResult

KIND = "probes"
QUORUM = 3
FAILING = 0.6  # the share of tests that fail in the outage looked for
WEAK, WEAK_SLIPS = 0.2, 4.0  # and in a weak one, but so many times what slips at least
SLIP_DEFAULT, SLIP_MIN, SLIP_MAX = 0.01, 0.01, 0.2
SLIP_MEMORY = 2_000.0
SLIP_PRIOR = 400.0
CAP = 8.0  # what one vantage counts for at most; two failures are worth a little less
WEAK_MAX = 11.0  # of a weak sum: who has seen many failures does not count for less after the next few successes
SUPPORT_CAP = 4.5  # of one vantage, to what transfers say
PROBE_THRESHOLDS = Thresholds(amber=5.0, slow=15.9, publish=23.3)
CLOSER_S = 600.0  # as long as doubt is worth more tests
STALE_S = 300.0  # evidence of a vantage that has reported nothing for so long counts no more
CALM_S = 300.0
GREEN = 2  # vantages that must have been green for CALM_S before it is over


@dataclass(slots=True)
class _Sum:
    """The evidence of one vantage for one share of failing tests, and since when it has been worth something."""

    score: float = 0.0
    start_s: float = 0.0

    def add(self, at_s: float, share: float, slip: float, *, ok: bool, limit: float = CAP) -> None:
        if ok:
            self.score = max(0.0, self.score + math.log((1 - share) / (1 - slip)))
            return
        if self.score <= 0:
            self.start_s = at_s
        self.score = min(limit, self.score + math.log(share / slip))


@dataclass(slots=True)
class _Vantage:
    strong: _Sum = field(default_factory=_Sum)
    weak: _Sum = field(default_factory=_Sum)
    last_s: float = float("-inf")  # the end of its last test
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
        """What one test changes; one that did not end after the vantage's last one changes nothing."""
        vantage = self._vantages.setdefault(result.vantage, _Vantage())
        if result.end_s <= vantage.last_s:
            return ()
        if result.end_s - vantage.last_s > STALE_S:
            vantage.strong, vantage.weak, vantage.green_s = _Sum(), _Sum(), None
        vantage.last_s = result.end_s
        vantage.strong.add(result.at_s, FAILING, self.slip, ok=result.ok)
        weak_share = max(WEAK, min(FAILING, WEAK_SLIPS * self.slip))
        vantage.weak.add(result.at_s, weak_share, self.slip, ok=result.ok, limit=WEAK_MAX)
        if not result.ok:
            vantage.failed_s, vantage.green_s = result.at_s, None
        elif vantage.green_s is None:
            vantage.green_s = result.at_s
        return self._judge(result)

    def _judge(self, result: ProbeResult) -> tuple[Alarm, ...]:
        now_s, score = result.at_s, self.score(result.at_s)
        reached = PROBE_THRESHOLDS.level(score)
        if reached > self.level:
            self.level, self.start_s = reached, self._started_s(now_s)
        elif self.level and self._over(now_s, score):
            self.level = Level.QUIET
            for vantage in self._vantages.values():  # it would take much longer than CALM_S to forget
                vantage.weak = _Sum()
        else:
            if not self.level:
                self._learn(result.ok)
            return ()
        return (Alarm(self.series, KIND, self.level, now_s, self.start_s, round(score, 3)),)

    def score(self, now_s: float) -> float:
        """The evidence of the best three vantages that still report, for whichever share it speaks of louder."""
        return max(_total(sums) for sums in self._sums(now_s))

    def is_weak(self, now_s: float) -> bool:
        """The vantages do not say that half of their tests fail: what publishes then is a weaker fault."""
        return _total(self._sums(now_s)[0]) < PROBE_THRESHOLDS.slow

    def support(self, now_s: float) -> float:
        """What the vantages that still report add to what transfers say, at most QUORUM times SUPPORT_CAP.

        The loudest counts for no more than the next one: what one vantage alone says may be its own trouble.
        """
        _, weak = self._sums(now_s)
        scores = sorted((min(SUPPORT_CAP, one.score) for one in weak), reverse=True)
        return scores[1] + sum(scores[1:QUORUM]) if len(scores) > 1 else 0.0

    def doubted(self, now_s: float, transfers: Iterable[Alarm] = ()) -> bool:
        """More tests would decide something: a failure of late is not outweighed, or transfers have raised an alarm.

        What publishes is decided, and what has been in doubt for CLOSER_S (a vantage that stays broken) is not decided
        by more of the same. `transfers` are the standing alarms of what this way in leads through.
        """
        standing = tuple(transfers)
        if self.level is Level.PUBLISH or any(alarm.level is Level.PUBLISH for alarm in standing):
            return False
        reporting = [one for one in self._vantages.values() if now_s - one.last_s <= STALE_S]
        since = [one.weak.start_s for one in reporting if one.weak.score > 0]
        since += [alarm.start_s for alarm in standing if reporting]
        return any(now_s - start_s <= CLOSER_S for start_s in since)

    def _sums(self, now_s: float) -> tuple[list[_Sum], list[_Sum]]:
        """The strong and the weak sum of each vantage that still reports."""
        reporting = [one for one in self._vantages.values() if now_s - one.last_s <= STALE_S]
        return [one.strong for one in reporting], [one.weak for one in reporting]

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
        return self.green(now_s) >= GREEN and _total(self._sums(now_s)[0]) < PROBE_THRESHOLDS.slow

    def _started_s(self, now_s: float) -> float:
        """The middle one of the counted vantages' starts: one that was broken before does not date the outage."""
        loudest = max(self._sums(now_s), key=_total)
        counted = sorted((one for one in loudest if one.score > 0), key=lambda one: one.score, reverse=True)
        return min(now_s, median(one.start_s for one in counted[:QUORUM]))

    def _learn(self, ok: bool) -> None:
        self._tests = min(SLIP_MEMORY, self._tests + 1)
        slip = self.slip + ((0.0 if ok else 1.0) - self.slip) / (self._tests + SLIP_PRIOR)
        self.slip = min(SLIP_MAX, max(SLIP_MIN, slip))

    def to_state(self) -> dict[str, Any]:
        """Everything that the future depends on, as plain values for JSON."""
        vantages = {
            name: [
                one.strong.score,
                one.strong.start_s,
                one.last_s,
                one.failed_s,
                one.green_s,
                one.weak.score,
                one.weak.start_s,
            ]
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
            {name: _vantage(*saved) for name, saved in state["vantages"].items()},
        )


def _total(sums: Sequence[_Sum]) -> float:
    return sum(sorted((min(CAP, one.score) for one in sums), reverse=True)[:QUORUM])


def _vantage(
    score: float, start_s: float, last_s: float, failed_s: float | None, green_s: float | None, *weak: float
) -> _Vantage:
    """From its saved state; what was put away before there was a weak sum has none."""
    return _Vantage(_Sum(score, start_s), _Sum(*weak), last_s, failed_s, green_s)
