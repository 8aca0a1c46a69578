"""Volume against its own profile: shapes, drops, rises, one alarm an episode, and a new level in the end."""

import json
import math

import pytest
from health_series import poisson
from hypothesis import given, settings
from hypothesis import strategies as st

from hakika.clock import seeded
from hakika.health.fitting_volume import fit_volume
from hakika.health.judgement import Level
from hakika.health.profile import DAY_S, FACTOR_MIN, WEEK_S, Row, fit_day, fit_week
from hakika.health.volume import DROP, RISE, Change, VolumeModel, VolumeWatch

HOUR_S = 3600.0
MINUTE_S = 60.0


def shape(at_s: float, weekend: float = 1.0) -> float:
    """A day with its peak at noon; days 2 and 3 since 1970 are a weekend."""
    day = 1.0 + 0.6 * math.sin(2 * math.pi * (at_s / DAY_S - 0.25))
    return day * (weekend if int(at_s // DAY_S) % 7 in (2, 3) else 1.0)


def hourly(days: float, mean: float, seed: int = 1, first: int = 0, weekend: float = 0.5) -> list[Row]:
    """Hourly counts with the shape of a day and of a week."""
    chance = seeded(seed)
    times = [HOUR_S * hour for hour in range(first, first + int(days * 24))]
    return [(at_s, float(poisson(chance, mean * shape(at_s + HOUR_S / 2, weekend)))) for at_s in times]


def rates(minutes: int, seed: int = 1, first: int = 0) -> list[Row]:
    """A rate by the minute, its noise like that of its neighbours."""
    chance, near, rows = seeded(seed), 0.0, []
    for number in range(first, first + minutes):
        near = 0.9 * near + chance.gauss(0, 0.02)
        rows.append((number * MINUTE_S, 1.5e6 * shape(number * MINUTE_S) * math.exp(near)))
    return rows


def changes(watch: VolumeWatch, rows: list[Row]) -> list[tuple[float, Change]]:
    """Everything the watch said, with the row's time."""
    return [(at_s, change) for at_s, amount in rows for change in watch.step(at_s, amount)]


def published(found: list[tuple[float, Change]]) -> list[tuple[float, str]]:
    """Time and kind of each alarm that would publish."""
    return [(at_s, kind) for at_s, (kind, level, _, _) in found if level is Level.PUBLISH]


def test_a_week_is_learnt_from_one_a_day_from_two_and_nothing_from_less() -> None:
    assert fit_week(hourly(7, 50), HOUR_S).period_s == WEEK_S
    assert fit_week(hourly(5, 50), HOUR_S).period_s == DAY_S
    assert fit_week(hourly(1.5, 50), HOUR_S).period_s == 0.0


def test_the_shape_is_what_it_was() -> None:
    profile = fit_week(hourly(28, 400), HOUR_S)
    mean = sum(shape((hour + 0.5) * HOUR_S, 0.5) for hour in range(168)) / 168
    for hour in range(168):
        middle_s = (hour + 0.5) * HOUR_S
        assert profile.at(middle_s) == pytest.approx(shape(middle_s, 0.5) / mean, abs=0.12)


def test_growth_is_level_and_not_shape() -> None:
    rows = [(at_s, value * (1 + at_s / (20 * DAY_S))) for at_s, value in hourly(20, 200, weekend=1.0)]
    factors = fit_day(rows, HOUR_S).factors
    assert factors[0] == pytest.approx(factors[-1], abs=0.15)  # midnight is midnight, though the days grow
    model = fit_volume(rows, HOUR_S)
    assert model.level == pytest.approx(400, rel=0.15)


def test_a_lone_outage_in_quiet_data_is_no_shape() -> None:
    rows = hourly(10, 100, weekend=1.0)
    spoilt = [(at_s, 0.0 if 100 <= at_s / HOUR_S < 103 else value) for at_s, value in rows]
    clean, marked = fit_day(rows, HOUR_S), fit_day(spoilt, HOUR_S)
    assert marked.factors == pytest.approx(clean.factors, abs=0.1)


def test_what_is_rare_is_noisy_and_raises_no_alarm() -> None:
    chance = seeded(5)
    rows = [(number * HOUR_S, float(chance.random() < 0.02)) for number in range(60 * 24)]
    model = fit_volume(rows[: 30 * 24], HOUR_S, rise=True)
    assert not published(changes(VolumeWatch(model), rows[30 * 24 :]))


@pytest.mark.parametrize(("left", "kind"), [(0.0, DROP), (0.3, DROP), (3.0, RISE), (10.0, RISE)])
def test_a_change_of_a_rate_is_one_alarm(left: float, kind: str) -> None:
    quiet, later = rates(4 * 1440), rates(1440, seed=2, first=4 * 1440)
    changed = [(at_s, value * left if 600 <= number < 660 else value) for number, (at_s, value) in enumerate(later)]
    watch = VolumeWatch(fit_volume(quiet, MINUTE_S, rise=True))
    found = changes(watch, changed)
    assert [one for _, one in published(found)] == [kind]
    at_s = published(found)[0][0]
    assert 0 <= at_s - later[600][0] <= 5 * MINUTE_S
    start_s = next(change[2] for _, change in found if change[1] is Level.PUBLISH)
    assert abs(start_s - later[600][0]) <= 3 * MINUTE_S
    assert found[-1][1][1] is Level.QUIET
    assert all(side.level is Level.QUIET for side in watch.sides)


def test_one_odd_minute_does_not_publish() -> None:
    quiet, later = rates(4 * 1440), rates(1440, seed=2, first=4 * 1440)
    for odd in (0.0, 50.0):
        changed = [(at_s, value * odd if number == 600 else value) for number, (at_s, value) in enumerate(later)]
        assert not published(changes(VolumeWatch(fit_volume(quiet, MINUTE_S, rise=True)), changed))


def test_an_outage_is_not_taken_for_the_new_normal_and_a_lasting_change_is() -> None:
    quiet, later = hourly(21, 100), hourly(6, 100, seed=2, first=21 * 24)
    lost = [(at_s, value * 0.1) for at_s, value in later]
    corridor = VolumeWatch(fit_volume(quiet, HOUR_S))
    changes(corridor, lost)
    assert corridor.sides[0].level is Level.PUBLISH
    of_file = VolumeWatch(fit_volume(quiet, HOUR_S, adopt_after_s=DAY_S))
    assert len(published(changes(of_file, lost))) == 1
    assert of_file.sides[0].level is Level.QUIET


def test_volume_rises_are_no_outage() -> None:
    quiet = hourly(21, 100)
    watch = VolumeWatch(fit_volume(quiet, HOUR_S))
    assert not changes(watch, [(at_s, value * 5) for at_s, value in hourly(2, 100, first=21 * 24)])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=60), st.integers(0, 59), st.booleans())
