"""From quiet amounts to a volume's model: shape, level, noise, and the thresholds that its own chance demands.

Rows of the quiet part that were not quiet (an outage nobody marked) are set aside before anything is learnt for
good, if they are few; if they are many they are how this series is.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from hakika.health.fitting import BLOCK_S, block_order, excursions, raised_by_chance
from hakika.health.judgement import SHARE_PER_S, Level, floors_at
from hakika.health.profile import DAY_S, Row, fit_week
from hakika.health.volume import (
    CARRIED_MAX,
    DISCOUNT_MIN,
    DROP,
    RISE,
    RISES,
    UNKNOWN_HALF_LIFE_ROWS,
    UNKNOWN_HALF_LIFE_S,
    Side,
    VolumeModel,
    VolumeWatch,
)

FIRST_S = 6 * 3600.0
LEVEL_MIN = 1e-3
ROWS_MIN = 24  # fewer are no quiet data
SPREAD_MIN = 0.0025  # 5 %: nothing real is steadier than that for long
NOISE_CLIP_SD = 4.0
LIKENESS_MIN = 0.3  # below it the last interval foretells nothing
LIKENESS_MAX = 0.95
HALF_LIVES_S = (3600.0, 6 * 3600.0, DAY_S, 3 * DAY_S, 7 * DAY_S)
FORETELL_S = 1800.0
FORETELL_ROWS_MIN, FORETELL_ROWS_MAX = 6, 180
HALF_LIFE_ROWS = 12
HALF_LIFE_COUNTS = 300.0
SET_ASIDE_FACTOR = 2.0
SET_ASIDE_MAX = 0.05
PROFILE_SHARE = 0.1

Pair = tuple[float, float]  # amount, expected


def fit_volume(
    rows: Sequence[Row],
    width_s: float,
    *,
    drop: bool = True,
    rise: bool = False,
    adopt_after_s: float = math.inf,
    share_per_s: float = SHARE_PER_S,
    everyday: bool = False,
) -> VolumeModel:
    """The model of a series from its quiet rows (start in unix seconds, amount), sorted by time.

    `share_per_s` is how many false alarms a second each of its two directions may raise.
    """
    floors = VolumeModel(
        width_s=width_s,
        drop=floors_at(width_s, share_per_s) if drop else None,
        rise=floors_at(width_s, share_per_s) if rise else None,
        adopt_after_s=adopt_after_s,
        half_life_s=max(UNKNOWN_HALF_LIFE_S, UNKNOWN_HALF_LIFE_ROWS * width_s),
        everyday=everyday,
    )
    if len(rows) < ROWS_MIN:
        return floors
    model = _fit(rows, floors)
    calm = _without_episodes(rows, model)
    if ROWS_MIN <= len(calm) < len(rows) and len(calm) >= (1 - SET_ASIDE_MAX) * len(rows):
        rows = calm
        model = _fit(rows, floors)
    return _calibrated(model, rows, share_per_s)


def _fit(rows: Sequence[Row], floors: VolumeModel) -> VolumeModel:
    width_s = floors.width_s
    profile = fit_week(rows, width_s)
    mean = sum(value for _, value in rows) / len(rows)
    whole = all(float(value).is_integer() for _, value in rows)
    least_s = max(HALF_LIVES_S[0], HALF_LIFE_ROWS * width_s)
    if whole:
        least_s = max(least_s, min(HALF_LIVES_S[-1], HALF_LIFE_COUNTS * width_s / max(mean, 1e-6)))
    model = replace(
        floors,
        profile=profile,
        level=max(LEVEL_MIN, mean),
        shot=1.0 if whole else 1e-6 * max(mean, 1e-6),
        spread=0.25,
        half_life_s=least_s,
        profile_share=PROFILE_SHARE * min(1.0, width_s / profile.bin_s) if profile.period_s else 0.0,
        known=True,
    )
    start = _first_level(rows, model)
    candidates = sorted({max(least_s, half_life_s) for half_life_s in HALF_LIVES_S})
    errors = [(_foretelling_error(rows, replace(model, level=start, half_life_s=one)), one) for one in candidates]
    model = replace(model, half_life_s=min(errors)[1])
    pairs, level = _followed(rows, replace(model, level=start))
    shot, spread = _noise(pairs, whole, mean)
    likeness = _likeness(pairs, shot, spread)
    discount = max(DISCOUNT_MIN, (1 - likeness) / (1 + likeness))
    return replace(
        model,
        level=level,
        shot=shot,
        spread=spread,
        discount=discount,
        likeness=likeness if likeness >= LIKENESS_MIN else 0.0,
    )


def _first_level(rows: Sequence[Row], model: VolumeModel) -> float:
    """The level with which the rows begin: that of their first day or week."""
    end_s = rows[0][0] + max(model.profile.period_s, FIRST_S)
    first = [row for row in rows if row[0] < end_s]
    shape = sum(model.profile.at(at_s + model.width_s / 2) for at_s, _ in first)
    return max(LEVEL_MIN, sum(value for _, value in first) / shape)


def _followed(rows: Sequence[Row], model: VolumeModel) -> tuple[list[Pair], float]:
    """Each row's amount and what was expected of it, the level following; and the level at the end."""
    watch = VolumeWatch(replace(model, drop=None, rise=None))
    pairs = []
    for at_s, amount in rows:
        pairs.append((amount, max(watch.expected(at_s), 1e-9)))
        watch.step(at_s, amount)
    return pairs, watch.factor_level


