"""How sure the detector is, and what it says when that changes; plain values shared by all of judgement.

A level is a step of certainty with a consequence of its own: amber only starts extra probes, slow is told to banks
alone, publish opens an incident in public. Scores are log-likelihood ratios: how many times more probable the
evidence is with the fault than without it, as a logarithm. The thresholds here are floors, measured on simulated
series; fitting raises them for a series whose own quiet days demand it, and lowers them where attempts are few.
"""

import math
from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """Steps of certainty, in order."""

    QUIET = 0
    AMBER = 1
    SLOW = 2
    PUBLISH = 3


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The score at which each level begins."""

    amber: float = 8.5
    slow: float = 20.0
    publish: float = 25.0

    def level(self, score: float) -> Level:
        """The highest level that `score` has reached."""
        if score >= self.publish:
            return Level.PUBLISH
        if score >= self.slow:
            return Level.SLOW
        return Level.AMBER if score >= self.amber else Level.QUIET

    def times(self, factor: float) -> "Thresholds":
        """The same steps, each `factor` as high."""
        return Thresholds(self.amber * factor, self.slow * factor, self.publish * factor)


FLOORS = Thresholds()

# A platform may open one false public incident a month. Twenty corridors with three kinds of evidence each are
# sixty series, and each gets an equal share.
FALSE_ALARMS_PER_MONTH = 1.0
SERIES_ON_A_PLATFORM = 60
MONTH_S = 30 * 86_400.0
SHARE_PER_S = FALSE_ALARMS_PER_MONTH / SERIES_ON_A_PLATFORM / MONTH_S


FLOORS_WIDTH_S = 10.0  # the intervals with which the floors were measured
FLOORS_LEAST = 0.5


def floors_at(width_s: float, share_per_s: float = SHARE_PER_S) -> Thresholds:
    """The floors for intervals of `width_s` seconds and `share_per_s` false alarms a second.

    Who looks less often, or may err more often, needs less: the logarithm of how much comes off the score.
    """
    less = math.log(max(1.0, width_s / FLOORS_WIDTH_S)) + math.log(max(1.0, share_per_s / SHARE_PER_S))
    return FLOORS.times(max(FLOORS_LEAST, (FLOORS.publish - less) / FLOORS.publish))


@dataclass(frozen=True, slots=True)
class Alarm:
    """One kind of evidence in one series has reached a level, or has fallen back to QUIET.

    `at_s` is the end of the interval that decided; `start_s` the change point computed backwards: the start of the
    interval since which the evidence has never been worth nothing. `score` is at `at_s`. All times unix seconds.
    """

    series: str
    kind: str
    level: Level
    at_s: float
    start_s: float
    score: float