def test_saved_and_restored_it_has_the_same_future(amounts: list[float], cut: int, known: bool) -> None:
    model = fit_volume(hourly(14, 20), HOUR_S, rise=True, adopt_after_s=DAY_S)
    if not known:
        model = VolumeModel(HOUR_S, rise=model.rise, adopt_after_s=DAY_S)
    rows = [(14 * DAY_S + number * HOUR_S, amount) for number, amount in enumerate(amounts)]
    through, killed = VolumeWatch(model), VolumeWatch(model)
    whole = changes(through, rows)
    first = changes(killed, rows[:cut])
    saved = json.loads(json.dumps([model.to_state(), killed.to_state()]))
    woken = VolumeWatch.from_state(VolumeModel.from_state(saved[0]), saved[1])
    assert first + changes(woken, rows[cut:]) == whole
    assert woken.to_state() == through.to_state()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1e12), min_size=24, max_size=200))
def test_any_amounts_make_a_usable_model(amounts: list[float]) -> None:
    rows = [(number * HOUR_S, amount) for number, amount in enumerate(amounts)]
    model = fit_volume(rows, HOUR_S, rise=True)
    assert all(factor >= FACTOR_MIN for factor in model.profile.factors)
    assert model.shot > 0
    assert model.spread > 0
    assert 0 < model.discount <= 1
    watch = VolumeWatch(model)
    for at_s, (_, level, start_s, score) in changes(watch, [(at_s + 200 * HOUR_S, one) for at_s, one in rows]):
        assert start_s <= at_s
        assert math.isfinite(score)
        assert level in Level


