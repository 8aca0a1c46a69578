"""From quiet data to a model: the usual rate or amount, how much it varies, and the score that chance reaches.

Thresholds are calibrated on the series' own quiet data: blocks of it are put together anew, the same sums run over
them, and the peaks they reach by chance are extended to the height that is reached as seldom as the series' share
of the platform's false alarms allows. Where the quiet data is too short or too calm to say, the floors hold; and
only two weeks of it can lower a threshold, because a series that was lucky so far is not one without luck.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

from hakika.health.failures import RATES_AT, USUAL_MAX, USUAL_MIN, FailureModel, FailureWatch
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
RHO_RAISE_MAX = 1.4  # a threshold extended further than that says that rho is too small
TAILS = (0.1, 0.02, 0.005)  # of the peaks of failures: what is rare is not what is frequent, further out
TRUST_S = 56 * 86_400.0  # of quiet data, before what it has not shown is taken not to happen
RHO_CLIP_SD = 5.0
RHO_NEEDS = 20.0  # pairs of failures within one interval that the largest rho would have made in the quiet data
REPLICAS = 3
STEPS_MAX = 200_000


def block_order(rows: int, block: int, replicas: int = REPLICAS) -> list[tuple[int, int]]:
    """(first, end) of blocks of `block` rows, drawn with replacement; the same draw each time it is asked."""
    if rows <= block:
        return [(0, rows)] * replicas
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
    counts: Sequence[tuple[int, int]],
    width_s: float,
    floors: Thresholds,
    *,
    prior: float = RATES_AT,
    share_per_s: float = SHARE_PER_S,
    trust_s: float = TRUST_S,
) -> FailureModel:
    """The usual rate, the shared fate and the thresholds of (attempts, failed) by interval, in the order of time.

    Rho begins with what the variance says, drawn towards its largest while there is less than `trust_s` seconds of
    quiet data. Variance does not see rare lumps (a blip of half a minute a day), which
    the highest peaks do, so rho and the threshold are chosen together: of the pairs that chance passes seldom enough,
    the one that is fastest to see an outage at this series' volume.
    """
    attempts = sum(seen for seen, _ in counts)
    failed = sum(bad for _, bad in counts)
    usual = (failed + prior * PRIOR_ATTEMPTS) / (attempts + PRIOR_ATTEMPTS)
    usual = min(USUAL_MAX, max(USUAL_MIN, usual))
    trusted = min(1.0, len(counts) * width_s / trust_s)
    rho = max(_rho(counts, usual), RHO_MAX * (1.0 - trusted * trusted))
    if failed < PEAKS_MIN:
        return FailureModel(usual, rho, floors, float(attempts))
    order = block_order(len(counts), max(1, int(FAILURE_BLOCK_S / width_s)))
    drawn = [pair for first, end in order for pair in counts[first:end]]
    together = sum(seen * seen for seen, _ in drawn) / max(1, sum(seen for seen, _ in drawn))
    best: tuple[float, float, float] | None = None
    while True:
        peaks = excursions(_scores(drawn, usual, rho))
        reached = max(
            [floors.publish]
            + [reached_by_chance(peaks, len(drawn) * width_s, share_per_s, share) for share in TAILS if peaks]
        )
        slowness = reached * (1.0 + (together - 1.0) * rho)
        if reached <= RHO_RAISE_MAX * floors.publish and (best is None or slowness < best[0]):
            best = slowness, rho, reached
        if rho >= RHO_MAX:
            break
        rho = min(RHO_MAX, rho * RHO_STEP)
    _, rho, reached = best or (0.0, RHO_MAX, RAISE_MAX * floors.publish)
    return FailureModel(usual, rho, floors.times(reached / floors.publish), float(attempts))


def _scores(counts: Sequence[tuple[int, int]], usual: float, rho: float) -> Iterator[float]:
    """The score after each interval, nothing judged."""
    watch = FailureWatch(FailureModel(usual, rho, FLOORS.times(1e6)))
    for seen, bad in counts:
        if bad or (seen and not watch.asleep):
            watch.weigh(0.0, seen, bad)
        yield watch.score


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
