"""From quiet data to a model: the usual rate or amount, how much it varies, and the score that chance reaches.

Thresholds are calibrated on the series' own quiet data: blocks of it are put together anew, the same sums run over
them, and the peaks they reach by chance are extended to the height that is reached as seldom as the series' share
of the platform's false alarms allows. Where the quiet data is too short or too calm to say, the floors hold; and
only two weeks of it can lower a threshold, because a series that was lucky so far is not one without luck.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hakika.health.failures import RATES, USUAL_MAX, USUAL_MIN, FailureModel, FailureWatch
from hakika.health.judgement import FLOORS, SHARE_PER_S, Thresholds

PEAKS_MIN = 20
PEAKS_SHARE = 0.1
RAISE_MAX = 3.0  # quiet data that demands more was not quiet
LOWER_FROM_S = 14 * 86_400.0  # with two weeks of quiet data a series that never strays may have less than the floor
LOWER_LEAST = 0.85
BLOCK_S = 6 * 3600.0
FAILURE_BLOCK_S = 3600.0
PRIOR_ATTEMPTS = 200.0
RHO_MIN, RHO_MAX, RHO_STEP = 0.005, 0.1, 2.2
TAILS = (0.1, 0.02, 0.005, 0.0)  # of the peaks of failures, PEAKS_MIN at least: what is rare is not what is frequent
TRUST_S = 56 * 86_400.0  # of quiet data, before what it has not shown is taken not to happen
RHO_CLIP_SD = 5.0
RHO_NEEDS = 20.0  # pairs of failures within one interval that the largest rho would have made in the quiet data
REPLICAS = 3
BLIP_SHARE, BLIP_S = 0.15, 60.0  # so much, for so long, is harmless and happens every day: never published
BLIP_SD = 3.2  # of thousands of blips one is further off than that
UNKNOWN_TOGETHER = 10.0
WANDERING = (1.6, 1.3, 1.15, 1.0)  # of the floor, for each rate: what is usual wanders, and weak sums gather that
FEW, MANY = 2.0, 10.0  # attempts together: up to FEW nothing gathers by wandering, from MANY on all of it does
FEW_HEIGHT = 0.72  # of the floor, where attempts are few and the quiet data has shown no more
NOTHING = (0.0,) * len(RATES)
STEPS_MAX = 250_000  # intervals: four weeks at 10 s
OUTAGES = ((0.2, 300.0), (0.5, 60.0))  # shares of failures, and the seconds within which they are to be seen


def block_order(rows: int, block: int, replicas: int = REPLICAS) -> list[tuple[int, int]]:
    """(first, end) of blocks of `block` rows, drawn with replacement; the same draw each time it is asked.

    Of more rows than can be drawn twice: all of them once.
    """
    if rows <= block:
        return [(0, rows)] * replicas
    if 2 * rows > STEPS_MAX:
        return [(0, rows)]  # so much says more in its own order than in a sample of it
    total = min(STEPS_MAX, rows * replicas)
    state, order, taken = 0x9E3779B9, [], 0
    while taken < total:
        state = (state * 6364136223846793005 + 1442695040888963407) & (2**64 - 1)
        first = (state >> 33) % (rows - block + 1)
        order.append((first, first + block))
        taken += block
    return order


def raised_by_chance(
    peaks: Sequence[float], watched_s: float, floors: Thresholds, share_per_s: float = SHARE_PER_S
) -> Thresholds:
    """The floors, raised until chance reaches the publishing one as seldom as `share_per_s` allows.

    `peaks` are the highest scores of separate excursions within `watched_s` seconds. Their upper tail is taken to
    fall off exponentially.
    """
    least = LOWER_LEAST if watched_s / REPLICAS >= LOWER_FROM_S else 1.0
    if watched_s <= 0 or len(peaks) < PEAKS_MIN:
        highest = max(peaks, default=0.0)
        return floors.times(min(RAISE_MAX, max(1.0, 1.5 * highest / floors.publish)))
    reached = reached_by_chance(peaks, watched_s, share_per_s, PEAKS_SHARE)
    return floors.times(min(RAISE_MAX, max(least, reached / floors.publish)))


def reached_by_chance(peaks: Sequence[float], watched_s: float, share_per_s: float, tail_share: float) -> float:
    """The score that chance reaches as seldom as `share_per_s`, from the highest `tail_share` of the peaks."""
    ordered = sorted(peaks, reverse=True)
    tail = ordered[: max(PEAKS_MIN, int(len(ordered) * tail_share))]
    start = tail[-1]
    mean_excess = sum(peak - start for peak in tail) / len(tail)
    return start + mean_excess * max(0.0, math.log(len(tail) / watched_s / share_per_s))


def excursions(scores: Iterable[float]) -> list[float]:
    """The highest score of each run above zero."""
    peaks, highest = [], 0.0
    for score in scores:
        if score > 0:
            highest = max(highest, score)
        elif highest > 0:
            peaks.append(highest)
            highest = 0.0
    if highest > 0:
        peaks.append(highest)
    return peaks


def fit_failures(
    counts: Mapping[str, Sequence[tuple[int, int]]],
    width_s: float,
    floors: Thresholds,
    *,
    priors: Mapping[str, float],
    share_per_s: float = SHARE_PER_S,
    trust_s: float = TRUST_S,
    blips: bool = True,
) -> dict[str, FailureModel]:
    """Models of kinds of failure that have the same blips; `counts` are (attempts, failed) by interval, in the order
    of time, and `share_per_s` is how many false alarms a second each kind may raise.

    Each has its own usual rate. Rho begins with what the variance says, drawn towards its largest while there is less
    than `trust_s` seconds of quiet data. Variance does not see rare lumps (a blip of half a minute a day), which the
    highest peaks do, so rho and the height of each rate's sum are chosen together: of the choices that chance passes
    seldom enough, the one that is fastest to see outages at this series' volume. The peaks of all kinds are taken
    together: what has struck one reason in these weeks may strike another in the next. With `blips` a tolerated blip
    reaches no height either, whether the quiet data had one or not.
    """
    kinds = {kind: _Kind.of(rows[-STEPS_MAX:], priors[kind]) for kind, rows in counts.items()}
    length = min(STEPS_MAX, len(next(iter(counts.values()), ())))
    trusted = min(1.0, length * width_s / trust_s)
    rho = max([RHO_MAX * (1.0 - trusted * trusted), *(_rho(kind.rows, kind.usual) for kind in kinds.values())])
    if sum(kind.failed for kind in kinds.values()) < PEAKS_MIN:
        return {
            name: untaught(
                kind.usual, rho, width_s, floors, together=kind.together, attempts=kind.attempts, blips=blips
            )
            for name, kind in kinds.items()
        }
    order = block_order(length, max(1, int(FAILURE_BLOCK_S / width_s)))
    for kind in kinds.values():
        kind.rows = [pair for first, end in order for pair in kind.rows[first:end]]
    watched_s = sum(len(kind.rows) for kind in kinds.values()) * width_s
    lowest = max(height_share(kind.together) for kind in kinds.values()) if blips else 1.0
    best: tuple[float, float, tuple[float, ...]] | None = None
    while True:
        pooled: list[list[float]] = [[] for _ in RATES]
        for kind in kinds.values():
            for together, own in zip(pooled, _peaks(kind.rows, kind.usual, rho), strict=True):
                together += own
        least = [kind.least(width_s, rho, floors) for kind in kinds.values()] if blips else [NOTHING]
        heights = tuple(
            max(_height(peaks, watched_s, share_per_s, floors, lowest), *(reached[place] for reached in least))
            for place, peaks in enumerate(pooled)
        )
        found = sum(_slowness(heights, kind, rho) for kind in kinds.values()), rho, heights
        if max(heights) <= RAISE_MAX * floors.publish and (best is None or found < best):
            best = found
        if rho >= RHO_MAX:
            break
        rho = min(RHO_MAX, rho * RHO_STEP)
    _, rho, reached = best or (0.0, RHO_MAX, tuple(min(RAISE_MAX * floors.publish, height) for height in heights))
    factors = tuple(height / floors.publish for height in reached)
    return {name: FailureModel(kind.usual, rho, floors, kind.attempts, factors) for name, kind in kinds.items()}


@dataclass(slots=True)
class _Kind:
    """The quiet data of one kind of failure."""

    rows: Sequence[tuple[int, int]]
    attempts: float
    failed: int
    usual: float
    together: float  # attempts in the interval that an attempt is in, on average

    @classmethod
    def of(cls, rows: Sequence[tuple[int, int]], prior: float) -> "_Kind":
        attempts = sum(seen for seen, _ in rows)
        failed = sum(bad for _, bad in rows)
        usual = (failed + prior * PRIOR_ATTEMPTS) / (attempts + PRIOR_ATTEMPTS)
        together = sum(seen * seen for seen, _ in rows) / max(1, attempts)
        return cls(rows, float(attempts), failed, min(USUAL_MAX, max(USUAL_MIN, usual)), max(1.0, together))

    def least(self, width_s: float, rho: float, floors: Thresholds) -> tuple[float, ...]:
        """The least height of each sum at this kind's volume."""
        return tolerated(self.usual, rho, width_s, floors, self.together)


