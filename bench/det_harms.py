"""What can be done to a recording, one harm at a time, each changing exactly what its fields say and nothing else.

A harm acts on a scope (streams), between two buckets, with a strength of its own in each. It takes transfers that
happened in the ordinary time and lets them end otherwise (thinning the counts, binomially), so everything outside its
scope and its time stays as it was, bit for bit. Chance comes from a generator of its own. What it did is returned as
counts, so that a delay can be measured from the first transfer that was affected and not from the plan.
"""

from dataclasses import dataclass, field

import numpy as np

from bench.det_platform import BUCKET_S, CORRIDORS, PRODUCTS, REASONS, STREAMS, Floats
from bench.det_world import (
    APP,
    REPORT_EVERY,
    REPORTS_A_FAILURE,
    Counts,
    Recording,
    lagged,
    probes_due,
)

ALL_STREAMS = tuple(range(STREAMS))
ALL_VANTAGES = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Harm:
    """Shares are of the scope's transfers at strength 1; `strength` has one value for each bucket from `start`.

    `gone` never begin. Of those that begin and would have ended well or by the customer's own error, `lose` are sent
    and never answered; of the rest `fail` fail technically for `reasons` (weights over REASONS), and `again` more begin
    for each one that failed, and fail too. Of the good ones then left `slow` pass p99.9 and end within a minute, and
    `as_own` are told to the customer as an error of their own. `probes` names the synthetic tests that meet it, failing
    with `probe_fail` at strength 1.
    """

    start: int
    strength: Floats
    streams: tuple[int, ...] = ALL_STREAMS
    gone: float = 0.0
    fail: float = 0.0
    reasons: tuple[float, ...] = (1.0, 0.0, 0.0)
    lose: float = 0.0
    slow: float = 0.0
    as_own: float = 0.0
    again: float = 0.0
    probes: tuple[int, ...] = ()
    vantages: tuple[int, ...] = ALL_VANTAGES
    probe_fail: float = 0.0
    probe_delay_s: float = 0.0
    reports_a_person: float = REPORTS_A_FAILURE  # share of those harmed who say so
    reports_name_app: bool = False  # they name the app, not a corridor
    storm_a_minute: float = 0.0  # persons a minute who say the app is down although nobody was harmed
    blind: bool = False  # the gateway delivers no counts
    copies: int = 1  # the collector counts each outcome so many times
    skew_s: float = 0.0  # of the gateway's stamps, over the whole recording
    counts_as_affected: bool = True

    @property
    def end(self) -> int:
        """The bucket after the last."""
        return self.start + len(self.strength)


@dataclass(slots=True)
class Done:
    """What was done: transfers affected, times x streams, and by corridor the first instant (unix seconds)."""

    affected: Counts
    first_affected_s: float | None = None
    by_corridor: set[int] = field(default_factory=set)


def apply(recording: Recording, harms: tuple[Harm, ...], rng: np.random.Generator) -> Done:
    """Do all harms to the recording, in place."""
    affected = np.zeros_like(recording.ok)
    for harm in harms:
        mine = _harm(recording, harm, rng)
        _probes(recording, harm, rng)
        _reports(recording, harm, mine, rng)
        _telemetry(recording, harm)
        if harm.counts_as_affected:
            affected += mine
    return Done(affected, _first(recording.start_s, affected, rng), _corridors(affected))


