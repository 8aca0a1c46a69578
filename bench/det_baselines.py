"""What others do, on the same counts: five named rules that any detector should beat, each as its authors state it.

Each rule says for every bucket and every thing that it watches whether its alarm is on. The burn rate, the run of five
and Uptime Kuma's three in a row have nothing to fit. The 5-minute threshold and the customers' reports come as they are
usually set and fitted to the platform's own quiet weeks. `Watched` holds a whole stretch at once, because windows look
back. Where a rule leaves something open the choice is the one that favours it, and is said at the rule.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.det_observe import Seen
from bench.det_platform import Floats
from bench.det_world import PROBES, REPORT_EVERY, Counts, Flags, Recording
from hakika import clock

MINUTE = 6  # buckets
APART = 30 * MINUTE  # alarms closer than this are one false incident
SLO_BUDGET = 0.02
BURN_RULES = ((14.4, 60 * MINUTE, 5 * MINUTE), (6.0, 360 * MINUTE, 30 * MINUTE))  # times, long and short window
THRESHOLD, THRESHOLD_FEWEST = 0.10, 10
RUN = 5
KUMA_FAILS, KUMA_VANTAGE = 3, 0
REPORTS_WINDOW, REPORTS_FEWEST = 10, 5  # intervals of 30 s; persons


@dataclass(frozen=True, slots=True)
class Watched:
    """A stretch of a platform as arrays: corridors' counts, tests, reports."""

    ended: Counts  # times x corridors
    failed: Counts  # technical failures, stuck ones included
    probe_ok: NDArray[np.int8]  # times x probes x vantages
    reports: Counts  # (times / 3) x services

    @property
    def buckets(self) -> int:
        """How many intervals of 10 s."""
        return int(self.ended.shape[0])


@dataclass(frozen=True, slots=True)
class Fit:
    """What quiet weeks teach the two rules that can be fitted."""

    highest_rate: Floats  # of each corridor, over 5 minutes
    most_reports: Counts  # of each service and of all together, in 5 minutes


Alarms = Flags  # times x what is watched
Rule = Callable[[Watched, Fit], Alarms]


@dataclass(frozen=True, slots=True)
class Baseline:
    """A rule by name; `watches` says what its columns are: corridor, probe or service."""

    name: str
    watches: str
    rule: Rule


def watched(parts: list[tuple[Recording, Seen]]) -> Watched:
    """A stretch from consecutive chunks; what was not delivered counts as nothing seen."""
    ended = np.concatenate([np.where(seen.missing, 0, seen.ended) for _, seen in parts])
    failed = np.concatenate([np.where(seen.missing, 0, seen.failed.sum(axis=0, dtype=np.int32)) for _, seen in parts])
    return Watched(
        ended.astype(np.int32),
        failed.astype(np.int32),
        np.concatenate([recording.probe_ok for recording, _ in parts]),
        np.concatenate([recording.reports for recording, _ in parts]),
    )


def fitted(quiet: Watched) -> Fit:
    """The highest 5-minute rate and the most reports of quiet weeks."""
    rate = _rate(quiet, 5 * MINUTE, THRESHOLD_FEWEST)
    return Fit(rate.max(axis=0), _reports_5_min(quiet).max(axis=0))


def burn_rate(seen: Watched, fit: Fit) -> Alarms:
    """Google's multi-window burn rate for an objective of 98 %: 14.4x over 1 h and 5 min, or 6x over 6 h and 30 min."""
    on = np.zeros(seen.ended.shape, np.bool_)
    for times, long, short in BURN_RULES:
        limit = times * SLO_BUDGET
        on |= (_rate(seen, long, 1) > limit) & (_rate(seen, short, 1) > limit)
    return on


def threshold(seen: Watched, fit: Fit) -> Alarms:
    """More than 10 % of at least ten outcomes failed over 5 minutes."""
    on: Alarms = _rate(seen, 5 * MINUTE, THRESHOLD_FEWEST) > THRESHOLD
    return on


def threshold_fitted(seen: Watched, fit: Fit) -> Alarms:
    """The failure rate over 5 minutes is a point above the highest of the corridor's quiet weeks."""
    on: Alarms = _rate(seen, 5 * MINUTE, THRESHOLD_FEWEST) > fit.highest_rate + 0.01
    return on


def five_in_a_row(seen: Watched, fit: Fit) -> Alarms:
    """The UK's open-banking rule: down after five consecutive failures; the order within a bucket is drawn by lot.

    Every technical failure counts as "no reply within 30 s", which favours the rule.
    """
    on = np.zeros(seen.ended.shape, np.bool_)
    for corridor in range(seen.ended.shape[1]):
        busy = np.flatnonzero(seen.ended[:, corridor])
        for bucket in _runs(seen.ended[busy, corridor], seen.failed[busy, corridor]):
            on[busy[bucket], corridor] = True
    return on


