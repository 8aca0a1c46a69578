"""How many attempts fail for technical reasons, against how many usually do: the discounted CUSUM.

Each failure speaks for an outage and each success against it, by the logarithm of how much likelier it would be then.
The sums have a floor at zero, one for each failure rate looked for, and the largest decides. Attempts of one interval
share their fate, so a hundred of them are not a hundred witnesses: evidence of n attempts is divided by
1 + (n - 1) rho, with rho learnt from the series. That is what lets one threshold serve six a minute and six hundred.
An alarm ends when the rate has been under twice the usual one for five minutes, with enough attempts to know.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hakika.health.judgement import FLOORS, Level, Thresholds

RATES = (0.03, 0.08, 0.25, 0.6)  # looked for, where one in a hundred usually fails
RATES_AT = 0.01  # a series that fails more often is asked for the same odds against its own rate
EVEN = (1.0,) * len(RATES)
RHO_DEFAULT = 0.1
USUAL_MIN, USUAL_MAX = 0.001, 0.5
CALM_S = 300.0
CALM_ATTEMPTS = 5
CALM_RATE_MIN = 0.01  # a rate this low is no outage, however rare failures used to be
SCORE_MAX = 2.0  # of the publishing threshold
LEARN_ATTEMPTS = 2_000.0  # quiet attempts, after which the usual rate is reconsidered
LEARN_MEMORY = 50_000.0
LEARN_FACTOR_MAX = 3.0  # from the fitted rate: what grows slowly is not learnt away

Change = tuple[Level, float, float]  # level, start of the change (unix s), score


@dataclass(frozen=True, slots=True)
class FailureModel:
    """The usual share of failures, how much attempts of one interval share their fate, and the thresholds.

    `factors` has one number for each rate looked for: its sum must become so many times as high. Harmless blips are
    short and weak, so they drive the sums of weak failures high and leave the sum of a hard outage low; with a height
    for each, a hard outage is seen within seconds where a weak one has to last longer than blips do.
    """

    usual: float = RATES_AT
    rho: float = RHO_DEFAULT
    thresholds: Thresholds = FLOORS
    known_attempts: float = 0.0  # on how many quiet attempts `usual` rests
    factors: tuple[float, ...] = EVEN

    def rates(self) -> tuple[float, ...]:
        """The failure rates looked for: those of the table, or the same odds against a higher usual rate."""
        if self.usual <= RATES_AT:
            return RATES
        odds = self.usual / (1 - self.usual) / (RATES_AT / (1 - RATES_AT))
        return tuple(odds * rate / (1 - rate + odds * rate) for rate in RATES)

    def to_state(self) -> list[Any]:
        """As plain values for JSON."""
        steps = self.thresholds
        heights = [steps.amber, steps.slow, steps.publish]
        return [self.usual, self.rho, heights, self.known_attempts, list(self.factors)]

    @classmethod
    def from_state(cls, state: Sequence[Any]) -> "FailureModel":
        """Back from `to_state`."""
        usual, rho, steps, known, *later = state  # what was put away before there were factors has none
        return cls(usual, rho, Thresholds(*steps), known, tuple(later[0]) if later else EVEN)


class FailureWatch:
    """Follows the failures of one reason, or of all together; `step` is to be called in the order of time."""

    __slots__ = (
        "_calm",
        "_limit",
        "_pairs",
        "_quiet_attempts",
        "_quiet_failed",
        "_starts",
        "_sums",
        "_usual",
        "asleep",
        "level",
        "model",
        "score",
        "since_s",
        "start_s",
        "told",
    )

    def __init__(self, model: FailureModel) -> None:
        self.model = model
        self.level = Level.QUIET
        self.score = 0.0
        self.start_s = self.since_s = 0.0
        self.asleep = True  # every sum is zero and nothing is open: an interval without a failure changes nothing
        self.told = 0.0  # attempts since the evidence was last worth nothing
        self._sums = [0.0] * len(RATES)
        self._starts = [0.0] * len(RATES)
        self._calm: list[list[float]] = []  # since the alarm: [at, attempts, failed]
        self._quiet_attempts = self._quiet_failed = 0.0
        self._limit = SCORE_MAX * model.thresholds.publish
        self._set_usual(model.usual)

    def _set_usual(self, usual: float) -> None:
        self._usual = usual
        rates = FailureModel(usual).rates()
        self._pairs = tuple(
            (math.log(rate / usual) / factor, math.log((1 - rate) / (1 - usual)) / factor)
            for rate, factor in zip(rates, self.model.factors, strict=True)
        )

    @property
    def usual(self) -> float:
        """The share of failures that is taken for usual at the moment."""
        return self._usual

    @property
    def sums(self) -> list[float]:
        """The sum of each rate looked for, as it stands."""
        return self._sums

    def step(self, at_s: float, width_s: float, attempts: float, failed: float) -> Change | None:
        """Judge an interval that began at `at_s`; a change of level, if there is one."""
        if attempts > 0:
            self.weigh(at_s, attempts, failed)
        if self.level:
            return self._follow(at_s, width_s, attempts, failed)
        if self.score >= self.model.thresholds.amber:
            return self._raise(at_s)
        self.rest(attempts, failed)
        return None

    def weigh(self, at_s: float, attempts: float, failed: float) -> None:
        """Add the evidence of at least one attempt to the sums, and judge nothing."""
        worth = 1.0 / (1.0 + (attempts - 1.0) * self.model.rho) if attempts > 1 else 1.0
        bad, good = worth * failed, worth * (attempts - failed)
        sums = self._sums
        highest = 0.0
        for index, (up, down) in enumerate(self._pairs):
            old = sums[index]
            new = old + bad * up + good * down
            if new <= 0.0:
                sums[index] = 0.0
                continue
            if old <= 0.0:
                self._starts[index] = at_s
            if new > self._limit:
                new = self._limit
            sums[index] = new
            if new > highest:
                highest = new
        self.score = highest
        self.told = self.told + attempts if highest > 0.0 else 0.0
        self.asleep = highest <= 0.0 and not self.level

    def rest(self, attempts: float, failed: float = 0.0) -> None:
        """Count quiet attempts towards the usual rate."""
        self._quiet_attempts += attempts
        self._quiet_failed += failed
        if self._quiet_attempts >= LEARN_ATTEMPTS:
            self._learn()

    def _learn(self) -> None:
        known = min(LEARN_MEMORY, self.model.known_attempts + LEARN_ATTEMPTS)
        share = self._quiet_attempts / (known + self._quiet_attempts)
        usual = self._usual + share * (self._quiet_failed / self._quiet_attempts - self._usual)
        highest = min(USUAL_MAX, LEARN_FACTOR_MAX * self.model.usual)
        self._set_usual(min(highest, max(USUAL_MIN, usual)))
        self._quiet_attempts = self._quiet_failed = 0.0

    def _raise(self, at_s: float) -> Change:
        self.level = self.model.thresholds.level(self.score)
        self.start_s = self._starts[self._sums.index(self.score)]
        self.since_s = at_s
        self._calm = []
        return self.level, self.start_s, self.score

    def _follow(self, at_s: float, width_s: float, attempts: float, failed: float) -> Change | None:
        level = self.model.thresholds.level(self.score)
        if level > self.level:
            self.level = level
            self.start_s = self._starts[self._sums.index(self.score)]
            self._calm = []
            self.since_s = at_s
            return level, self.start_s, self.score
        if self.level is Level.AMBER and self.score <= 0.0:
            return self._close()
        calm = self._calm
        calm.append([at_s, attempts, failed])
        window_s = CALM_S if width_s < CALM_S else width_s
        while len(calm) > 1 and calm[1][0] <= at_s + width_s - window_s and self._enough(1):
            calm.pop(0)
        if at_s + width_s - calm[0][0] >= window_s and self._enough(0):
            seen, bad = sum(row[1] for row in calm), sum(row[2] for row in calm)
            if bad <= max(CALM_RATE_MIN, 2.0 * self._usual) * seen:
                return self._close()
        return None

    def _enough(self, first: int) -> bool:
        return sum(row[1] for row in self._calm[first:]) >= CALM_ATTEMPTS

    def _close(self) -> Change:
        change = Level.QUIET, self.start_s, self.score
        self.level = Level.QUIET
        self._sums = [0.0] * len(RATES)
        self.score = self.told = 0.0
        self._calm = []
        self.asleep = True
        return change

    def to_state(self) -> list[Any]:
        """Everything that the future depends on, as plain values for JSON (the model apart)."""
        return [
            self._usual,
            int(self.level),
            self.score,
            self.start_s,
            self.since_s,
            self.asleep,
            list(self._sums),
            list(self._starts),
            [list(row) for row in self._calm],
            self._quiet_attempts,
            self._quiet_failed,
            self.told,
        ]

    @classmethod
    def from_state(cls, model: FailureModel, state: Sequence[Any]) -> "FailureWatch":
        """Back from `to_state`, with the same model."""
        watch = cls(model)
        usual, level, watch.score, watch.start_s, watch.since_s, watch.asleep, sums, starts, calm, *counted = state
        watch._set_usual(usual)
        watch.level = Level(level)
        watch._sums, watch._starts = list(sums), list(starts)
        watch._calm = [list(row) for row in calm]
        watch._quiet_attempts, watch._quiet_failed, *told = counted
        watch.told = told[0] if told else 0.0  # what was put away before it was counted has none
        return watch
