"""Turns what happened into what health is told, and when: the same plain values that running roles deliver.

An end is learnt when it is known, not when its transfer began: the late good ones one bucket on, a stuck transfer when
it passes its corridor's p99.9 (15 s: one or two buckets on), a failed synthetic test when its 10 s are over. `Observer`
carries what is still under way from chunk to chunk. `Seen` keeps the counts as arrays, for the baselines and for
counting over months; `ticks` hands out the same numbers as `Interval`, `ProbeResult`, `Reports` and `Silence`. Counts
are told by corridor; by product too, when somebody asks what exactly is broken.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from bench.det_platform import BUCKET_S, CORRIDORS, PRODUCTS, REASONS, STREAMS, corridors
from bench.det_world import APP, CLOSER, PROBES, REPORT_EVERY, SERVICES, VANTAGES, Counts, Flags, Recording
from hakika.health.observations import STUCK, Interval, ProbeResult, Reports, Silence

COLLECTED_AFTER_S = 1.0  # a bucket's counts are in health's hands so long after the bucket ends
STAY = 6  # buckets that a stuck transfer stays open before it ends after all
TAIL = 8  # buckets of the past that a chunk needs
FAILURES = (*REASONS, STUCK)
SERIES = tuple(corridor.name for corridor in corridors())
SERVICE_NAMES = (*SERIES, "app")
GATEWAY = "gateway"  # the source of all counts
NONE_FAILED: dict[Any, Any] = {}


@dataclass(frozen=True, slots=True)
class Seen:
    """Counts by the bucket in which they were learnt, times x SERIES; `failed` is FAILURES x times x SERIES.

    `by_product` holds outcomes and technical failures (first index) of each corridor and product (last two).
    """

    start_s: int
    ended: Counts
    failed: Counts
    arrived: Counts
    open_count: Counts
    oldest_s: Counts
    by_product: Counts
    missing: Flags
    silent: Flags
    stamp_s: float  # added to the true time of a bucket in the stamps of the gateway

    @property
    def buckets(self) -> int:
        """How many intervals of 10 s."""
        return int(self.ended.shape[0])


@dataclass(slots=True)
class Tick:
    """Everything that reaches health at `now_s`: the end of one bucket and the second that collecting takes.

    `by_product` tells the outcomes and the technical failures of the last so many buckets, by corridor and product.
    `closer` is the judge's answer: the probes that it wants to be run more often. The vantages hear of it within the
    first half of the next bucket.
    """

    now_s: float
    intervals: list[tuple[str, Interval]] = field(default_factory=list)
    silences: list[Silence] = field(default_factory=list)
    probes: list[ProbeResult] = field(default_factory=list)
    reports: list[tuple[str, Reports]] = field(default_factory=list)
    by_product: Callable[[int], list[list[list[int]]]] = field(default=lambda _: [])
    closer: frozenset[str] = frozenset()


class Observer:
    """Follows one platform; hand it the recordings in order."""

    def __init__(self) -> None:
        self._ok_late: Counts = np.zeros((TAIL, STREAMS), np.int32)
        self._stuck: Counts = np.zeros((TAIL, STREAMS), np.int32)
        self._failing: list[ProbeResult] = []
        self._asked: frozenset[str] = frozenset()  # which probes the judge wanted more of when it was last told

    def seen(self, recording: Recording) -> Seen:
        """The recording's counts by when they are learnt."""
        count = recording.buckets
        late = np.concatenate([self._ok_late, recording.ok_late])
        stuck = np.concatenate([self._stuck, recording.stuck + recording.lost])
        staying = np.concatenate([self._stuck, recording.stuck])
        self._ok_late, self._stuck = late[-TAIL:], staying[-TAIL:]
        index = recording.start_s // BUCKET_S + np.arange(-TAIL, count)
        later = (stuck + (index[:, None] + np.arange(STREAMS)) % 2) // 2  # of an odd one out, now here, now there
        learnt_stuck = (stuck - later)[TAIL - 1 : -1] + later[TAIL - 2 : -2]
        failed = np.concatenate([recording.failed, learnt_stuck[None]])
        ended = recording.ok + late[TAIL - 1 : -1] + recording.own + failed.sum(axis=0)
        held = sum(staying[TAIL - back : TAIL - back + count] for back in range(STAY))
        lost_open = np.cumsum(recording.lost, axis=0)
        lost_open[recording.lost_until :] = 0
        open_count = recording.ok_late + held + lost_open
        copies = np.ones((count, 1), np.int32)
        copies[recording.copies_from :] = recording.copies
        return Seen(
            recording.start_s,
            _columns(ended) * copies,
            _columns(failed) * copies,
            _columns(recording.arrived()) * copies,
            _columns(open_count) * copies,
            _oldest(recording.ok_late, staying, lost_open),
            (np.stack([ended, failed.sum(axis=0)]) * copies).reshape(2, count, CORRIDORS, len(PRODUCTS)),
            recording.missing,
            recording.silent,
            recording.skew_s,
        )

    def ticks(self, recording: Recording) -> Iterator[Tick]:
        """The recording as health is told it, bucket by bucket."""
        seen = self.seen(recording)
        columns = [
            array.tolist()
            for array in (seen.ended, seen.arrived, seen.open_count, seen.oldest_s.astype(np.float64), seen.missing)
        ]
        failing = _failing(seen)
        silent = seen.silent.tolist()
        probes = _by_bucket(recording)
        heard = self._asked
        for bucket, ended, arrived, open_count, oldest, missing in zip(range(seen.buckets), *columns, strict=True):
            at_s = float(seen.start_s + bucket * BUCKET_S)
            stamp_s, width_s = at_s + seen.stamp_s, float(BUCKET_S)
            tick = Tick(at_s + BUCKET_S + COLLECTED_AFTER_S)
            tick.by_product = partial(_by_product, seen, bucket)
            if silent[bucket]:
                tick.silences.append(Silence(at_s, GATEWAY))  # asked for this bucket
            failed = failing.get(bucket, NONE_FAILED)
            tick.intervals = [
                (
                    name,
                    Interval(
                        stamp_s,
                        width_s,
                        ended[place],
                        failed.get(place, NONE_FAILED),
                        arrived[place],
                        open_count[place],
                        oldest[place],
                    ),
                )
                for place, name in enumerate(SERIES)
                if not missing[place]
            ]
            tick.probes, self._failing = self._failing, []
            for result in (*probes.get(bucket, ()), *_closer(recording, bucket, heard, self._asked)):
                (tick.probes if result.ok else self._failing).append(result)
            tick.probes.sort(key=lambda one: one.end_s)
            if bucket % REPORT_EVERY == REPORT_EVERY - 1:
                tick.reports = _reports(recording, bucket // REPORT_EVERY)
            heard = self._asked
            yield tick
            self._asked = tick.closer


def _by_product(seen: Seen, bucket: int, last: int) -> list[list[list[int]]]:
    """Outcomes, then failures, of the `last` buckets up to this one in which counts were delivered."""
    span = slice(max(0, bucket + 1 - last), bucket + 1)
    there = ~seen.missing[span][None, :, :, None]
    told: list[list[list[int]]] = (seen.by_product[:, span] * there).sum(axis=1).tolist()
    return told


def _failing(seen: Seen) -> dict[int, dict[int, dict[str, int]]]:
    """Bucket, place in SERIES and reason of all failures."""
    found: dict[int, dict[int, dict[str, int]]] = {}
    reasons, buckets, places = np.nonzero(seen.failed)
    counts = seen.failed[reasons, buckets, places]
    for reason, bucket, place, count in zip(
        reasons.tolist(), buckets.tolist(), places.tolist(), counts.tolist(), strict=True
    ):
        found.setdefault(bucket, {}).setdefault(place, {})[FAILURES[reason]] = count
    return found


def _columns(streams: Counts) -> Counts:
    """Streams gathered by corridor."""
    columns: Counts = streams.reshape(*streams.shape[:-1], CORRIDORS, len(PRODUCTS)).sum(axis=-1).astype(np.int32)
    return columns


def _oldest(late: Counts, staying: Counts, lost_open: Counts) -> Counts:
    """Age in seconds of the oldest open transfer of each series at the end of each bucket."""
    count = late.shape[0]
    oldest = np.where(_columns(late) > 0, BUCKET_S // 2, 0).astype(np.int32)
    for back in range(STAY):
        there = _columns(staying[TAIL - back : TAIL - back + count]) > 0
        oldest[there] = (back + 1) * BUCKET_S
    waiting = _columns(lost_open) > 0
    run = np.zeros(waiting.shape[1], np.int32)
    for bucket in np.flatnonzero(waiting.any(axis=1)):
        run = np.where(waiting[bucket], np.maximum(run, 0) + BUCKET_S, 0)
        oldest[bucket] = np.maximum(oldest[bucket], run)
    return oldest


def _by_bucket(recording: Recording) -> dict[int, list[ProbeResult]]:
    found: dict[int, list[ProbeResult]] = {}
    places = np.nonzero(recording.probe_ok >= 0)
    where = np.transpose(places).tolist()
    passes, latencies = recording.probe_ok[places].tolist(), recording.probe_latency_s[places].tolist()
    for (bucket, probe, vantage), passed, latency_s in zip(where, passes, latencies, strict=True):
        at_s = float(recording.start_s + bucket * BUCKET_S + vantage)
        result = (
            ProbeResult(at_s, VANTAGES[vantage], PROBES[probe], True, latency_s)
            if passed
            else ProbeResult(at_s, VANTAGES[vantage], PROBES[probe], False, float(BUCKET_S), "no_answer")
        )
        found.setdefault(bucket, []).append(result)
    return found


def _closer(recording: Recording, bucket: int, heard: frozenset[str], asked: frozenset[str]) -> Iterator[ProbeResult]:
    """The tests that are made beside the regular ones, evenly over the bucket, the vantages one after another.

    The first is made of what was asked for in the bucket before (`heard`), the others of what is asked for now.
    """
    for name in sorted(heard | asked):
        probe = PROBES.index(name)
        for vantage, passes in enumerate(recording.closer_ok[bucket, probe].tolist()):
            latency_s = float(recording.probe_latency_s[bucket, probe, vantage])
            for turn, passed in enumerate(passes):
                if name not in (asked if turn else heard):
                    continue
                apart_s = (turn + (vantage + 1) / (len(VANTAGES) + 1)) * BUCKET_S / CLOSER
                at_s = recording.start_s + bucket * BUCKET_S + apart_s
                if passed:
                    yield ProbeResult(at_s, VANTAGES[vantage], name, True, latency_s)
                else:
                    yield ProbeResult(at_s, VANTAGES[vantage], name, False, float(BUCKET_S), "no_answer")


def _reports(recording: Recording, step: int) -> list[tuple[str, Reports]]:
    at_s = float(recording.start_s + step * REPORT_EVERY * BUCKET_S)
    width_s = float(REPORT_EVERY * BUCKET_S)
    persons = recording.reports[step].tolist()
    assert len(persons) == SERVICES == APP + 1
    return [(name, Reports(at_s, width_s, persons[place])) for place, name in enumerate(SERVICE_NAMES)]