def _harm(recording: Recording, harm: Harm, rng: np.random.Generator) -> Counts:
    """Move transfers from how they would have ended to how they end; returns who was harmed."""
    span = slice(harm.start, min(harm.end, recording.buckets))
    strength = harm.strength[: span.stop - span.start, None]
    streams = np.array(harm.streams, np.intp)
    block = np.ix_(np.arange(span.start, span.stop), streams)
    harmed = np.zeros_like(recording.ok)

    def taken(pool: Counts, share: float) -> Counts:
        """Take a share of a pool, in place."""
        out = rng.binomial(pool[block], np.clip(share * strength, 0, 1)).astype(np.int32)
        pool[block] -= out
        harmed[block] += out
        return out

    def together(pools: tuple[Counts, ...], share: float) -> Counts:
        """Take the same share of several pools."""
        total = taken(pools[0], share)
        for pool in pools[1:]:
            total = total + taken(pool, share)
        return total

    good = (recording.ok, recording.ok_late, recording.own)
    if harm.gone:
        for pool in (*good, *recording.failed, recording.stuck):
            taken(pool, harm.gone)
    if harm.lose:
        recording.lost[block] += together(good, harm.lose)
        recording.lost_until = min(recording.lost_until, harm.end + 12)
    if harm.fail:
        failing: Counts = together(good, harm.fail)
        failing = failing + rng.poisson(harm.again * failing).astype(np.int32)
        split = rng.multinomial(failing, harm.reasons)
        for reason in range(len(REASONS)):
            recording.failed[reason][block] += split[..., reason].astype(np.int32)
    if harm.slow:
        recording.stuck[block] += together(good[:2], harm.slow)
    if harm.as_own:
        recording.own[block] += together(good[:2], harm.as_own)
    return harmed


def _probes(recording: Recording, harm: Harm, rng: np.random.Generator) -> None:
    span = slice(harm.start, min(harm.end, recording.buckets))
    strength = harm.strength[: span.stop - span.start, None]
    due = probes_due(recording)
    apart = rng.spawn(1)[0]
    for probe in harm.probes:
        for vantage in harm.vantages:
            column = recording.probe_ok[span, probe, vantage]
            fails = rng.random(column.shape) < harm.probe_fail * strength[:, 0]
            column[fails & due[span, probe, vantage]] = 0
            closer = recording.closer_ok[span, probe, vantage]
            closer[apart.random(closer.shape) < harm.probe_fail * strength] = 0
            recording.probe_latency_s[span, probe, vantage] += harm.probe_delay_s * strength[:, 0]


def _reports(recording: Recording, harm: Harm, harmed: Counts, rng: np.random.Generator) -> None:
    """Some of those harmed say so, two minutes later on average, also after the fault has ended."""
    steps = recording.reports.shape[0]
    by_corridor = harmed.reshape(steps, REPORT_EVERY, CORRIDORS, len(PRODUCTS)).sum(axis=(1, 3)).astype(np.float64)
    if by_corridor.any():
        speaking, _ = lagged(by_corridor * harm.reports_a_person, np.zeros(CORRIDORS))
        if harm.reports_name_app:
            recording.reports[:, APP] += rng.poisson(speaking.sum(axis=1)).astype(np.int32)
        else:
            recording.reports[:, :CORRIDORS] += rng.poisson(speaking).astype(np.int32)
    if harm.storm_a_minute:
        first, last = harm.start // REPORT_EVERY, min(harm.end, recording.buckets) // REPORT_EVERY
        strength = harm.strength[::REPORT_EVERY][: last - first]
        mean = harm.storm_a_minute * REPORT_EVERY * BUCKET_S / 60
        recording.reports[first:last, APP] += rng.poisson(mean * strength).astype(np.int32)


def _telemetry(recording: Recording, harm: Harm) -> None:
    span = slice(harm.start, min(harm.end, recording.buckets))
    if harm.blind:
        recording.silent[span] = True
        recording.missing[span] = True
    if harm.copies > 1:
        recording.copies, recording.copies_from = harm.copies, harm.start
    if harm.skew_s:
        recording.skew_s = harm.skew_s


def _first(start_s: int, affected: Counts, rng: np.random.Generator) -> float | None:
    """When the first affected transfer began: within its bucket the earliest of its fellows."""
    buckets = np.flatnonzero(affected.any(axis=1))
    if not buckets.size:
        return None
    fellows = int(affected[buckets[0]].sum())
    within = 1 - rng.random() ** (1 / fellows)
    return float(start_s + (buckets[0] + within) * BUCKET_S)


def _corridors(affected: Counts) -> set[int]:
    by_corridor = affected.reshape(affected.shape[0], CORRIDORS, len(PRODUCTS)).sum(axis=(0, 2))
    return {int(corridor) for corridor in np.flatnonzero(by_corridor)}
