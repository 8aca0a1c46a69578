"""What a series usually does at this time of the day or of the week, learnt from its own quiet data.

A profile is a shape: factors around 1 by position in the period, joined by straight lines. The level that it is
multiplied by belongs to whoever uses it, because levels grow and shapes stay. With a week of quiet data the days of
the week differ, and the more weeks there are the more each hour of them is its own; with two days there is the shape
of a day, with less none: a profile guessed from one day would raise an alarm each time the second one differed.
Days are those of the time given (UTC unless shifted before).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

DAY_S = 86_400.0
WEEK_S = 7 * DAY_S
WEEK_NEEDS_S = 7 * DAY_S
DAY_NEEDS_S = 2 * DAY_S
DAY_BIN_S = 900.0
WEEK_BIN_S = 3600.0
COUNT_PER_BIN_MIN = 30.0  # fewer, and the shape is mostly chance: the bins are widened
BIN_MAX_S = 4 * 3600.0
TRIM_FROM = 5  # occurrences of a bin, from which its highest and lowest are left out
SHRINK_VISITS = 2.0  # a bin of the week counts as having been seen this often at its day's usual shape
FACTOR_MIN = 0.02  # of the mean: a shape of zero would make a single arrival impossible

Row = tuple[float, float]  # start of the interval in unix seconds, amount seen in it


@dataclass(slots=True)
class Profile:
    """Factors by bin; `period_s` of 0 is the flat profile."""

    period_s: float
    bin_s: float
    factors: list[float]

    def at(self, middle_s: float) -> float:
        """The factor at an instant (the middle of an interval)."""
        if not self.period_s:
            return 1.0
        position = (middle_s % self.period_s) / self.bin_s - 0.5
        index = math.floor(position)
        share = position - index
        factors = self.factors
        low = factors[index]  # -1 is the last bin: the period is a ring
        index += 1
        return low + (factors[index if index < len(factors) else 0] - low) * share

    def learn(self, middle_s: float, ratio: float, share: float) -> None:
        """Move the nearest bin's factor by `share` of the way to what was seen, `ratio` times as much."""
        if self.period_s:
            index = int((middle_s % self.period_s) / self.bin_s) % len(self.factors)
            moved = self.factors[index] * (1.0 + share * (ratio - 1.0))
            self.factors[index] = max(FACTOR_MIN, moved)


def flat() -> Profile:
    """No shape: every instant is like every other."""
    return Profile(0.0, DAY_S, [1.0])


def fit_day(rows: Sequence[Row], width_s: float) -> Profile:
    """The shape of the day; flat where there are less than two days or too few counts for any bin."""
    if _span_s(rows, width_s) < DAY_NEEDS_S:
        return flat()
    bin_s = _bin_s(rows, width_s)
    if bin_s is None:
        return flat()
    visits = _visits(_detrended(rows, DAY_S, width_s), DAY_S, bin_s, width_s)
    return _joined(DAY_S, bin_s, [_trimmed(seen.values()) for seen in visits])


def fit_week(rows: Sequence[Row], width_s: float) -> Profile:
    """The shape of the week, drawn towards the shape of its day; the day's shape where there is less than that."""
    day = fit_day(rows, width_s)
    if _span_s(rows, width_s) < WEEK_NEEDS_S or not day.period_s:
        return day
    bin_s = max(WEEK_BIN_S, day.bin_s)
    level = _detrended(rows, WEEK_S, width_s)
    visits = _visits(level, WEEK_S, bin_s, width_s)
    of_day = _day_means(level)
    factors = []
    for index, seen in enumerate(visits):
        middle_s = (index + 0.5) * bin_s
        usual = day.at(middle_s) * of_day[int(middle_s // DAY_S) % 7]
        mean = _trimmed(seen.values())
        count = len(seen)
        factors.append(usual if mean is None else (mean * count + usual * SHRINK_VISITS) / (count + SHRINK_VISITS))
    return _joined(WEEK_S, bin_s, factors)


def _span_s(rows: Sequence[Row], width_s: float) -> float:
    return rows[-1][0] - rows[0][0] + width_s if rows else 0.0


def _bin_s(rows: Sequence[Row], width_s: float) -> float | None:
    days = max(1.0, _span_s(rows, width_s) / DAY_S)
    whole = all(float(value).is_integer() for _, value in rows)
    per_day = sum(value for _, value in rows) / days
    bin_s = max(DAY_BIN_S, width_s)
    while whole and per_day * days * bin_s / DAY_S < COUNT_PER_BIN_MIN:
        bin_s *= 2
        if bin_s > BIN_MAX_S:
            return None
    return DAY_S / max(1, round(DAY_S / bin_s))


def _detrended(rows: Sequence[Row], window_s: float, width_s: float) -> list[tuple[float, float]]:
    """Each row as a ratio to the mean of the window around it, so that growth is not taken for shape."""
    times = [at_s for at_s, _ in rows]
    sums = [0.0]
    for _, value in rows:
        sums.append(sums[-1] + value)
    overall = sums[-1] / len(rows)
    ratios = []
    low = high = 0
    for at_s, value in rows:
        centre_s = min(max(at_s, times[0] + window_s / 2), max(times[-1] + width_s - window_s / 2, times[0]))
        while times[low] < centre_s - window_s / 2:
            low += 1
        while high < len(times) and times[high] < centre_s + window_s / 2:
            high += 1
        mean = (sums[high] - sums[low]) / (high - low) if high > low else overall
        ratios.append((at_s, value / mean if mean > 0 else 1.0))
    return ratios


def _visits(
    ratios: Iterable[tuple[float, float]], period_s: float, bin_s: float, width_s: float
) -> list[dict[int, float]]:
    """For each bin, its mean in each period (by the period's number)."""
    bins = max(1, round(period_s / bin_s))
    sums: list[dict[int, tuple[float, int]]] = [{} for _ in range(bins)]
    for at_s, ratio in ratios:
        middle_s = at_s + width_s / 2
        index = int((middle_s % period_s) / bin_s) % bins
        number = int(middle_s // period_s)
        total, count = sums[index].get(number, (0.0, 0))
        sums[index][number] = (total + ratio, count + 1)
    return [{number: total / count for number, (total, count) in seen.items()} for seen in sums]


def _trimmed(values: Iterable[float]) -> float | None:
    ordered = sorted(values)
    if len(ordered) >= TRIM_FROM:
        cut = max(1, len(ordered) // 10)
        ordered = ordered[cut:-cut]
    return sum(ordered) / len(ordered) if ordered else None


def _day_means(ratios: Iterable[tuple[float, float]]) -> list[float]:
    """How each day of the week compares with the week's mean, by days since 1970 modulo 7."""
    seen: list[list[float]] = [[] for _ in range(7)]
    for at_s, ratio in ratios:
        seen[int(at_s // DAY_S) % 7].append(ratio)
    return [sum(day) / len(day) if day else 1.0 for day in seen]


def _joined(period_s: float, bin_s: float, factors: Sequence[float | None]) -> Profile:
    known = [factor for factor in factors if factor is not None]
    mean = sum(known) / len(known) if known else 1.0
    if mean <= 0:
        return flat()
    return Profile(
        period_s, bin_s, [max(FACTOR_MIN, (mean if factor is None else factor) / mean) for factor in factors]
    )
