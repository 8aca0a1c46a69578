"""Runs the evaluation of one platform: learn it, judge months in which nothing is broken, then judge faults.

Hakika and the other rules see the same recordings, chunk by chunk and fault by fault. What a platform's quiet weeks
taught is kept beside the result, by the code that taught it, because learning takes longer than judging. Platforms are
independent of each other, so they can be run side by side in processes of their own.
"""

import gc
import os
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from bench.det_baselines import BASELINES, Baseline, Fit, Watched, false_incidents, first_alarm, fitted, watched
from bench.det_faults import HARMLESS, JUDGED_DAYS, KINDS, Trial, trial
from bench.det_judge import Opened, Sitting, about, right
from bench.det_learn import Judge, learnt
from bench.det_observe import COLLECTED_AFTER_S, Observer, Seen
from bench.det_platform import BUCKET_S, DAY_BUCKETS, EPOCH_S, MONTH_DAYS, Platform
from bench.det_result import HAKIKA, FalseIncident, HarmlessOutcome, QuietOutcome, Result, TrialOutcome
from bench.det_seeds import FIRST_JUDGED_DAY, FIT_DAYS, FIT_FEED, MONTHS_FEED
from bench.det_world import Feed, Recording
from hakika import clock

NICENESS = 10
STATE_EVERY = 1080  # buckets (3 h) between the states that trials begin from
HEARD_BEFORE = 720  # buckets (2 h) of ordinary time that Hakika hears before each fault
NAMED_AFTER = 30  # buckets (5 min) after which the name is asked again
HARMLESS_BEFORE = 30 * 6  # buckets before the onset from which a harmless event is judged


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of one platform: quiet months, and which trials (place among the seeds) of each kind."""

    platform: int
    months: int
    trials: tuple[int, ...]
    seeds: range
    kinds: tuple[str, ...] = ()  # empty for all


def run(order: Order) -> Result:
    """Everything that is asked of one platform."""
    os.nice(max(0, NICENESS - os.nice(0)))
    gc.disable()  # nothing here makes cycles, and millions of small values would be walked again and again
    began_s = clock.monotonic_s()
    platform = Platform(order.platform)
    judge, fit = _learn(platform)
    result = Result(platforms=[order.platform], months=order.months)
    result.quiet.append(_quiet(platform, judge, fit, order.months))
    for kind in KINDS:
        if order.kinds and kind.name not in order.kinds:
            continue
        for stratum in kind.strata:
            for number in order.trials:
                seed = order.seeds[number]
                made = trial(platform, kind, stratum, seed)
                if kind.family == HARMLESS:
                    result.harmless.append(harmless(made, judge, fit, seed))
                elif made.done.first_affected_s is None:
                    result.unaffected += 1
                else:
                    result.trials.append(judged(made, judge, fit, seed))
    result.took_s = clock.monotonic_s() - began_s
    return result


def _learn(platform: Platform) -> tuple[Judge, Fit]:
    feed, observer = Feed(platform, FIT_FEED, EPOCH_S), Observer()
    days = [feed.next() for _ in range(FIT_DAYS)]
    fit = fitted(watched([(day, observer.seen(day)) for day in days]))
    return learnt(platform.seed, days), fit


def _quiet(platform: Platform, judge: Judge, fit: Fit, months: int) -> QuietOutcome:
    """Months in which nothing is broken: every opening is false. The rules' windows reach back over a month's start."""
    feed = Feed(platform, MONTHS_FEED, EPOCH_S + FIRST_JUDGED_DAY * DAY_BUCKETS * BUCKET_S)
    observer, teller, sitting = Observer(), Observer(), judge.sitting()
    incidents: list[FalseIncident] = []
    false = dict.fromkeys((HAKIKA, *(rule.name for rule in BASELINES)), 0)
    before: list[tuple[Recording, Seen]] = []
    for number in range(months):
        month: list[tuple[Recording, Seen]] = []
        for of_month in range(MONTH_DAYS):
            keep = number * MONTH_DAYS + of_month < JUDGED_DAYS
            day = feed.next()
            month.append((day, observer.seen(day)))
            for place, tick in enumerate(teller.ticks(day)):
                if keep and place % STATE_EVERY == 0:
                    judge.stood.append((tick.now_s, sitting.state()))
                incidents += [_false(platform, opened) for opened in sitting.hear(tick)]
        stretch = watched(before + month)
        for rule in BASELINES:
            alarms = rule.rule(stretch, fit)[len(before) * DAY_BUCKETS :]
            false[rule.name] += false_incidents(alarms)
        before = month[-1:]
    false[HAKIKA] = len(incidents)
    return QuietOutcome(platform.seed, float(months), false, incidents)


def _false(platform: Platform, opened: Opened) -> FalseIncident:
    return FalseIncident(platform.seed, opened.at_s, opened.cause, opened.evidence)


def judged(made: Trial, judge: Judge, fit: Fit, seed: int) -> TrialOutcome:
    """When each judge saw the fault, from the first affected transfer and from the onset."""
    first_s = made.done.first_affected_s
    assert first_s is not None
    onset_s = made.recording.start_s + made.onset * BUCKET_S
    at_s = {HAKIKA: inf}
    opened, later = _hakika(made, judge)
    if opened is not None:
        at_s[HAKIKA] = opened.at_s
    stretch = watched([(made.recording, Observer().seen(made.recording))])
    for rule in BASELINES:
        bucket = first_alarm(rule.rule(stretch, fit)[:, _columns(rule, made, stretch)], made.onset)
        when_s = made.recording.start_s + (bucket + 1) * BUCKET_S + COLLECTED_AFTER_S if bucket is not None else inf
        at_s[rule.name] = when_s
    delays = {name: max(0.0, when_s - first_s) for name, when_s in at_s.items()}
    from_onset = {name: when_s - onset_s for name, when_s in at_s.items()}
    outcome = TrialOutcome(made.kind.name, made.stratum, made.platform.seed, seed, made.cause(), delays, from_onset)
    if opened is None:
        return outcome
    return replace(
        outcome, named=opened.cause, named_later=later, right=right(opened.cause, made), right_later=right(later, made)
    )


def _sitting(made: Trial, judge: Judge) -> Sitting:
    """The judge as it stood at most three hours before it hears of the trial."""
    return judge.sitting(made.recording.start_s + (made.onset - HEARD_BEFORE) * BUCKET_S)


def _hakika(made: Trial, judge: Judge) -> tuple[Opened | None, str]:
    """The first public incident after the onset about what is broken, and what it is called five minutes later.

    One about something else is a false one and finds nothing; one that was open before is no news.
    """
    sitting = _sitting(made, judge)
    since_s = made.recording.start_s + made.onset * BUCKET_S + COLLECTED_AFTER_S
    found: Opened | None = None
    name, ask_at_s = "", inf
    for tick in Observer().ticks(made.recording.after(made.onset - HEARD_BEFORE, made.recording.buckets)):
        opened = [one for one in sitting.hear(tick) if about(one, made)]
        if found is None and opened and tick.now_s > since_s:
            found = opened[0]
            ask_at_s = tick.now_s + NAMED_AFTER * BUCKET_S
        if found is not None:
            name = sitting.named(found) or name
            if tick.now_s >= ask_at_s:
                break
    return found, name


def harmless(made: Trial, judge: Judge, fit: Fit, seed: int) -> HarmlessOutcome:
    """Whether anybody opens an incident, from half an hour before the event (one of its parts begins early) on."""
    since = made.onset - HARMLESS_BEFORE
    since_s = made.recording.start_s + since * BUCKET_S
    sitting = _sitting(made, judge)
    part = made.recording.after(made.onset - HEARD_BEFORE, made.recording.buckets)
    heard = [one for tick in Observer().ticks(part) for one in sitting.hear(tick)]
    opened = {HAKIKA: any(one.at_s >= since_s for one in heard)}
    stretch = watched([(made.recording, Observer().seen(made.recording))])
    for rule in BASELINES:
        opened[rule.name] = first_alarm(rule.rule(stretch, fit), since) is not None
    return HarmlessOutcome(made.kind.name, made.platform.seed, seed, opened)


def _columns(rule: Baseline, made: Trial, stretch: Watched) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
    """Which of a rule's columns may find the fault: the corridors it touched, the tests that met it, any report."""
    if rule.watches == "corridor":
        return np.array(sorted(made.done.by_corridor), np.intp)
    if rule.watches == "probe":
        return np.arange(stretch.probe_ok.shape[1])
    return np.arange(stretch.reports.shape[1] + 1)