def untaught(
    usual: float,
    rho: float,
    width_s: float,
    floors: Thresholds,
    *,
    together: float = UNKNOWN_TOGETHER,
    attempts: float = 0.0,
    blips: bool = True,
) -> FailureModel:
    """The model where quiet data says nothing of failures: the floors, and above them what a tolerated blip reaches."""
    reached = tolerated(usual, rho, width_s, floors, together) if blips else NOTHING
    heights = [max(floors.publish, height) for height in reached]
    return FailureModel(usual, rho, floors, attempts, tuple(height / floors.publish for height in heights))


def blip_reach(usual: float, rho: float, width_s: float, together: float = UNKNOWN_TOGETHER) -> tuple[float, ...]:
    """How high a tolerated blip drives the sum of each rate looked for: up to BLIP_SHARE of a minute's attempts fail.

    Few attempts vary more and many count for less, so several volumes up to `together` attempts an interval are tried.
    """
    highest = [0.0] * len(RATES)
    for attempts in {1.0, 3.0, 10.0, 30.0, together}:
        if attempts > together:
            continue
        struck = attempts * BLIP_S / width_s
        failed = min(struck, BLIP_SHARE * struck + BLIP_SD * math.sqrt(BLIP_SHARE * struck) + 1.0)
        seen = max(attempts, struck)
        for place, rate in enumerate(FailureModel(usual).rates()):
            reach = failed * math.log(rate / usual) + (seen - failed) * math.log((1 - rate) / (1 - usual))
            highest[place] = max(highest[place], reach / (1.0 + (attempts - 1.0) * rho))
    return tuple(highest)


