"""An injector changes exactly what it says: nothing outside its scope and time, and its shares inside."""

import copy

import numpy as np
import pytest
from det_kit import fresh, platform

from bench.det_faults import CLASSIC, HARMLESS, KINDS, STRATA, UNFITTED, WARM_BUCKETS, WHOLE, Kind, trial
from bench.det_harms import Harm, apply
from bench.det_observe import Observer
from bench.det_platform import BUCKET_S, CORRIDORS, REASONS
from bench.det_seeds import EVALUATION_PLATFORMS, EVALUATION_TRIALS, TUNING_PLATFORMS, TUNING_TRIALS
from bench.det_world import APP, Recording

FAST = (38, 39)  # streams of the fastest corridor
START, LENGTH = 240, 240


def _harmed(harm: Harm) -> tuple[Recording, Recording, np.ndarray[tuple[int, int], np.dtype[np.int32]]]:
    before = fresh(720)
    after = copy.deepcopy(before)
    done = apply(after, (harm,), np.random.default_rng(3))
    return before, after, done.affected


def _counts(recording: Recording) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    """All outcomes, outcomes x times x streams."""
    plain = [recording.ok, recording.ok_late, recording.own, recording.stuck, recording.lost]
    return np.concatenate([np.stack(plain), recording.failed])


def _full(**shares: float) -> Harm:
    return Harm(START, np.ones(LENGTH), FAST, **shares)  # type: ignore[arg-type]


