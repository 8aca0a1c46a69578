"""Draws what happened on a platform in an ordinary time: transfers, synthetic tests, reports and lost telemetry.

Counts are kept by the bucket of 10 s in which transfers *began* and by how they end; when each end is learnt is
decided later (`det_observe`), after an injector may have changed what happened (`det_faults`). A Poisson stream split
by outcome is as many independent Poisson streams, so each outcome is drawn by itself and the split is exact. Rates
wander: volume and failures carry AR(1) noise of each corridor and of all, so that counts are over-dispersed as real
ones are; harmless blips, salary batches, vantages with broken networks and rumours come in between. All of it is
drawn with numpy from the seeds given: 100 platform-months have 518 million intervals. Everything outlives its chunk
except an event that runs over the chunk's end, which is cut there.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bench.det_platform import (
    BANKS,
    BUCKET_S,
    CORRIDORS,
    DAY_BUCKETS,
    EPOCH_S,
    PRODUCT_SHARES,
    PRODUCTS,
    REASONS,
    STREAMS,
    STUCK_SHARE,
    Floats,
    Platform,
)

Counts = NDArray[np.int32]
Flags = NDArray[np.bool_]

VANTAGES = ("north", "coast", "abroad")
PROBES = (*(f"bank-{bank}" for bank in range(BANKS)), "core", "tracking")
PROBE_EVERY = 3  # buckets: 30 s
CLOSER = 2  # tests of each probe and vantage in a bucket, where the judge asks for a closer look
REPORT_EVERY = 3  # buckets in one interval of reports
SERVICES = CORRIDORS + 1  # what a report can name: a corridor, or the app as a whole (the last column)
APP = CORRIDORS

NOISE_STEP = 3  # buckets: rates change every 30 s
VOLUME_SD, VOLUME_S = 0.10, 1200.0
VOLUME_SHARED_SD, VOLUME_SHARED_S = 0.05, 3600.0
VOLUME_JUMP_SD = 0.05  # independent in each step
FAIL_SD, FAIL_S = 0.30, 900.0
FAIL_SHARED_SD, FAIL_SHARED_S = 0.10, 1800.0
REASON_SD, REASON_S = 0.15, 900.0
OWN_SD, OWN_S = 0.20, 3600.0
LATE_SHARE = 0.2  # of the good ones: their end is learnt in the bucket after the one they began in

BLIPS_A_DAY, BLIP_SHARE, BLIP_BUCKETS = 1.0, 0.15, (2, 6)  # of each corridor: 20-60 s
SHARED_BLIPS_A_DAY, SHARED_BLIP_SHARE = 1 / 7, 0.08
BATCHES_A_DAY, BATCH_TIMES, BATCH_BUCKETS = 0.1, (1.0, 3.0), (30, 90)
GAPS_A_DAY, GAP_BUCKETS = 1.5, (1, 6)  # the gateway does not answer when asked for its counts
LONG_GAPS_A_DAY, LONG_GAP_BUCKETS = 1 / 7, (18, 60)
LONE_GAP_SHARE = 0.0003  # of the intervals of each corridor

FLAKY_SHARE = 0.005
VANTAGE_FAULTS_A_DAY, VANTAGE_FAULT_BUCKETS, VANTAGE_FAULT_SHARE = 0.5, (12, 90), 0.9
PROBE_LATENCY_S, PROBE_LATENCY_SD = 1.2, 0.3

REPORTS_A_TRANSFER = 3e-4  # from people with troubles of their own
REPORTS_A_FAILURE, REPORT_LAG_S = 0.01, 120.0
APP_REPORTS_A_BUCKET = 0.05 * BUCKET_S / 60
RUMOURS_A_DAY, RUMOUR_TIMES, RUMOUR_BUCKETS = 0.3, 5.0, (60, 240)


@dataclass(slots=True)
class Recording:
    """What happened in `buckets` buckets from `start_s` (unix); times x streams unless said otherwise."""

    start_s: int
    ok: Counts
    ok_late: Counts
    own: Counts  # ended by the customer's own error
    failed: Counts  # reasons x times x streams
    stuck: Counts  # became older than p99.9, then ended within a minute
    lost: Counts  # became older than p99.9 and stay open until `lost_until`
    missing: Flags  # times x corridors: the interval was never delivered
    silent: Flags  # times: the gateway did not answer at all
    probe_ok: NDArray[np.int8]  # times x probes x vantages: 1 passed, 0 failed, -1 was not due
    probe_latency_s: NDArray[np.float32]
    closer_ok: NDArray[np.int8]  # the same x CLOSER: how tests would end that a judge may ask for
    reports: Counts  # (times / 3) x services: persons in 30 s
    expected: Floats  # transfers expected in each bucket, times x corridors: known to the world alone
    skew_s: float = 0.0  # how much the gateway's stamps are ahead of the true time
    copies: int = 1  # how often the collector counts each outcome
    copies_from: int = 0
    lost_until: int = field(default=2**31)

    @property
    def buckets(self) -> int:
        """How many intervals of 10 s."""
        return int(self.ok.shape[0])

    def arrived(self) -> Counts:
        """Transfers that began, times x streams."""
        total: Counts = self.ok + self.ok_late + self.own + self.failed.sum(axis=0, dtype=np.int32)
        total += self.stuck + self.lost
        return total

    def after(self, first: int, until: int) -> "Recording":
        """The part from bucket `first` (a multiple of 3) up to and without `until`, as a recording of its own."""
        part = slice(first, until)
        return replace(
            self,
            start_s=self.start_s + first * BUCKET_S,
            ok=self.ok[part],
            ok_late=self.ok_late[part],
            own=self.own[part],
            failed=self.failed[:, part],
            stuck=self.stuck[part],
            lost=self.lost[part],
            missing=self.missing[part],
            silent=self.silent[part],
            probe_ok=self.probe_ok[part],
            probe_latency_s=self.probe_latency_s[part],
            closer_ok=self.closer_ok[part],
            reports=self.reports[first // REPORT_EVERY : -(-until // REPORT_EVERY)],
            expected=self.expected[part],
            copies_from=max(0, self.copies_from - first),
            lost_until=self.lost_until - first,
        )


class Feed:
    """An ordinary time on a platform from `start_s` on, in chunks; noise runs on from chunk to chunk."""

    def __init__(self, platform: Platform, seed: int, start_s: int) -> None:
        self.platform = platform
        self.at_s = start_s
        self._rng = np.random.default_rng((platform.seed, 1, seed))
        self._noise = _Noise(self._rng)
        self._reporters: Floats = np.zeros(CORRIDORS)

    def next(self, buckets: int = DAY_BUCKETS) -> Recording:
        """The next `buckets` intervals (a multiple of 3)."""
        rng, platform = self._rng, self.platform
        noise = self._noise.steps(buckets // NOISE_STEP)
        expected = platform.expected_volume(self.at_s, buckets)
        volume = expected * self._noise.held(np.exp(noise.volume + rng.normal(0, VOLUME_JUMP_SD, noise.volume.shape)))
        hour = _hours(self.at_s, buckets)
        _batches(rng, volume, hour)
        rates = platform.failure_logit(self.at_s, buckets) + self._noise.held(noise.failure)
        rates = 1 / (1 + np.exp(-rates))
        shares = platform.reason_shares[:, None, :] * self._noise.held(np.exp(noise.reason), axis=1)
        by_reason = rates * shares / shares.sum(axis=0)
        _blips(rng, by_reason)
        total = by_reason.sum(axis=0)
        own = 1 / (1 + np.exp(-(platform.own_logit + self._noise.held(noise.own))))
        recording = self._transfers(volume, by_reason, own, expected)
        _telemetry(rng, recording)
        _probes(rng, recording, total)
        self._report(recording, volume)
        self.at_s += buckets * BUCKET_S
        return recording

    def _transfers(self, volume: Floats, by_reason: Floats, own: Floats, expected: Floats) -> Recording:
        buckets, rng = volume.shape[0], self._rng

        def drawn(mean: Floats) -> Counts:
            split = mean[..., None] * np.array(PRODUCT_SHARES)
            counts: Counts = rng.poisson(split).reshape(*mean.shape[:-1], STREAMS).astype(np.int32)
            return counts

        good = volume * np.clip(1 - by_reason.sum(axis=0) - own - STUCK_SHARE, 0, 1)
        return Recording(
            start_s=self.at_s,
            ok=drawn(good * (1 - LATE_SHARE)),
            ok_late=drawn(good * LATE_SHARE),
            own=drawn(volume * own),
            failed=drawn(volume * by_reason),
            stuck=drawn(volume * STUCK_SHARE),
            lost=np.zeros((buckets, STREAMS), np.int32),
            missing=np.zeros((buckets, CORRIDORS), np.bool_),
            silent=np.zeros(buckets, np.bool_),
            probe_ok=np.full((buckets, len(PROBES), len(VANTAGES)), -1, np.int8),
            probe_latency_s=np.zeros((buckets, len(PROBES), len(VANTAGES)), np.float32),
            closer_ok=np.ones((buckets, len(PROBES), len(VANTAGES), CLOSER), np.int8),
            reports=np.zeros((buckets // REPORT_EVERY, SERVICES), np.int32),
            expected=expected,
        )

    def _report(self, recording: Recording, volume: Floats) -> None:
        steps = recording.buckets // REPORT_EVERY
        harmed = (recording.failed.sum(axis=0) + recording.stuck).reshape(steps, REPORT_EVERY, CORRIDORS, len(PRODUCTS))
        speaking, self._reporters = lagged(harmed.sum(axis=(1, 3)) * REPORTS_A_FAILURE, self._reporters)
        plain = np.empty((steps, SERVICES))
        plain[:, :CORRIDORS] = volume.reshape(steps, REPORT_EVERY, CORRIDORS).sum(axis=1) * REPORTS_A_TRANSFER
        plain[:, APP] = APP_REPORTS_A_BUCKET * REPORT_EVERY
        for start, end in events(self._rng, recording.buckets, RUMOURS_A_DAY, RUMOUR_BUCKETS):
            plain[start // REPORT_EVERY : end // REPORT_EVERY] *= RUMOUR_TIMES
        plain[:, :CORRIDORS] += speaking
        recording.reports[:] = self._rng.poisson(plain)


@dataclass(slots=True)
class _Steps:
    volume: Floats
    failure: Floats
    reason: Floats  # reasons x steps x corridors
    own: Floats


class _Noise:
    """All AR(1) noises of a platform side by side, stepped every 30 s from their stationary law."""

    def __init__(self, rng: np.random.Generator) -> None:
        parts = [
            (VOLUME_SD, VOLUME_S, CORRIDORS),
            (FAIL_SD, FAIL_S, CORRIDORS),
            (OWN_SD, OWN_S, CORRIDORS),
            *[(REASON_SD, REASON_S, CORRIDORS)] * len(REASONS),
            (VOLUME_SHARED_SD, VOLUME_SHARED_S, 1),
            (FAIL_SHARED_SD, FAIL_SHARED_S, 1),
        ]
        sd = np.concatenate([np.full(count, deviation) for deviation, _, count in parts])
        self._keep = np.concatenate([np.full(n, np.exp(-NOISE_STEP * BUCKET_S / time_s)) for _, time_s, n in parts])
        self._sd = sd * np.sqrt(1 - self._keep**2)
        self._rng = rng
        self._now: Floats = rng.normal(0, 1, sd.size) * sd

    def steps(self, count: int) -> _Steps:
        shocks = self._rng.normal(0, 1, (count, self._sd.size)) * self._sd
        now, keep = self._now, self._keep
        for step in range(count):
            now = keep * now + shocks[step]
            shocks[step] = now
        self._now = now
        cut = [shocks[:, place : place + CORRIDORS] for place in range(0, (3 + len(REASONS)) * CORRIDORS, CORRIDORS)]
        shared_volume, shared_failure = shocks[:, -2:-1], shocks[:, -1:]
        return _Steps(cut[0] + shared_volume, cut[1] + shared_failure, np.stack(cut[3:]), cut[2])

    @staticmethod
    def held(steps: Floats, axis: int = 0) -> Floats:
        """Each step's value in each of its buckets."""
        return np.repeat(steps, NOISE_STEP, axis=axis)


