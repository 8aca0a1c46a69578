"""What the tests of the evaluation share: a platform, and quiet stretches of it, made once."""

from functools import cache

import numpy as np

from bench.det_baselines import Watched, watched
from bench.det_observe import Observer, Seen
from bench.det_platform import CORRIDORS, EPOCH_S, Platform
from bench.det_world import PROBES, SERVICES, VANTAGES, Feed, Recording

SEED = 7  # of neither list of the evaluation
WEEK_DAYS = 7


@cache
def platform() -> Platform:
    """One platform for all tests."""
    return Platform(SEED)


@cache
def week() -> tuple[tuple[Recording, Seen], ...]:
    """Seven quiet days of it, day by day; do not change them."""
    feed, observer = Feed(platform(), 1, EPOCH_S + 7 * 86_400), Observer()
    days = [feed.next() for _ in range(WEEK_DAYS)]
    return tuple((day, observer.seen(day)) for day in days)


def fresh(buckets: int = 720, day: int = 8, hour: int = 10) -> Recording:
    """A quiet stretch that a test may change."""
    return Feed(platform(), 2, EPOCH_S + day * 86_400 + hour * 3600).next(buckets)


def quiet_watched() -> Watched:
    """The quiet week as the baselines see it."""
    return watched(list(week()))


def blank(buckets: int, ended: int = 10) -> Watched:
    """A stretch in which each corridor ends `ended` transfers in each bucket and nothing goes wrong."""
    return Watched(
        np.full((buckets, CORRIDORS), ended, np.int32),
        np.zeros((buckets, CORRIDORS), np.int32),
        np.ones((buckets, len(PROBES), len(VANTAGES)), np.int8),
        np.zeros((buckets // 3, SERVICES), np.int32),
    )
