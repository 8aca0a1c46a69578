"""The discounted CUSUM itself, and what quiet data makes of its thresholds."""

import math

import pytest
from health_series import DAY, WIDTH_S, transfers

from hakika.health.failures import RATES, RATES_AT, FailureModel, FailureWatch
from hakika.health.fitting import TRUST_S, block_order, excursions, fit_failures, raised_by_chance, tolerated, untaught
from hakika.health.judgement import FLOORS, SHARE_PER_S, Level, floors_at
from hakika.health.observations import Interval


def test_one_interval_is_worth_what_the_formula_says() -> None:
    watch = FailureWatch(FailureModel(usual=0.01, rho=0.1))
    watch.weigh(0.0, 11, 4)
    worth = 1 / (1 + 10 * 0.1)
    expected = max(worth * (4 * math.log(p / 0.01) + 7 * math.log((1 - p) / 0.99)) for p in RATES)
    assert watch.score == pytest.approx(expected)


def test_attempts_of_one_interval_are_not_independent_witnesses() -> None:
    """The same failures, a hundred in one interval or ten in each of ten: together they weigh less."""
    one, ten = FailureWatch(FailureModel(rho=0.1)), FailureWatch(FailureModel(rho=0.1))
    one.weigh(0.0, 100, 5)
    for number in range(10):
        ten.weigh(float(number), 10, 0.5)
    assert one.score < ten.score


def test_a_rate_that_is_usual_here_is_asked_for_the_same_odds() -> None:
    assert FailureModel(usual=0.01).rates() == RATES
    assert FailureModel(usual=0.002).rates() == RATES
    higher = FailureModel(usual=0.2).rates()
    assert all(rate > 0.2 for rate in higher)
    assert list(higher) == sorted(higher)
    assert higher[-1] < 1


def test_five_in_a_row_is_an_outage_at_any_volume() -> None:
    watch = FailureWatch(FailureModel(usual=0.01))
    levels = [change for number in range(7) if (change := watch.step(number * 60.0, 60.0, 1, 1))]
    assert levels[-1][0] is Level.PUBLISH
    assert levels[-1][1] == 0.0


def test_it_closes_only_after_enough_attempts_went_well() -> None:
    watch = FailureWatch(FailureModel())
    for number in range(10):
        watch.step(number * 10.0, 10.0, 10, 9)
    assert watch.level is Level.PUBLISH
    for number in range(10, 40):
        assert watch.step(number * 10.0, 10.0, 0, 0) is None  # nothing ended: nothing is known
    closed = [change for number in range(40, 80) if (change := watch.step(number * 10.0, 10.0, 1, 0))]
    assert [level for level, _, _ in closed] == [Level.QUIET]


def one_kind(rows: list[tuple[int, int]], *, trust_s: float = TRUST_S) -> FailureModel:
    """The model of a single kind of failure."""
    return fit_failures({"": rows}, WIDTH_S, FLOORS, priors={"": RATES_AT}, trust_s=trust_s)[""]


def test_rho_is_learnt_and_stays_in_its_bounds() -> None:
    calm = [(one.ended, sum(one.failed.values())) for one in transfers(1, 3 * DAY, 60)]
    assert one_kind(calm, trust_s=86_400.0).rho <= 0.03
    assert one_kind(calm).rho > 0.09  # three days have not shown what happens once a month
    # Failures that come in lumps: one interval in fifty fails by a third, the others not at all.
    lumpy = [(60, 20 if number % 50 == 0 else 0) for number in range(DAY)]
    assert one_kind(lumpy, trust_s=86_400.0).rho > 0.04
    assert one_kind([]).rho == 0.1


def test_thresholds_rise_with_what_chance_reaches() -> None:
    low = raised_by_chance([1.0 + number % 3 for number in range(100)], 30 * 86_400.0, FLOORS)
    high = raised_by_chance([10.0 + number % 13 for number in range(100)], 30 * 86_400.0, FLOORS)
    assert FLOORS.publish * 0.85 <= low.publish <= FLOORS.publish
    assert high.publish > FLOORS.publish
    assert high.amber / high.publish == pytest.approx(FLOORS.amber / FLOORS.publish)
    short = raised_by_chance([], 3600.0, FLOORS)
    assert short == FLOORS


