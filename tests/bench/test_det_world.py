"""The simulated platform is what its page says: rates, spread, instruments; repeatable from its seed."""

import numpy as np
import pytest
from det_kit import fresh, platform, week

from bench.det_observe import FAILURES, SERIES, Observer
from bench.det_platform import (
    BUCKET_S,
    CORRIDORS,
    DAY_BUCKETS,
    EPOCH_S,
    PRODUCTS,
    STREAMS,
    Platform,
    corridors,
)
from bench.det_world import PROBES, VANTAGES, Feed, events, probes_due


def test_twenty_corridors_from_slow_to_fast() -> None:
    found = corridors()
    assert len({corridor.name for corridor in found}) == CORRIDORS
    assert found[0].tx_min == pytest.approx(0.6)
    assert found[-1].tx_min == pytest.approx(600)
    assert [c.tx_min for c in found] == sorted(c.tx_min for c in found)


def test_a_plain_week_has_its_mean_volume() -> None:
    """Averaged over platforms, so that drift and holidays of one do not decide."""
    ratios = []
    for seed in range(40):
        expected = Platform(seed).expected_volume(EPOCH_S + 7 * 86_400, 7 * DAY_BUCKETS).mean(axis=0) * 6
        ratios.append(expected / np.array([c.tx_min for c in corridors()]))
    assert np.mean(ratios) == pytest.approx(0.99, abs=0.04)  # holidays take about one part in a hundred


def test_nights_are_quiet() -> None:
    day = platform().expected_volume(EPOCH_S + 8 * 86_400, DAY_BUCKETS)
    night, noon = day[3 * 360 : 4 * 360].mean(axis=0), day[10 * 360 : 11 * 360].mean(axis=0)
    assert (night / noon < 0.15).all()


def test_arrivals_follow_what_was_expected() -> None:
    arrived = sum(day.arrived().sum(axis=0, dtype=np.int64) for day, _ in week())
    expected = sum(day.expected.sum(axis=0) for day, _ in week())
    by_corridor = arrived.reshape(CORRIDORS, len(PRODUCTS)).sum(axis=1)
    assert by_corridor[10:] / expected[10:] == pytest.approx(np.ones(10), abs=0.06)
    shares = arrived.reshape(CORRIDORS, len(PRODUCTS))[10:, 0] / by_corridor[10:]
    assert shares == pytest.approx(np.full(10, 0.75), abs=0.01)


def test_technical_and_own_errors_have_their_rates() -> None:
    totals = np.array([[day.arrived().sum(), day.failed.sum(), day.own.sum(), day.stuck.sum()] for day, _ in week()])
    arrived, failed, own, stuck = totals.sum(axis=0)
    assert 0.004 < failed / arrived < 0.03
    assert 0.05 < own / arrived < 0.14
    assert stuck / arrived == pytest.approx(0.001, rel=0.05)


def test_counts_are_more_spread_than_poisson() -> None:
    """Failures of a busy corridor by the hour: the variance is a multiple of the mean."""
    hours = np.concatenate([day.failed.sum(axis=0)[:, -2:].sum(axis=1) for day, _ in week()]).reshape(-1, 360).sum(1)
    volume = np.concatenate([day.expected[:, -1] for day, _ in week()]).reshape(-1, 360).sum(axis=1)
    rate = hours.sum() / volume.sum()
    dispersion = ((hours - rate * volume) ** 2 / (rate * volume)).mean()
    assert 2 < dispersion < 60


def test_probes_are_due_every_30_s_and_rarely_fail() -> None:
    first = week()[0][0]
    due = first.probe_ok >= 0
    assert due.sum() == 2880 * len(PROBES) * len(VANTAGES)
    assert (due == probes_due(first)).all()
    results = np.concatenate([day.probe_ok for day, _ in week()])
    assert 0.004 < (results == 0).sum() / (results >= 0).sum() < 0.012


def test_missing_telemetry_is_rare_and_said() -> None:
    silent = np.concatenate([day.silent for day, _ in week()])
    missing = np.concatenate([day.missing for day, _ in week()])
    assert 0 < silent.mean() < 0.01
    assert missing[silent].all()
    assert missing[~silent].mean() == pytest.approx(0.0003, rel=0.5)


def test_reports_come_at_their_rate() -> None:
    said = sum(int(day.reports[:, :CORRIDORS].sum()) for day, _ in week())
    arrived = sum(int(day.arrived().sum()) for day, _ in week())
    assert 3e-4 < said / arrived < 8e-4  # their own troubles, 1 % of failures, and rumours


def test_events_have_their_number_and_length() -> None:
    found = events(np.random.default_rng(1), 1000 * DAY_BUCKETS, 1.5, (2, 6))
    assert len(found) == pytest.approx(1500, rel=0.1)
    assert {end - start for start, end in found} == {2, 3, 4, 5, 6}


def test_a_seed_is_repeatable_and_another_is_another() -> None:
    one, two = fresh(), fresh()
    assert (one.ok == two.ok).all()
    assert (one.reports == two.reports).all()
    other = Feed(platform(), 3, one.start_s).next(one.buckets)
    assert (one.ok != other.ok).any()


def test_what_began_is_learnt_once() -> None:
    """Over a week every transfer that began has ended in what health was told, but for the last few."""
    began = sum(day.arrived().reshape(-1, CORRIDORS, len(PRODUCTS)).sum(axis=(0, 2)) for day, _ in week())
    learnt = sum(seen.ended.sum(axis=0) for _, seen in week())
    still = week()[-1][1].open_count[-1]
    assert (learnt <= began).all()
    assert (began - learnt <= still).all()
    failed = sum(seen.failed.sum(axis=1) for _, seen in week())
    assert failed[FAILURES.index("stuck")].sum() > 0


def test_ticks_say_what_the_arrays_say() -> None:
    recording = fresh(360)
    seen = Observer().seen(recording)
    ended = dict.fromkeys(SERIES, 0)
    results = said = 0
    for bucket, tick in enumerate(Observer().ticks(recording)):
        assert tick.now_s == recording.start_s + (bucket + 1) * BUCKET_S + 1
        results += len(tick.probes)
        said += sum(reports.persons for _, reports in tick.reports)
        for name, interval in tick.intervals:
            assert interval.at_s == recording.start_s + bucket * BUCKET_S
            assert sum(interval.failed.values()) <= interval.ended
            ended[name] += interval.ended
    delivered = np.where(seen.missing, 0, seen.ended).sum(axis=0)
    assert list(ended.values()) == delivered.tolist()
    assert said == recording.reports.sum()
    assert results <= (recording.probe_ok >= 0).sum() <= results + len(PROBES)  # the last failures are not yet known


def test_silence_is_said_and_never_filled_with_zeros() -> None:
    recording = fresh(360)
    recording.silent[100:110] = True
    recording.missing[100:110] = True
    ticks = list(Observer().ticks(recording))
    assert all(not tick.intervals and tick.silences for tick in ticks[100:110])


def test_chunks_join_without_a_seam() -> None:
    observer = Observer()
    feed = Feed(platform(), 4, EPOCH_S)
    first, second = feed.next(360), feed.next(360)
    seen = [observer.seen(first), observer.seen(second)]
    late = first.ok_late[-1].reshape(CORRIDORS, len(PRODUCTS)).sum()
    alone = Observer().seen(second)
    assert seen[1].ended[0].sum() >= alone.ended[0].sum() + late
    assert second.ok.shape == (360, STREAMS)