def events(rng: np.random.Generator, buckets: int, a_day: float, length: tuple[int, int]) -> list[tuple[int, int]]:
    """Start and end (buckets) of the events of one kind in a chunk; `length` is the shortest and the longest."""
    count = rng.poisson(a_day * buckets / DAY_BUCKETS)
    starts = rng.integers(0, buckets, count)
    ends = starts + rng.integers(length[0], length[1] + 1, count)
    return [(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]


def lagged(persons: Floats, waiting: Floats) -> tuple[Floats, Floats]:
    """Persons who will speak after an exponential lag (mean 120 s): when they do, and who still waits at the end."""
    keep = np.exp(-REPORT_EVERY * BUCKET_S / REPORT_LAG_S)
    speaking = np.empty_like(persons)
    for step, harmed in enumerate(persons):
        waiting = waiting + harmed
        speaking[step] = waiting * (1 - keep)
        waiting = waiting * keep
    return speaking, waiting


def _hours(start_s: int, buckets: int) -> Floats:
    index = (start_s - EPOCH_S) // BUCKET_S + np.arange(buckets)
    hours: Floats = index % DAY_BUCKETS / DAY_BUCKETS * 24
    return hours


def _batches(rng: np.random.Generator, volume: Floats, hour: Floats) -> None:
    """A bank sends its salaries: two to four times the volume of one corridor for 5 to 15 minutes, by day."""
    for corridor in range(CORRIDORS):
        for start, end in events(rng, volume.shape[0], BATCHES_A_DAY, BATCH_BUCKETS):
            times = 1 + rng.uniform(*BATCH_TIMES)
            if 8 <= hour[start] <= 17:
                volume[start:end, corridor] *= times


def _blips(rng: np.random.Generator, by_reason: Floats) -> None:
    """Harmless failures of one reason for 20 to 60 s: of one corridor each day, of all of them now and then."""
    buckets = by_reason.shape[1]
    for corridor in range(CORRIDORS):
        for start, end in events(rng, buckets, BLIPS_A_DAY, BLIP_BUCKETS):
            cell = by_reason[rng.integers(len(REASONS)), start:end, corridor]
            np.maximum(cell, BLIP_SHARE, out=cell)
    for start, end in events(rng, buckets, SHARED_BLIPS_A_DAY, BLIP_BUCKETS):
        cells = by_reason[0, start:end]
        np.maximum(cells, SHARED_BLIP_SHARE, out=cells)


def _telemetry(rng: np.random.Generator, recording: Recording) -> None:
    for a_day, length in ((GAPS_A_DAY, GAP_BUCKETS), (LONG_GAPS_A_DAY, LONG_GAP_BUCKETS)):
        for start, end in events(rng, recording.buckets, a_day, length):
            recording.silent[start:end] = True
    recording.missing[:] = rng.random(recording.missing.shape) < LONE_GAP_SHARE
    recording.missing[recording.silent] = True


def _probes(rng: np.random.Generator, recording: Recording, rates: Floats) -> None:
    """Each probe runs from each vantage every 30 s, in turn; it meets a bank's troubles beyond the usual."""
    shape = recording.probe_ok.shape
    share = np.full(shape, FLAKY_SHARE)
    trouble = np.clip(rates - 0.03, 0, 1).reshape(recording.buckets, BANKS, 2).max(axis=2)
    share[:, :BANKS] += trouble[:, :, None]
    for vantage in range(len(VANTAGES)):
        for start, end in events(rng, recording.buckets, VANTAGE_FAULTS_A_DAY, VANTAGE_FAULT_BUCKETS):
            share[start:end, :, vantage] = VANTAGE_FAULT_SHARE
    passed = rng.random(shape) >= share
    due = probes_due(recording)
    recording.probe_ok[due] = passed[due]
    recording.probe_latency_s[:] = PROBE_LATENCY_S * np.exp(
        PROBE_LATENCY_SD * rng.standard_normal(shape, dtype=np.float32)
    )
    apart = rng.spawn(1)[0]  # whether anybody asks for them or not, nothing else is drawn differently
    recording.closer_ok[:] = apart.random(recording.closer_ok.shape, np.float32) >= share[..., None]


def probes_due(recording: Recording) -> Flags:
    """Which probe runs in which bucket: each every third one, the vantages one after another."""
    index = recording.start_s // BUCKET_S + np.arange(recording.buckets)
    phase = np.add.outer(np.arange(len(PROBES)), np.arange(len(VANTAGES))) % PROBE_EVERY
    due: Flags = (index % PROBE_EVERY)[:, None, None] == phase[None]
    return due