def test_bursts_in_quiet_data_raise_its_threshold() -> None:
    quiet = transfers(1, 2 * DAY, 60)
    blips = [
        Interval(one.at_s, WIDTH_S, one.ended, {"timeout": one.ended // 3}, one.arrived) if number % 200 < 3 else one
        for number, one in enumerate(quiet)
    ]
    pairs = [[(one.ended, sum(one.failed.values())) for one in rows] for rows in (quiet, blips)]
    calm, lively = (one_kind(rows).factors for rows in pairs)
    assert max(lively) > max(calm)
    assert lively[-1] < lively[-2]  # a third fails in a blip: an outage in which most fail is seen sooner


def test_what_struck_one_reason_may_strike_another() -> None:
    plain = [(60, 1 if number % 9 == 0 else 0) for number in range(2 * DAY)]
    struck = [(60, 40) if number % 200 < 3 else pair for number, pair in enumerate(plain)]
    priors = {"timeout": 0.002, "busy": 0.002}
    alone = fit_failures({"timeout": plain, "busy": plain}, WIDTH_S, FLOORS, priors=priors)
    beside = fit_failures({"timeout": plain, "busy": struck}, WIDTH_S, FLOORS, priors=priors)
    assert beside["timeout"].factors == beside["busy"].factors
    assert max(beside["timeout"].factors) > max(alone["timeout"].factors)
    assert beside["timeout"].usual == alone["timeout"].usual < beside["busy"].usual


def test_a_tolerated_blip_publishes_nothing_and_twice_as_long_does() -> None:
    for usual, attempts in ((0.001, 1), (0.001, 30), (0.01, 10), (0.02, 150)):
        model = untaught(usual, 0.1, WIDTH_S, FLOORS, together=float(attempts))
        for rows, share in ((6, 0.15), (60, 0.25)):
            watch = FailureWatch(model)
            levels = [watch.step(row * WIDTH_S, WIDTH_S, attempts, share * attempts) for row in range(rows)]
            highest = max((change[0] for change in levels if change), default=Level.QUIET)
            assert (highest is Level.PUBLISH) == (share == 0.25), (usual, attempts, share)


def test_few_attempts_gather_less_and_need_less() -> None:
    few, some, many = (tolerated(0.01, 0.1, WIDTH_S, FLOORS, together) for together in (1.0, 4.0, 10.0))
    assert all(low <= middle <= high for low, middle, high in zip(few, some, many, strict=True))
    assert few[0] < 0.8 * FLOORS.publish
    assert many[0] >= 1.6 * FLOORS.publish


def test_attempts_are_counted_since_the_evidence_was_worth_nothing() -> None:
    watch = FailureWatch(FailureModel(0.01))
    watch.step(0.0, WIDTH_S, 5, 0)
    assert watch.told == 0
    watch.step(10.0, WIDTH_S, 5, 2)
    watch.step(20.0, WIDTH_S, 5, 1)
    assert watch.told == 10
    state = watch.to_state()
    assert FailureWatch.from_state(watch.model, state).told == 10
    assert FailureWatch.from_state(watch.model, state[:-1]).told == 0  # of a build that did not count
    for row in range(3, 60):
        watch.step(row * WIDTH_S, WIDTH_S, 30, 0)
    assert watch.told == 0


def test_who_looks_less_often_needs_less() -> None:
    assert floors_at(10.0) == FLOORS
    assert floors_at(3600.0).publish < floors_at(60.0).publish < FLOORS.publish
    assert floors_at(60.0, 30 * SHARE_PER_S).publish < floors_at(60.0).publish
    assert floors_at(1e9, 1.0).publish >= FLOORS.publish / 2


def test_blocks_cover_and_repeat_exactly() -> None:
    order = block_order(1000, 100)
    assert order == block_order(1000, 100)
    assert sum(end - first for first, end in order) >= 3000
    assert all(0 <= first < end <= 1000 for first, end in order)
    assert block_order(5, 100) == [(0, 5)] * 3


def test_excursions_are_the_peaks_between_zeros() -> None:
    assert excursions([0, 1, 3, 2, 0, 0, 5, 0, 4]) == [3, 5, 4]