def _foretelling_error(rows: Sequence[Row], model: VolumeModel) -> float:
    """How far off, on average, the level of some time ago is: a baseline stands still while an alarm is judged."""
    watch = VolumeWatch(replace(model, drop=None, rise=None))
    ahead = min(FORETELL_ROWS_MAX, max(FORETELL_ROWS_MIN, int(FORETELL_S / model.width_s)))
    levels: list[float] = []
    total = scale = 0.0
    for at_s, amount in rows:
        levels.append(watch.factor_level)
        if len(levels) > ahead:
            due = levels[-1 - ahead] * watch.profile.at(at_s + model.width_s / 2)
            total += abs(amount - due)
            scale += due
        watch.step(at_s, amount)
    return total / scale if scale > 0 else 0.0


def _noise(pairs: Sequence[Pair], whole: bool, mean: float) -> tuple[float, float]:
    """(shot, spread): the regression of squared ratios off on one over the mean, robust against single rows."""
    least = 1.0 if whole else 1e-6 * max(mean, 1e-6)
    floor = max(least * 0.05, mean * 0.02)
    points = [(1 / max(due, floor), ((seen - due) / max(due, floor)) ** 2) for seen, due in pairs]
    if whole and mean < 5:
        total = sum((seen - due) ** 2 for seen, due in pairs) / len(pairs)
        square = sum(due * due for _, due in pairs) / len(pairs)
        return 1.0, max(SPREAD_MIN, (total - sum(due for _, due in pairs) / len(pairs)) / square if square else 0.1)
    ordered = sorted(value for _, value in points)
    limit = NOISE_CLIP_SD**2 * max(SPREAD_MIN, ordered[int(len(ordered) * 0.68)])
    points = [(inverse, min(value, limit)) for inverse, value in points]
    return _line(points, least)


def _line(points: Sequence[tuple[float, float]], least: float) -> tuple[float, float]:
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    wide = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / wide if wide > 0 else least
    shot = min(max(least, slope), max(least, mean_y / mean_x))
    return shot, max(SPREAD_MIN, mean_y - shot * mean_x)


def _likeness(pairs: Sequence[Pair], shot: float, spread: float) -> float:
    """How much neighbours resemble each other: the correlation at lag one, 0 to 1."""
    scores = [
        max(-NOISE_CLIP_SD, min(NOISE_CLIP_SD, (seen - due) / math.sqrt(due * (shot + spread * due))))
        for seen, due in pairs
    ]
    mean = sum(scores) / len(scores)
    own = sum((score - mean) ** 2 for score in scores)
    if own <= 0:
        return 0.0
    lagged = sum((one - mean) * (two - mean) for one, two in pairwise(scores))
    return min(LIKENESS_MAX, max(0.0, lagged / own))


def _without_episodes(rows: Sequence[Row], model: VolumeModel) -> list[Row]:
    """The rows outside what the fitted model itself would publish twice over."""
    level = _first_level(rows, model)
    watch = VolumeWatch(
        replace(
            model,
            level=level,
            drop=model.drop and model.drop.times(SET_ASIDE_FACTOR),
            rise=model.rise and model.rise.times(SET_ASIDE_FACTOR),
            adopt_after_s=DAY_S,
        )
    )
    episodes: list[tuple[float, float]] = []
    open_since: dict[str, float] = {}
    for row in rows:
        for kind, reached, start_s, _ in watch.step(*row):
            if reached is Level.PUBLISH:
                open_since.setdefault(kind, start_s)
            elif reached is Level.QUIET and kind in open_since:
                episodes.append((open_since.pop(kind), row[0]))
    episodes += [(start_s, rows[-1][0]) for start_s in open_since.values()]
    return [row for row in rows if not any(start <= row[0] <= end for start, end in episodes)]


def _calibrated(model: VolumeModel, rows: Sequence[Row], share_per_s: float) -> VolumeModel:
    """The model with its thresholds raised to what chance reaches when blocks of the quiet rows are put together."""
    level = _first_level(rows, model)
    pairs, _ = _followed(rows, replace(model, level=level))
    order = block_order(len(pairs), max(1, int(BLOCK_S / model.width_s)))
    indexes = [index for begin, end in order for index in range(begin, end)]
    sides = []
    if model.drop:
        sides.append(Side(DROP, model.drops, model.drop))
    if model.rise:
        sides.append(Side(RISE, RISES, model.rise))
    found = {}
    for side in sides:
        floors, side.thresholds = side.thresholds, side.thresholds.times(1e6)
        scores = _scores(model, side, [pairs[index] for index in indexes], floors.amber / 2)
        found[side.kind] = raised_by_chance(excursions(scores), len(indexes) * model.width_s, floors, share_per_s)
    return replace(model, drop=found.get(DROP), rise=found.get(RISE))


def _scores(model: VolumeModel, side: Side, pairs: Sequence[Pair], suspicious: float) -> Iterator[float]:
    """The side's score after each pair, as `VolumeWatch.step` would have it."""
    carried, fresh = 0.0, 1.0
    for amount, expected in pairs:
        worth = model.discount / (model.shot + model.spread * expected)
        side.add(0.0, amount, expected, worth, math.inf)
        if model.likeness:
            foretold = side.beyond(expected, expected * (1.0 + model.likeness * carried))
            sudden = model.worth_foretold(foretold, fresh, worth)
            side.add(0.0, amount, foretold, sudden, math.inf, len(side.ratios))
            if side.score >= suspicious:
                carried, fresh = carried * model.likeness, fresh * model.likeness**2
            else:
                fresh = 1.0
                carried = max(-CARRIED_MAX, min(CARRIED_MAX, amount / expected - 1.0))
        yield side.score