def kuma(seen: Watched, fit: Fit) -> Alarms:
    """Uptime Kuma as it comes: a monitor of each way in from one place, down after three failed tests in a row."""
    results = seen.probe_ok[:, :, KUMA_VANTAGE]
    on = np.zeros(results.shape, np.bool_)
    for probe in range(len(PROBES)):
        due = np.flatnonzero(results[:, probe] >= 0)
        bad = results[due, probe] == 0
        third = bad.copy()
        for back in range(1, KUMA_FAILS):
            third[back:] &= bad[:-back]
        third[: KUMA_FAILS - 1] = False
        last = np.searchsorted(due, np.arange(seen.buckets), side="right") - 1  # a monitor keeps its last result
        state = np.where(last >= 0, third[last], False)
        on[1:, probe] = state[:-1]  # a failure is known one bucket after its test began
    return on


def reports_alone(seen: Watched, fit: Fit) -> Alarms:
    """More reports in 5 minutes, of one service or of all, than ever in the quiet weeks, and at least five."""
    counts = _reports_5_min(seen)
    on = (counts > fit.most_reports) & (counts >= REPORTS_FEWEST)
    spread = np.zeros((seen.buckets, on.shape[1]), np.bool_)
    late = np.repeat(on, REPORT_EVERY, axis=0)
    spread[REPORT_EVERY - 1 :] = late[: seen.buckets - REPORT_EVERY + 1]  # known when the 30 s are over
    return spread


BASELINES = (
    Baseline("burn rate 14.4x, 6x", "corridor", burn_rate),
    Baseline("5 min above 10 %", "corridor", threshold),
    Baseline("5 min, fitted", "corridor", threshold_fitted),
    Baseline("five in a row", "corridor", five_in_a_row),
    Baseline("Uptime Kuma", "probe", kuma),
    Baseline("reports alone", "service", reports_alone),
)


def false_incidents(alarms: Alarms) -> int:
    """Incidents of a quiet stretch: alarms anywhere on the platform, joined while less than 30 minutes apart."""
    on = np.flatnonzero(alarms.any(axis=1))
    return int(on.size and 1 + (np.diff(on) > APART).sum())


def first_alarm(alarms: Alarms, onset: int) -> int | None:
    """The bucket from the onset on in which an alarm that was off goes on."""
    rising = alarms[onset:] & ~alarms[onset - 1 : -1]
    buckets = np.flatnonzero(rising.any(axis=1))
    return onset + int(buckets[0]) if buckets.size else None


def _rate(seen: Watched, window: int, fewest: int) -> Floats:
    """Failures of outcomes over the window that ends with each bucket; 0 where there are fewer outcomes."""
    ended, failed = _rolling(seen.ended, window), _rolling(seen.failed, window)
    rate: Floats = np.where(ended >= fewest, failed / np.maximum(ended, 1), 0.0)
    return rate


def _rolling(counts: Counts, window: int) -> NDArray[np.int64]:
    total = np.cumsum(counts, axis=0, dtype=np.int64)
    total[window:] = total[window:] - total[:-window]
    return total


def _reports_5_min(seen: Watched) -> Counts:
    every = np.concatenate([seen.reports, seen.reports.sum(axis=1, keepdims=True)], axis=1)
    return _rolling(every, REPORTS_WINDOW).astype(np.int32)


def _runs(ended: Counts, failed: Counts) -> list[int]:
    """Which of the non-empty buckets end or contain a run of five failures.

    A run needs five failures in one bucket, in two neighbours, or across buckets in which all failed; only there is
    the order drawn. Elsewhere no run of five exists in any order.
    """
    full = failed == ended
    chain = full.copy()
    chain[1:] |= full[:-1]
    chain[:-1] |= full[1:]
    pairs = failed[:-1] + failed[1:] >= RUN
    near = (failed >= RUN) | chain
    near[1:] |= pairs
    near[:-1] |= pairs
    found, length, before = [], 0, -2
    lot = clock.seeded(int(ended.sum()))
    for bucket in np.flatnonzero(near & (failed > 0)).tolist():
        if bucket != before + 1:
            length = 0
        before, count, bad = bucket, int(ended[bucket]), int(failed[bucket])
        if bad == count:
            length += bad
            longest = length
        else:
            places = sorted(lot.sample(range(count), bad))
            longest, length = _longest(places, count, length)
        if longest >= RUN:
            found.append(bucket)
    return found


def _longest(places: list[int], count: int, carried: int) -> tuple[int, int]:
    """The longest run of failures at these places, a carried one going on at place 0; and the run at the end."""
    longest, run, expected = 0, carried, 0
    for place in places:
        run = run + 1 if place == expected else 1
        expected = place + 1
        longest = max(longest, run)
    return longest, run if expected == count else 0