def steady(mean: float, intervals: int, seed: int) -> list[Row]:
    """Counts of 10 s around one mean."""
    chance = seeded(seed)
    return [(10.0 * number, float(poisson(chance, mean))) for number in range(intervals)]


def after(rows: list[Row], share: float, hours: float, seed: int) -> list[Row]:
    """What follows on `rows` when only this share of 10 an interval arrives."""
    return [(at_s + 10.0 * len(rows), amount) for at_s, amount in steady(10.0 * share, int(hours * 360), seed)]


def test_a_holiday_is_no_outage_of_a_platform_and_silence_is() -> None:
    rows = steady(10.0, 3 * 8640, 1)
    everyday, of_file = (fit_volume(rows, 10.0, everyday=one) for one in (True, False))
    quiet_day, silence = after(rows, 0.6, 6, 2), after(rows, 0.0, 1, 3)
    assert published(changes(VolumeWatch(everyday), quiet_day)) == []
    assert published(changes(VolumeWatch(of_file), quiet_day))
    seen = published(changes(VolumeWatch(everyday), silence))
    assert seen
    assert seen[0][0] - silence[0][0] <= 60
    assert published(changes(VolumeWatch(everyday), after(rows, 0.3, 1, 4)))


def test_where_less_than_one_a_minute_is_expected_silence_says_nothing() -> None:
    rows = steady(0.15, 14 * 8640, 5)  # nine in ten minutes
    nothing = after(rows, 0.0, 4, 6)
    everyday, of_file = (fit_volume(rows, 10.0, everyday=one) for one in (True, False))
    assert published(changes(VolumeWatch(of_file), nothing))
    assert published(changes(VolumeWatch(everyday), nothing)) == []
    kept = VolumeWatch.from_state(everyday, VolumeWatch(everyday).to_state())
    assert published(changes(kept, nothing)) == []
    assert VolumeModel.from_state(everyday.to_state()) == everyday


def sparse(days: range, seed: int) -> list[Row]:
    """0.1 every ten seconds by day, a twentieth of that at night, when one arrival is many times what is expected."""
    chance = seeded(seed)
    return [
        (at_s, float(poisson(chance, 0.1 if 6 <= at_s % DAY_S / HOUR_S < 22 else 0.005)))
        for at_s in (10.0 * row for row in range(days.start * 8640, days.stop * 8640))
    ]


def test_the_level_of_a_slow_series_stays_what_it_is() -> None:
    model = fit_volume(sparse(range(8), seed=5), 10.0, everyday=True)
    watch = VolumeWatch(model)
    told = published(changes(watch, sparse(range(8, 68), seed=6)))
    noon = [watch.expected(day * DAY_S + hour * HOUR_S) for day in range(68, 75) for hour in range(8, 20)]
    assert sum(noon) / len(noon) == pytest.approx(0.1, rel=0.15)
    assert max(noon) < 0.2
    assert told == []


def test_doubt_that_passes_is_learnt_from_and_an_outage_is_not() -> None:
    model = VolumeModel(60.0, level=100.0, shot=1.0, spread=0.0, half_life_s=6000.0, known=True)
    usual = [(60.0 * row, 100.0) for row in range(3)]
    unsure = [(60.0 * row, 60.0) for row in range(3, 6)]
    steady, low, out = VolumeWatch(model), VolumeWatch(model), VolumeWatch(model)
    assert changes(steady, usual) == []
    assert published(changes(low, [*usual, *unsure])) == []
    saved = json.loads(json.dumps(low.to_state()))
    for watch in (low, VolumeWatch.from_state(model, saved)):
        assert watch.expected(0) == steady.expected(0)  # it stands still while in doubt
        changes(watch, [(60.0 * row, 100.0) for row in range(6, 40)])
        assert 98.5 < watch.expected(0) < 99.8
    assert published(changes(out, [*usual, *((60.0 * row, 0.0) for row in range(3, 20))])) != []
    changes(out, [(60.0 * row, 100.0) for row in range(20, 60)])
    assert out.expected(0) == pytest.approx(100.0, abs=0.1)
