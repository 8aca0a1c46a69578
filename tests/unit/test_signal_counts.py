"""Intervals close by themselves, silent ones too; the ring is bounded, and counting never fails its caller."""

import logging

import pytest

from hakika.services.signals import ANSWER_MAX, HARMLESS, Counts, process_time
from hakika.wire.health_api import SIGNAL_WIDTH_MS, SIGNALS_KEPT


class Time:
    """A clock in the test's hand."""

    def __init__(self, now_ms: int = 1_000_000_000_000) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


def test_an_interval_has_what_was_counted_before_its_end_and_no_more() -> None:
    time = Time()
    counts = Counts(time=time)
    tally = counts.tally("role:core")
    counts.now_ms()
    tally.good()
    tally.own_error()
    time.now_ms += SIGNAL_WIDTH_MS
    counts.now_ms()
    tally.fail("busy")
    tally.fail("busy")
    time.now_ms += SIGNAL_WIDTH_MS
    answer = counts.since("core", 0)
    assert answer.source == "core"
    assert answer.now_ms == time.now_ms
    first, second = answer.intervals
    assert (first.number, first.at_ms, first.width_ms) == (1, 1_000_000_000_000, SIGNAL_WIDTH_MS)
    assert (second.number, second.at_ms) == (2, first.at_ms + SIGNAL_WIDTH_MS)
    assert (first.signals[0].ended, first.signals[0].own_errors, first.signals[0].failed) == (2, 1, {})
    assert (second.signals[0].ended, second.signals[0].own_errors, second.signals[0].failed) == (2, 0, {"busy": 2})


def test_intervals_are_aligned_and_the_first_is_as_short_as_it_was() -> None:
    time = Time(1_000_000_001_200)
    counts = Counts(time=time)
    time.now_ms += 2 * SIGNAL_WIDTH_MS
    first, second = counts.since("core", 0).intervals
    assert (first.at_ms, first.width_ms) == (1_000_000_001_200, 3_800)
    assert (second.at_ms, second.width_ms) == (1_000_000_005_000, SIGNAL_WIDTH_MS)


def test_that_nothing_happened_is_told_for_every_interval_and_series() -> None:
    time = Time()
    counts = Counts(time=time)
    counts.tally("channel:bank-api")
    counts.tally("role:gateway")
    time.now_ms += 7 * SIGNAL_WIDTH_MS
    told = counts.since("gateway", 0).intervals
    assert [interval.number for interval in told] == list(range(1, 8))
    assert all([signal.series for signal in i.signals] == ["channel:bank-api", "role:gateway"] for i in told)
    assert all(signal.ended == signal.arrived == 0 for interval in told for signal in interval.signals)


def test_only_what_is_new_is_told_and_at_most_so_much_at_once() -> None:
    time = Time()
    counts = Counts(time=time)
    time.now_ms += 300 * SIGNAL_WIDTH_MS
    numbers: list[int] = []
    while told := counts.since("core", numbers[-1] if numbers else 0).intervals:
        assert len(told) <= ANSWER_MAX
        numbers += [interval.number for interval in told]
    assert numbers == list(range(1, 301))
    assert counts.since("core", 10**9).intervals == []


def test_health_that_never_asks_costs_a_bounded_ring() -> None:
    time = Time()
    counts = Counts(time=time)
    tally = counts.tally("role:core")
    for number in range(3 * SIGNALS_KEPT):
        counts.now_ms()
        tally.fail(f"reason_{number % 7}")
        time.now_ms += SIGNAL_WIDTH_MS
    counts.now_ms()
    assert len(counts._ring) == SIGNALS_KEPT
    kept = counts.since("core", 0, limit=10**6).intervals
    assert [interval.number for interval in kept] == list(range(2 * SIGNALS_KEPT + 1, 3 * SIGNALS_KEPT + 1))
    assert tally.failed == {}


def test_a_long_silence_is_passed_over_without_making_what_would_be_overwritten() -> None:
    time = Time()
    counts = Counts(time=time)
    tally = counts.tally("role:core")
    closed: list[int] = []
    counts._before_close = closed.append
    tally.good()
    time.now_ms += 1_000_000 * SIGNAL_WIDTH_MS
    kept = counts.since("core", 0, limit=10**6).intervals
    assert len(closed) <= SIGNALS_KEPT + 1
    assert len(kept) == SIGNALS_KEPT
    assert kept[-1].at_ms + SIGNAL_WIDTH_MS == time.now_ms
    assert [interval.number for interval in kept] == list(range(kept[0].number, kept[0].number + SIGNALS_KEPT))
    assert kept[-1].number == 1_000_000


def test_a_wall_clock_that_is_set_moves_no_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    wall, steady = [10**12], [50.0]
    monkeypatch.setattr("hakika.clock.now_ms", lambda: wall[0])
    monkeypatch.setattr("hakika.clock.monotonic_s", lambda: steady[0])
    time = process_time()
    assert time() == 10**12
    wall[0] -= 3_600_000
    steady[0] += 2.5
    assert time() == 10**12 + 2_500


def test_a_bug_in_counting_is_logged_and_goes_no_further(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), HARMLESS:
        raise KeyError("bug")
    assert "signals were not counted" in caplog.text
    with pytest.raises(KeyboardInterrupt), HARMLESS:
        raise KeyboardInterrupt


def test_a_bug_at_an_intervals_end_loses_no_interval(caplog: pytest.LogCaptureFixture) -> None:
    time = Time()

    def broken(ends_ms: int) -> None:
        raise ZeroDivisionError

    counts = Counts(time=time, before_close=broken)
    counts.tally("role:core").good()
    time.now_ms += 2 * SIGNAL_WIDTH_MS
    assert [i.signals[0].ended for i in counts.since("core", 0).intervals] == [1, 0]
    assert "signals were not counted" in caplog.text
