"""How soon anybody could about know: the delay of a judge who knows everything but chance.

A weak fault of a slow corridor shows in few transfers, and no rule reads from them what they do not tell. This judge
knows the usual failure rate, the faulty one and the volume exactly, meets no blip, no wandering and no broken vantage,
adds up every transfer and every synthetic test at full weight the moment it ends, and may open one false incident a
month over twenty corridors, as any other. For that, the sum of log-likelihood ratios with a floor at zero is the
fastest rule there is in its worst mean delay (Moustakides, Annals of Statistics 14, 1986). That says nothing exact of
a 95th percentile: a target a little below this one may be met, one far below cannot be from these signals. It is
drawn, not derived: the height that chance reaches as seldom is found by importance sampling under the fault.
"""

from dataclasses import dataclass

import numpy as np

from bench.det_faults import STRATA
from bench.det_platform import BUCKET_S, CORRIDORS, DAY_BUCKETS, EPOCH_S, FAIL_BASE, MONTH_DAYS, Floats, Platform
from bench.det_seeds import FIRST_JUDGED_DAY
from bench.det_stats import quantile
from bench.det_world import FLAKY_SHARE, PROBE_EVERY, VANTAGES

SEED = 7
TRIALS, PATHS, LONGEST = 1_000, 4_000, 1_200  # LONGEST: observations until a path is given up
FALSE_A_MINUTE = 1.0 / CORRIDORS / (MONTH_DAYS * 24 * 60)
HEIGHTS = np.arange(4.0, 24.0, 0.25)
GRID = 12  # volumes at which heights are found; between them on a straight line


@dataclass(frozen=True, slots=True)
class Bound:
    """The best that can be reached in one stratum, in seconds from the first affected transfer."""

    stratum: str
    median_s: float
    p95_s: float


@dataclass(frozen=True, slots=True)
class Signals:
    """What one corridor shows in a minute, and how often it fails: first transfers, then its bank's tests."""

    a_minute: Floats
    usual: Floats
    faulty: Floats

    def steps(self, rng: np.random.Generator, shape: tuple[int, int], rates: Floats) -> tuple[Floats, Floats]:
        """Paths of so many observations: the evidence of each, and which are failing transfers."""
        kind = (rng.random(shape) < self.a_minute[1] / self.a_minute.sum()).astype(np.intp)
        bad = rng.random(shape) < rates[kind]
        up, down = np.log(self.faulty / self.usual), np.log((1 - self.faulty) / (1 - self.usual))
        return np.where(bad, up[kind], down[kind]), bad & (kind == 0)


def signals(volume: float, share: float, *, tests: bool) -> Signals:
    """Of a corridor with `volume` transfers a minute, of which `share` fail."""
    usual = np.array([FAIL_BASE[0], FLAKY_SHARE])  # the quietest corridor: nobody has it easier
    tested = len(VANTAGES) * 60 / (PROBE_EVERY * BUCKET_S) if tests else 0.0
    return Signals(np.array([volume, tested]), usual, usual + share * (1 - usual))


def bounds(share: float, platforms: list[int], *, tests: bool, trials: int = TRIALS) -> list[Bound]:
    """By stratum, where `share` of a corridor's transfers (and, with `tests`, of its bank's tests) fail at once."""
    found = []
    for stratum in STRATA:
        rng = np.random.default_rng((SEED, list(STRATA).index(stratum), int(tests)))
        volumes = _volumes(rng, stratum, platforms, trials)
        at = np.geomspace(volumes.min(), volumes.max(), GRID)
        heights = [height(rng, signals(volume, share, tests=tests)) for volume in at]
        delays = [
            _delay(rng, signals(volume, share, tests=tests), float(np.interp(volume, at, heights)))
            for volume in volumes
        ]
        found.append(Bound(stratum, quantile(delays, 0.5), quantile(delays, 0.95)))
    return found


def _volumes(rng: np.random.Generator, stratum: str, platforms: list[int], trials: int) -> Floats:
    """Transfers a minute at the onset, drawn as the trials draw them."""
    low, high = STRATA[stratum]
    seen: list[float] = []
    worlds = [Platform(seed) for seed in platforms]
    while len(seen) < trials:
        world = worlds[int(rng.integers(len(worlds)))]
        index = (FIRST_JUDGED_DAY + int(rng.integers(MONTH_DAYS))) * DAY_BUCKETS + int(rng.integers(DAY_BUCKETS))
        volumes = world.expected_volume(EPOCH_S + index * BUCKET_S, 1)[0] * 60 / BUCKET_S
        volume = float(volumes[int(rng.integers(CORRIDORS))])
        if low <= volume < high:
            seen.append(volume)
    return np.array(seen)


def height(rng: np.random.Generator, shown: Signals, allowed: float = FALSE_A_MINUTE) -> float:
    """The height that chance reaches `allowed` times a minute: excursions begun, times how many get there."""
    quiet, _ = shown.steps(rng, (PATHS, 400), shown.usual)
    walked = np.cumsum(quiet, axis=1)
    at_floor = float((walked - np.minimum(0.0, np.minimum.accumulate(walked, axis=1)) <= 0).mean())
    failing = shown.a_minute * shown.usual
    begun = float(failing.sum()) * at_floor
    of_tests = (rng.random(PATHS) < failing[1] / failing.sum()).astype(np.intp)
    first = np.log(shown.faulty / shown.usual)[of_tests]
    walked = first[:, None] + np.cumsum(shown.steps(rng, (PATHS, LONGEST), shown.faulty)[0], axis=1)
    alive = np.minimum.accumulate(walked, axis=1) > 0
    for reached in HEIGHTS:
        there = (walked >= reached) & alive
        score = walked[np.arange(PATHS), there.argmax(axis=1)]
        if begun * float((np.exp(first - score) * there.any(axis=1)).mean()) <= allowed:
            return float(reached)
    raise ValueError("no height is high enough")


def _delay(rng: np.random.Generator, shown: Signals, reached: float) -> float:
    """Seconds from the first failing transfer until the sum reaches the height; 0 where the tests were faster."""
    steps, harmed = shown.steps(rng, (1, LONGEST), shown.faulty)
    walked = np.cumsum(steps[0])
    sums = walked - np.minimum(0.0, np.minimum.accumulate(walked))
    times = np.cumsum(rng.exponential(60 / shown.a_minute.sum(), LONGEST))
    if not (sums >= reached).any() or not harmed.any():
        return float("inf")
    return max(0.0, float(times[(sums >= reached).argmax()] - times[harmed[0].argmax()]))
