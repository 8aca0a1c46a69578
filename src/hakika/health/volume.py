"""How much arrives, against how much usually does: falls for channels that went silent, rises for reports and rates.

The expected amount is a shape (profile) times a level that follows slowly and stands still while evidence grows, so
that an outage is never taken for the new normal. The noise has two parts, counting (`shot`, in proportion to the
mean) and whatever moves all together (`spread`, in proportion to its square), so one rule serves two transfers an
hour and a million bytes a minute. Evidence is a log-likelihood ratio in units of that noise, summed with a floor at
zero (CUSUM), one sum for each size of change looked for; the largest decides. Two thresholds make one alarm of one
episode: the one that opens, and the amount that must be back, over several intervals, before it closes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hakika.health.judgement import FLOORS, Level, Thresholds
from hakika.health.profile import Profile, flat

HOLIDAY_LEFT = 0.6  # of the usual amount, on a day that is quieter than most and no outage
# Looked for: this share of the expected amount, rather than that one.
DROPS = ((0.4, 1.0), (0.05, 1.0))
EVERYDAY_DROPS = ((0.4, HOLIDAY_LEFT), (0.05, 1.0))
RISES = ((2.0, 1.0), (5.0, 1.0), (20.0, 1.0))
LEAST_A_MINUTE = 1.0  # of an everyday series: where less is expected, only synthetic tests can tell silence from chance
DROP, RISE = "drop", "rise"
BACK_BELOW, BACK_ABOVE = 1.4, 0.7  # of the expected amount: where a rise, or a fall, counts as over
CALM_S = 300.0
CALM_ROWS = 6
LONE_ROW_BELOW_S = 300.0  # shorter intervals: one row alone may be a slip of the counter and never publishes
LONE_ROW_SHARE = 0.6
SCORE_MAX = 2.0  # of the publishing threshold: a long outage must not take as long to forget
UNKNOWN_SHOT, UNKNOWN_SPREAD = 2.0, 0.1
UNKNOWN_HALF_LIFE_S, UNKNOWN_HALF_LIFE_ROWS = 3_600.0, 12
DISCOUNT_MIN = 0.1
FORGET_FACTOR = 3.0  # a new level so many times the old one, or so little of it, is another series
WARM_ROWS = 8  # with no quiet data, the first rows set the level and are not judged
CLIP_SD = 3.0
CARRIED_MAX = 0.5
SUDDEN_SPREAD_MIN = 0.01  # a step of less than a third within one interval is no outage, however steady the series
NOISE_CLIP = 9.0
HELD_MAX = 360  # intervals of doubt that are still learnt from once it has passed
AMOUNT_MIN = 0.02  # expected in an interval, at least: nothing is impossible
WARM_AMOUNT_MIN = 0.25


@dataclass(frozen=True, slots=True)
class VolumeModel:
    """What was learnt of one series: amounts are per interval of `width_s` seconds.

    `level` is the mean amount at the end of the quiet data; `half_life_s` how fast it follows. `discount` (0 to 1) is
    what evidence is worth when neighbours resemble each other. `adopt_after_s` is how long a change may last until it
    is taken for the new level; infinite for a corridor, where an outage of a week is an outage. `known` is false
    where there was no quiet data: then the first rows set the level.
    """

    width_s: float
    profile: Profile = field(default_factory=flat)
    level: float = 1.0
    shot: float = UNKNOWN_SHOT
    spread: float = UNKNOWN_SPREAD
    discount: float = 1.0
    likeness: float = 0.0
    half_life_s: float = UNKNOWN_HALF_LIFE_S
    profile_share: float = 0.0
    adopt_after_s: float = math.inf
    calm_s: float = CALM_S
    drop: Thresholds | None = FLOORS
    rise: Thresholds | None = None
    known: bool = False
    everyday: bool = False

    @property
    def drops(self) -> tuple[tuple[float, float], ...]:
        """The drops looked for, and what each is held against."""
        return EVERYDAY_DROPS if self.everyday else DROPS

    def forgotten(self) -> "VolumeModel":
        """The model of a series of which nothing is known any more but its width and thresholds."""
        return replace(
            self,
            profile=flat(),
            shot=1.0,
            spread=UNKNOWN_SPREAD,
            discount=1.0,
            likeness=0.0,
            half_life_s=max(UNKNOWN_HALF_LIFE_S, UNKNOWN_HALF_LIFE_ROWS * self.width_s),
            profile_share=0.0,
            known=False,
        )

    def worth_foretold(self, foretold: float, fresh: float, worth: float, noise: float = 1.0) -> float:
        """The weight of evidence against an amount foretold from the last quiet interval.

        `fresh` is 1 right after it and falls as the likeness fades; what is stale is worth no more than `worth`.
        """
        spread = max(SUDDEN_SPREAD_MIN, self.spread * noise * (1.0 - self.likeness * self.likeness))
        return fresh / (self.shot + spread * foretold) + (1.0 - fresh) * worth

    def to_state(self) -> dict[str, Any]:
        """As plain values for JSON; infinity as None."""
        return {
            "width_s": self.width_s,
            "profile": [self.profile.period_s, self.profile.bin_s, list(self.profile.factors)],
            "numbers": [self.level, self.shot, self.spread, self.discount, self.likeness, self.half_life_s],
            "profile_share": self.profile_share,
            "adopt_after_s": None if math.isinf(self.adopt_after_s) else self.adopt_after_s,
            "calm_s": self.calm_s,
            "drop": _steps(self.drop),
            "rise": _steps(self.rise),
            "known": self.known,
            "everyday": self.everyday,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "VolumeModel":
        """Back from `to_state`."""
        period_s, bin_s, factors = state["profile"]
        level, shot, spread, discount, likeness, half_life_s = state["numbers"]
        return cls(
            width_s=state["width_s"],
            profile=Profile(period_s, bin_s, list(factors)),
            level=level,
            shot=shot,
            spread=spread,
            discount=discount,
            likeness=likeness,
            half_life_s=half_life_s,
            profile_share=state["profile_share"],
            adopt_after_s=math.inf if state["adopt_after_s"] is None else state["adopt_after_s"],
            calm_s=state["calm_s"],
            drop=None if state["drop"] is None else Thresholds(*state["drop"]),
            rise=None if state["rise"] is None else Thresholds(*state["rise"]),
            known=state["known"],
            everyday=state.get("everyday", False),
        )


def _steps(thresholds: Thresholds | None) -> list[float] | None:
    return None if thresholds is None else [thresholds.amber, thresholds.slow, thresholds.publish]


@dataclass(slots=True)
class Side:
    """One direction of change: its sums, where each began, and the episode that is open."""

    kind: str
    ratios: tuple[tuple[float, float], ...]  # of the expected amount: looked for, and held against
    thresholds: Thresholds
    sums: list[float] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    level: Level = Level.QUIET
    start_s: float = 0.0
    since_s: float = 0.0  # when the episode's first level was reached
    calm: list[list[float]] = field(default_factory=list)  # since the alarm: [at, amount, expected, factor]
    score: float = 0.0
    logs: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        self.logs = tuple((math.log(ratio / against), ratio - against) for ratio, against in self.ratios)
        self.sums = self.sums or [0.0] * (2 * len(self.ratios))
        self.starts = self.starts or [0.0] * (2 * len(self.ratios))

    def add(self, at_s: float, amount: float, expected: float, worth: float, cap: float, first: int = 0) -> None:
        """One more interval; `worth` is the weight of a unit of evidence, at most `cap` of it from one interval.

        `first` is 0 for the sums against the usual amount, and the number of ratios for those against the amount
        foretold from the interval before.
        """
        sums = self.sums
        limit = SCORE_MAX * self.thresholds.publish
        for index, (log_ratio, excess) in enumerate(self.logs, first):
            step = worth * (amount * log_ratio - expected * excess)
            total = sums[index]
            if step > 0:
                if total <= 0:
                    self.starts[index] = at_s
                sums[index] = min(total + min(step, cap), limit)
            elif total > 0:
                sums[index] = max(0.0, total + step)
        self.score = max(sums)

    def beyond(self, expected: float, foretold: float) -> float:
        """What a sudden change must go beyond: coming back from a dip is no rise."""
        return min(expected, foretold) if self.kind == DROP else max(expected, foretold)

    def started_s(self) -> float:
        """The change point of the largest sum."""
        return self.starts[self.sums.index(max(self.sums))]

    def over(self, amount: float, expected: float) -> bool:
        """The amount is back where it should be."""
        return amount >= BACK_ABOVE * expected if self.kind == DROP else amount <= BACK_BELOW * expected

    def end(self) -> None:
        """Forget the episode."""
        self.sums = [0.0] * len(self.sums)
        self.level = Level.QUIET
        self.calm = []
        self.score = 0.0


Change = tuple[str, Level, float, float]  # kind, level, start of the change (unix s), score


class VolumeWatch:
    """Follows one series; `step` is to be called with each interval in the order of time."""

    __slots__ = (
        "_alpha",
        "_held",
        "_likeness",
        "_warm",
        "carried",
        "discount",
        "factor_level",
        "forgot",
        "fresh",
        "model",
        "noise",
        "profile",
        "sides",
    )

    def __init__(self, model: VolumeModel) -> None:
        self.model = model
        self.profile = Profile(model.profile.period_s, model.profile.bin_s, list(model.profile.factors))
        self.factor_level = model.level
        self.noise = 1.0
        self.carried = 0.0  # how far off the last quiet interval was, as a share of what was expected
        self.fresh = 1.0  # how much of that still holds
        self.sides: list[Side] = []
        if model.drop is not None:
            self.sides.append(Side(DROP, model.drops, model.drop))
        if model.rise is not None:
            self.sides.append(Side(RISE, RISES, model.rise))
        self.discount = model.discount
        self.forgot = False
        self._alpha = 1.0 - 2.0 ** (-model.width_s / model.half_life_s)
        self._warm: list[float] = []
        # [at, amount, expected, factor, variance]; learnt from if the doubt passes: who learns from the intervals
        # alone that raised none takes the usual amount for larger, day by day, until chance looks like a drop
        self._held: list[list[float]] = []
        self._likeness = [0.0, 0.0, 0.0]  # where nothing is known: last score, mean product of neighbours, of itself

    def step(self, at_s: float, amount: float, widths: float = 1.0) -> Sequence[Change]:
        """Judge an interval of `widths` times the model's width that began at `at_s`, and learn from it if quiet."""
        model = self.model
        if not model.known and len(self._warm) < WARM_ROWS:
            return self._warm_up(amount / widths)
        width_s = model.width_s
        factor = self.profile.at(at_s + width_s * widths * 0.5) * widths
        expected = self.factor_level * factor
        least = AMOUNT_MIN * model.shot
        if expected < least:
            expected = least
        if model.everyday:
            least = max(least, LEAST_A_MINUTE * width_s * widths / 60.0)
        unit = (model.shot + model.spread * expected) * self.noise  # variance for each unit of amount
        worth = self.discount / unit
        likeness = model.likeness
        if likeness:
            foretold = expected * (1.0 + likeness * self.carried)
        changes: list[Change] = []
        suspicious = False
        for side in self.sides:
            if side.kind == DROP and self.factor_level * factor < least and not side.level:
                side.end()  # next to nothing is expected: nothing can be missed
                continue
            publish = side.thresholds.publish
            cap = LONE_ROW_SHARE * publish if width_s < LONE_ROW_BELOW_S else publish * SCORE_MAX
            side.add(at_s, amount, expected, worth, cap)
            if likeness:
                due = side.beyond(expected, foretold)
                sudden = model.worth_foretold(due, self.fresh, worth, self.noise)
                side.add(at_s, amount, due, sudden, cap, len(side.ratios))
            score = side.score
            if side.level:
                suspicious = True
                self._follow(side, at_s, amount, expected, factor, changes)
            elif score >= side.thresholds.amber * 0.5:
                suspicious = True
                if score >= side.thresholds.amber:
                    self._raise(side, at_s, changes)
        if not suspicious:
            for row in self._held:
                self._learn(*row)
            self._held = []
            self._learn(at_s, amount, expected, factor, expected * unit)
            self.carried = min(CARRIED_MAX, max(-CARRIED_MAX, amount / expected - 1.0))
            self.fresh = 1.0
        else:
            self._hold(at_s, amount, expected, factor, expected * unit)
            self.carried *= likeness
            self.fresh *= likeness * likeness
        return changes

    def expected(self, at_s: float) -> float:
        """The amount that an interval beginning at `at_s` should see."""
        return self.factor_level * self.profile.at(at_s + self.model.width_s * 0.5)

    def _warm_up(self, amount: float) -> Sequence[Change]:
        self._warm.append(amount)
        if len(self._warm) == WARM_ROWS:
            ordered = sorted(self._warm)[:-1]  # the highest may be the first report of an outage
            self.factor_level = max(WARM_AMOUNT_MIN, sum(ordered) / len(ordered))
        return ()

    def _hold(self, *row: float) -> None:
        """Keep an interval in doubt, HELD_MAX at most; an alarm that goes further than doubt teaches nothing at all."""
        for side in self.sides:
            if side.level > Level.AMBER:
                self._held = []
                return
        if len(self._held) < HELD_MAX:
            self._held.append(list(row))

    def _learn(self, at_s: float, amount: float, expected: float, factor: float, variance: float) -> None:
        model = self.model
        base = factor * self.factor_level
        off = amount - base
        most = max(CLIP_SD * math.sqrt(variance), CLIP_SD * model.shot)
        clipped = most if off > most else (-most if off < -most else off)
        # What an interval tells of the level is worth the less the more it varies: where counting makes the noise, a
        # single arrival at night tells next to nothing; where all moves together, the night tells as much as the day.
        worth = (model.shot + model.spread * self.factor_level) / (model.shot + model.spread * base)
        self.factor_level = max(1e-9, self.factor_level + self._alpha * worth * clipped)
        self.noise += self._alpha * 0.25 * (min(off * off / variance * self.noise, NOISE_CLIP) - self.noise)
        if self.noise < 1.0:
            self.noise = 1.0
        if not model.known:
            self._compare(off / math.sqrt(variance))
        if model.profile_share and expected > 0:
            self.profile.learn(at_s + model.width_s * 0.5, 1.0 + clipped / expected, model.profile_share)

    def _compare(self, score: float) -> None:
        """Learn how much neighbours resemble each other, and with that what one row's evidence is worth."""
        score = max(-CLIP_SD, min(CLIP_SD, score))
        last, product, square = self._likeness
        product += self._alpha * (score * last - product)
        square += self._alpha * (score * score - square)
        self._likeness = [score, product, square]
        likeness = min(1.0, max(0.0, product / square)) if square > 0.1 else 0.0
        self.discount = max(DISCOUNT_MIN, (1.0 - likeness) / (1.0 + likeness))

    def _raise(self, side: Side, at_s: float, changes: list[Change]) -> None:
        side.level = side.thresholds.level(side.score)
        side.start_s = side.started_s()
        side.since_s = at_s
        side.calm = []
        changes.append((side.kind, side.level, side.start_s, side.score))

    def _follow(
        self, side: Side, at_s: float, amount: float, expected: float, factor: float, changes: list[Change]
    ) -> None:
        level = side.thresholds.level(side.score)
        if level > side.level:
            side.level, side.start_s = level, side.started_s()
            changes.append((side.kind, level, side.start_s, side.score))
        window_s = max(self.model.calm_s, CALM_ROWS * self.model.width_s)
        side.calm.append([at_s, amount, expected, factor])
        while side.calm[0][0] <= at_s - window_s:
            side.calm.pop(0)
        full = at_s + self.model.width_s - side.calm[0][0] >= window_s and side.calm[0][0] > side.since_s
        seen, due = sum(row[1] for row in side.calm), sum(row[2] for row in side.calm)
        if (full and side.over(seen, due)) or (side.level is Level.AMBER and side.score <= 0):
            self._close(side, changes)
        elif at_s - side.since_s >= self.model.adopt_after_s:
            mean = seen / sum(row[3] for row in side.calm)
            self._held = []
            if self.factor_level / FORGET_FACTOR <= mean <= self.factor_level * FORGET_FACTOR:
                self.factor_level = mean
            else:
                self._forget(mean)
            self._close(side, changes)

    def _forget(self, level: float) -> None:
        self.model = self.model.forgotten()
        self.forgot = True
        self.profile = flat()
        self.factor_level = max(WARM_AMOUNT_MIN, level)
        self._warm = [level] * WARM_ROWS
        self._held = []
        self._alpha = 1.0 - 2.0 ** (-self.model.width_s / self.model.half_life_s)
        self.carried, self.fresh, self.noise, self.discount = 0.0, 1.0, 1.0, 1.0
        for side in self.sides:
            side.end()

    def _close(self, side: Side, changes: list[Change]) -> None:
        score = side.score
        side.end()
        changes.append((side.kind, Level.QUIET, side.start_s, score))

    def to_state(self) -> dict[str, Any]:
        """Everything that the future depends on, as plain values for JSON (the model apart)."""
        return {
            "factors": list(self.profile.factors),
            "level": self.factor_level,
            "noise": self.noise,
            "carried": self.carried,
            "fresh": self.fresh,
            "warm": list(self._warm),
            "forgot": self.forgot,
            "discount": self.discount,
            "likeness": list(self._likeness),
            "held": [list(row) for row in self._held],
            "sides": [
                [side.sums, side.starts, int(side.level), side.start_s, side.since_s, side.calm, side.score]
                for side in self.sides
            ],
        }

    @classmethod
    def from_state(cls, model: VolumeModel, state: Mapping[str, Any]) -> "VolumeWatch":
        """Back from `to_state`, with the same model."""
        watch = cls(model.forgotten() if state["forgot"] else model)
        watch.forgot, watch.discount = state["forgot"], state["discount"]
        watch._likeness = list(state["likeness"])
        watch.profile.factors = list(state["factors"])
        watch.factor_level, watch.noise = state["level"], state["noise"]
        watch.carried, watch.fresh = state["carried"], state["fresh"]
        watch._warm = list(state["warm"])
        watch._held = [list(row) for row in state.get("held", [])]  # not there in states of earlier builds
        for side, saved in zip(watch.sides, state["sides"], strict=True):
            sums, starts, level, side.start_s, side.since_s, calm, side.score = saved
            side.sums, side.starts, side.level = list(sums), list(starts), Level(level)
            side.calm = [list(row) for row in calm]
        return watch
