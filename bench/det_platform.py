"""The simulated platform: 20 corridors from 0.6 to 600 transfers a minute, and what is usual for each of them.

A platform is drawn whole from one seed: volumes by hour, weekday and day of the month, public holidays, the base rate
of technical failures and of customers' own errors, and how both drift over a year. It holds what is expected at an
instant and nothing of chance within the day; `det_world` draws the counts. Each corridor carries two products, which
are counted apart, so that a fault can take one product of every corridor. Hours are UTC + 3.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BUCKET_S = 10
DAY_S = 86_400
DAY_BUCKETS = DAY_S // BUCKET_S
MONTH_DAYS = 30
EPOCH_S = 1_767_560_400  # Monday 5 January 2026, 00:00 in Nairobi: the first instant of every simulated platform
YEAR_DAYS = 400

CORRIDORS = 20
BANKS = CORRIDORS // 2
SLOWEST_TX_MIN, FASTEST_TX_MIN = 0.6, 600.0
PRODUCTS = ("p2p", "bill")
PRODUCT_SHARES = (0.75, 0.25)
STREAMS = CORRIDORS * len(PRODUCTS)  # stream 2c + p carries product p of corridor c
REASONS = ("no_answer", "bank_unavailable", "reversed")  # technical, apart from transfers that are stuck

FAIL_BASE = (0.004, 0.02)  # technical failures of a quiet corridor, log-uniform between these
OWN_BASE = (0.05, 0.14)  # customers' own errors
STUCK_SHARE = 0.001  # by definition: older than the corridor's own p99.9
FAIL_DRIFT_SD, VOLUME_DRIFT_SD, DRIFT_DAYS = 0.25, 0.10, 20.0  # of the logit and of the logarithm; time constant
HOLIDAYS_A_DAY = 1 / 30
HOLIDAY_VOLUME = (0.60, 0.90)


@dataclass(frozen=True, slots=True)
class Corridor:
    """One institution and one direction; `tx_min` is its mean volume over a plain week."""

    name: str
    bank: int
    direction: str
    tx_min: float


def corridors() -> tuple[Corridor, ...]:
    """The 20 corridors, slowest first: each bank has two of neighbouring volume, one for each direction."""
    ratio = (FASTEST_TX_MIN / SLOWEST_TX_MIN) ** (1 / (CORRIDORS - 1))
    made = []
    for index in range(CORRIDORS):
        bank, inward = index // 2, index % 2 == 0
        name = f"bank-{bank}>wallet" if inward else f"wallet>bank-{bank}"
        direction = "bank_to_wallet" if inward else "wallet_to_bank"
        made.append(Corridor(name, bank, direction, SLOWEST_TX_MIN * ratio**index))
    return tuple(made)


class Platform:
    """What is usual on one platform, from one seed; arrays have one column for each corridor."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.corridors = corridors()
        rng = np.random.default_rng((seed, 0))
        self.base_tx_bucket: Floats = np.array([c.tx_min for c in self.corridors]) * BUCKET_S / 60
        self.fail_logit = _logit(np.exp(rng.uniform(np.log(FAIL_BASE[0]), np.log(FAIL_BASE[1]), CORRIDORS)))
        self.own_logit = _logit(rng.uniform(*OWN_BASE, CORRIDORS))
        self.reason_shares: Floats = rng.dirichlet((6.0, 3.0, 2.0), CORRIDORS).T  # one row for each reason
        self._curve = _day_curves(rng)
        self._weekday = _weekdays(rng)
        self._fail_drift = _ornstein_uhlenbeck(rng, FAIL_DRIFT_SD)
        self._volume_drift = _ornstein_uhlenbeck(rng, VOLUME_DRIFT_SD)
        self._day_factor = _day_factors(rng)

    @cached_property
    def _scale(self) -> Floats:
        """So that the mean over a plain week is `tx_min`."""
        mean = self._curve.mean(axis=0) * self._weekday.mean(axis=0)
        scale: Floats = self.base_tx_bucket / mean
        return scale

    def expected_volume(self, start_s: int, buckets: int) -> Floats:
        """Transfers expected to arrive in each bucket of 10 s from `start_s` (unix), buckets x corridors."""
        index = (start_s - EPOCH_S) // BUCKET_S + np.arange(buckets)
        day = index // DAY_BUCKETS
        drift = np.exp(_between_days(self._volume_drift, index))
        volume: Floats = self._scale * self._curve[index % DAY_BUCKETS] * self._weekday[day % 7] * drift
        volume *= self._day_factor[day % YEAR_DAYS, None]
        return volume

    def failure_logit(self, start_s: int, buckets: int) -> Floats:
        """The logit of the technical failure rate, drift included, before the noise within the day."""
        index = (start_s - EPOCH_S) // BUCKET_S + np.arange(buckets)
        logit: Floats = self.fail_logit + _between_days(self._fail_drift, index)
        return logit