@pytest.mark.parametrize("share", ["gone", "fail", "lose", "slow", "as_own"])
def test_nothing_changes_outside_scope_and_time(share: str) -> None:
    before, after, affected = _harmed(_full(**{share: 0.5}))
    same = _counts(before) == _counts(after)
    inside = np.zeros(same.shape, np.bool_)
    inside[:, START : START + LENGTH, FAST[0] :] = True
    assert same[~inside].all()
    assert not same[inside].all()
    assert affected[~inside[0]].sum() == 0
    assert (before.probe_ok == after.probe_ok).all()
    assert (before.missing == after.missing).all()
    assert (before.reports[: START // 3] == after.reports[: START // 3]).all()


@pytest.mark.parametrize("share", ["fail", "lose", "slow", "as_own"])
def test_transfers_end_otherwise_and_none_is_made_or_unmade(share: str) -> None:
    before, after, affected = _harmed(_full(**{share: 0.5}))
    assert (before.arrived() == after.arrived()).all()
    moved = np.abs(_counts(after).astype(np.int64) - _counts(before)).sum() // 2
    assert moved <= affected.sum()


def test_shares_are_what_they_say() -> None:
    span = np.s_[START : START + LENGTH, FAST[0] :]
    before, after, affected = _harmed(_full(fail=0.5))
    pool = (before.ok + before.ok_late + before.own)[span].sum()
    failed = after.failed.sum(axis=0)[span].sum() - before.failed.sum(axis=0)[span].sum()
    assert failed == affected.sum()
    assert failed / pool == pytest.approx(0.5, abs=0.01)
    before, after, _ = _harmed(_full(gone=0.6))
    assert after.arrived()[span].sum() / before.arrived()[span].sum() == pytest.approx(0.4, abs=0.01)
    before, after, _ = _harmed(_full(lose=0.8))
    assert after.lost[span].sum() / pool == pytest.approx(0.8, abs=0.01)
    assert (before.failed == after.failed).all()


def test_reasons_are_weighed() -> None:
    before, after, _ = _harmed(Harm(START, np.ones(LENGTH), FAST, fail=0.5, reasons=(0.0, 0.25, 0.75)))
    more = (after.failed - before.failed).sum(axis=(1, 2))
    assert more[0] == 0
    assert more[2] / more.sum() == pytest.approx(0.75, abs=0.02)
    assert len(more) == len(REASONS)


def test_a_second_try_adds_failures() -> None:
    before, after, affected = _harmed(_full(fail=0.9, again=1.0))
    assert after.arrived().sum() - before.arrived().sum() == pytest.approx(affected.sum(), rel=0.05)


def test_strength_scales_in_each_bucket() -> None:
    on = (np.arange(LENGTH) // 4 % 2 == 0).astype(np.float64)
    before, after, _ = _harmed(Harm(START, on, FAST, fail=0.7))
    same = (_counts(before) == _counts(after)).all(axis=(0, 2))[START : START + LENGTH]
    assert same[on == 0].all()
    assert not same[on == 1].any()


def test_probes_fail_where_named() -> None:
    harm = Harm(START, np.ones(LENGTH), (), probes=(4,), vantages=(1,), probe_fail=1.0)
    before, after, affected = _harmed(harm)
    span = np.s_[START : START + LENGTH]
    assert affected.sum() == 0
    due = before.probe_ok[span, 4, 1] >= 0
    assert (after.probe_ok[span, 4, 1][due] == 0).all()
    after.probe_ok[span, 4, 1] = before.probe_ok[span, 4, 1]
    assert (before.probe_ok == after.probe_ok).all()
    assert (_counts(before) == _counts(after)).all()


def test_the_harmed_report_and_storms_name_the_app() -> None:
    before, after, affected = _harmed(_full(fail=0.9))
    more = (after.reports - before.reports).sum(axis=0)
    assert more[: CORRIDORS - 1].sum() == 0
    assert more[CORRIDORS - 1] == pytest.approx(affected.sum() * 0.01, rel=0.35)
    before, after, affected = _harmed(Harm(START, np.ones(LENGTH), (), storm_a_minute=20.0))
    more = (after.reports - before.reports).sum(axis=0)
    assert more[APP] == pytest.approx(20 * LENGTH / 6, rel=0.1)
    assert more[:APP].sum() == affected.sum() == 0


def test_lost_answers_stay_open_and_age() -> None:
    _, after, _ = _harmed(_full(lose=0.8))
    seen = Observer().seen(after)
    open_count, oldest = seen.open_count[:, CORRIDORS - 1], seen.oldest_s[:, CORRIDORS - 1]
    assert open_count[START + LENGTH - 1] > 100
    assert oldest[START + 60] == pytest.approx(61 * BUCKET_S, abs=2 * BUCKET_S)
    assert open_count[START + LENGTH + 20] < 100
    stuck = seen.failed[-1][:, CORRIDORS - 1]
    assert stuck[START] <= 1  # nothing is known in the bucket in which they were sent
    assert stuck[START + 1 : START + 6].sum() > 20


def test_skew_and_double_counting_are_in_what_is_told_alone() -> None:
    before, after, _ = _harmed(Harm(START, np.ones(1), (), copies=2, skew_s=90.0, counts_as_affected=False))
    assert (_counts(before) == _counts(after)).all()
    plain, told = Observer().seen(before), Observer().seen(after)
    assert (told.ended[:START] == plain.ended[:START]).all()
    assert (told.ended[START:] == 2 * plain.ended[START:]).all()
    interval = next(iter(Observer().ticks(after))).intervals[0][1]
    assert interval.at_s == after.start_s + 90


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_strikes_as_it_says(kind: Kind) -> None:
    made = trial(platform(), kind, kind.strata[-1], 1)
    again = trial(platform(), kind, kind.strata[-1], 1)
    assert (made.recording.ok == again.recording.ok).all()
    assert made.onset == WARM_BUCKETS
    assert made.recording.buckets >= WARM_BUCKETS + kind.horizon_min * 6
    affected = made.done.affected
    assert affected[: made.onset].sum() == 0
    if kind.family == HARMLESS:
        assert made.done.first_affected_s is None
        assert not made.done.by_corridor
        return
    assert affected.sum() > 0
    assert made.done.first_affected_s is not None
    first = np.flatnonzero(affected.any(axis=1))[0]
    assert 0 <= made.done.first_affected_s - made.recording.start_s - first * BUCKET_S <= BUCKET_S
    expected = {"corridor": 1, "bank": 2, "platform": CORRIDORS, "product": CORRIDORS, "app": CORRIDORS // 2}
    assert len(made.done.by_corridor) == expected[kind.scope]


def test_a_stratum_is_the_volume_at_the_onset() -> None:
    kind = next(kind for kind in KINDS if kind.name == "fail-50")
    for stratum, (low, high) in STRATA.items():
        for seed in range(5):
            made = trial(platform(), kind, stratum, seed)
            volume = made.recording.expected[made.onset, made.corridor] * 6
            assert low <= volume < high


def test_night_faults_begin_at_night() -> None:
    kind = next(kind for kind in KINDS if kind.name == "night")
    made = trial(platform(), kind, "<6", 2)
    hour = ((made.recording.start_s + made.onset * BUCKET_S) // 3600 + 3) % 24
    assert 1 <= hour < 4


def test_seeds_of_tuning_and_of_evaluation_never_meet() -> None:
    assert not set(TUNING_PLATFORMS) & set(EVALUATION_PLATFORMS)
    assert not set(TUNING_TRIALS) & set(EVALUATION_TRIALS)


def test_families_are_all_there() -> None:
    families = [kind.family for kind in KINDS]
    assert families.count(UNFITTED) >= 4
    assert families.count(CLASSIC) >= 15
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert all(kind.strata in (tuple(STRATA), (WHOLE,)) for kind in KINDS)