def tolerated(usual: float, rho: float, width_s: float, floors: Thresholds, together: float) -> tuple[float, ...]:
    """The least height of each rate's sum: above a tolerated blip, and above what is usual when it wanders."""
    reached = blip_reach(usual, rho, width_s, together)
    gathers, height = gathering(together), height_share(together) * floors.publish
    heights = ((1.0 + (factor - 1.0) * gathers) * height for factor in WANDERING)
    return tuple(max(reach, least) for reach, least in zip(reached, heights, strict=True))


def gathering(together: float) -> float:
    """How much of a wandering rate a sum gathers: all of it where attempts are many, nothing where they are few."""
    return min(1.0, max(0.0, math.log(together / FEW) / math.log(MANY / FEW)))


def height_share(together: float) -> float:
    """The share of the floor that a sum must reach: the floors were measured where attempts are many."""
    return FEW_HEIGHT + (1.0 - FEW_HEIGHT) * gathering(together)


def _height(
    peaks: Sequence[float], watched_s: float, share_per_s: float, floors: Thresholds, lowest: float = 1.0
) -> float:
    """The score that chance reaches seldom enough, and the `lowest` share of the floor at least."""
    tails = [reached_by_chance(peaks, watched_s, share_per_s, share) for share in TAILS if peaks]
    return max([lowest * floors.publish, *tails])


def _slowness(heights: Sequence[float], kind: _Kind, rho: float) -> float:
    """How long outages last before they are seen, each in parts of the time that it may take."""
    usual, slowness = kind.usual, 0.0
    worth = kind.together / (1.0 + (kind.together - 1.0) * rho)  # attempts' worth of evidence in an interval
    rates = FailureModel(usual).rates()
    for share, allowed_s in OUTAGES:
        gains = [share * math.log(rate / usual) + (1 - share) * math.log((1 - rate) / (1 - usual)) for rate in rates]
        seen = [height / (worth * gain) for height, gain in zip(heights, gains, strict=True) if gain > 0]
        slowness += min(seen, default=math.inf) / allowed_s
    return slowness


def _peaks(counts: Sequence[tuple[int, int]], usual: float, rho: float) -> list[list[float]]:
    """The highest value of each run above zero, for the sum of each rate looked for; nothing is judged."""
    watch = FailureWatch(FailureModel(usual, rho, FLOORS.times(1e6)))
    peaks: list[list[float]] = [[] for _ in watch.sums]
    highest = [0.0] * len(peaks)
    for seen, bad in counts:
        if not (bad or (seen and not watch.asleep)):
            continue
        watch.weigh(0.0, seen, bad)
        for place, total in enumerate(watch.sums):
            if total > highest[place]:
                highest[place] = total
            elif total <= 0.0 and highest[place] > 0.0:
                peaks[place].append(highest[place])
                highest[place] = 0.0
    for place, left in enumerate(highest):
        if left > 0.0:
            peaks[place].append(left)
    return peaks


def _rho(counts: Sequence[tuple[int, int]], usual: float) -> float:
    """From how much more than binomial the counts vary; the default where there is too little to say."""
    variance = usual * (1 - usual)
    pairs = excess = 0.0
    for seen, bad in counts:
        if seen > 1:
            off = bad - seen * usual
            limit = RHO_CLIP_SD**2 * seen * variance * (1 + (seen - 1) * RHO_MAX)
            excess += min(off * off, limit) - seen * variance
            pairs += seen * (seen - 1) * variance
    if pairs * RHO_MAX < RHO_NEEDS:
        return RHO_MAX
    return min(RHO_MAX, max(RHO_MIN, excess / pairs))