def _logit(share: Floats) -> Floats:
    logit: Floats = np.log(share / (1 - share))
    return logit


def _day_curves(rng: np.random.Generator) -> Floats:
    """Volume by time of day: quiet nights, a morning, a lunch and an evening hill, each corridor with its own."""
    hour = (np.arange(DAY_BUCKETS) / DAY_BUCKETS * 24)[:, None]
    shift = rng.normal(0, 0.4, CORRIDORS)
    curve = np.full((DAY_BUCKETS, CORRIDORS), 0.06) * rng.uniform(0.7, 1.5, CORRIDORS)
    for centre, width, height in ((10.0, 2.4, 1.0), (13.5, 2.0, 0.7), (18.5, 2.3, 1.1)):
        away = (hour - centre - shift + 12) % 24 - 12
        curve += height * rng.uniform(0.8, 1.2, CORRIDORS) * np.exp(-0.5 * (away / width) ** 2)
    return curve


def _weekdays(rng: np.random.Generator) -> Floats:
    """One row for each weekday from Monday: a strong Friday, a weak Sunday."""
    plain = np.array([1.0, 0.97, 0.98, 1.02, 1.18, 1.0, 0.7])[:, None]
    noise: Floats = plain * np.exp(rng.normal(0, 0.05, (7, CORRIDORS)))
    return noise


def _ornstein_uhlenbeck(rng: np.random.Generator, sd: float) -> Floats:
    """A slow wandering around zero, one value at each midnight, days x corridors."""
    keep = np.exp(-1 / DRIFT_DAYS)
    path = np.empty((YEAR_DAYS + 1, CORRIDORS))
    path[0] = rng.normal(0, sd, CORRIDORS)
    step = sd * np.sqrt(1 - keep**2)
    for day in range(YEAR_DAYS):
        path[day + 1] = keep * path[day] + rng.normal(0, step, CORRIDORS)
    return path


def _day_factors(rng: np.random.Generator) -> Floats:
    """Pay-days at the end of each month, and now and then a public holiday; the same for all corridors."""
    factor = np.ones(YEAR_DAYS)
    of_month = np.arange(YEAR_DAYS) % MONTH_DAYS
    factor[np.isin(of_month, (24, 25, 26))] = 1.25
    factor[np.isin(of_month, (27, 28, 29))] = 1.5
    factor[np.isin(of_month, (0, 1))] = 1.3
    holiday = rng.random(YEAR_DAYS) < HOLIDAYS_A_DAY
    factor[holiday] *= rng.uniform(*HOLIDAY_VOLUME, YEAR_DAYS)[holiday]
    return factor


def _between_days(path: Floats, index: NDArray[np.int64]) -> Floats:
    """The path between its midnights, on a straight line."""
    day = index // DAY_BUCKETS % YEAR_DAYS
    share = ((index % DAY_BUCKETS) / DAY_BUCKETS)[:, None]
    between: Floats = path[day] * (1 - share) + path[day + 1] * share
    return between
