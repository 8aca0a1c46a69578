"""Each named rule goes off on what it is made for, stays quiet on what it is not, and never before it could know."""

import numpy as np
from det_kit import blank, quiet_watched

from bench.det_baselines import (
    BASELINES,
    Fit,
    Watched,
    burn_rate,
    false_incidents,
    first_alarm,
    fitted,
    five_in_a_row,
    kuma,
    reports_alone,
    threshold,
    threshold_fitted,
)
from bench.det_platform import CORRIDORS
from bench.det_world import APP, SERVICES

ONSET = 2700  # after 7.5 h
FIT = Fit(np.full(CORRIDORS, 0.02), np.full(SERVICES + 1, 3, np.int32))


def _failing(share: float, corridor: int = 5, ended: int = 10) -> Watched:
    seen = blank(3600, ended)
    seen.failed[ONSET:, corridor] = round(share * ended)
    return seen


def test_all_are_quiet_when_nothing_goes_wrong() -> None:
    for baseline in BASELINES:
        assert not baseline.rule(blank(3600), FIT).any(), baseline.name


def test_burn_rate_takes_minutes_on_an_outage_and_misses_a_small_one() -> None:
    found = first_alarm(burn_rate(_failing(1.0), FIT), ONSET)
    assert found is not None
    assert found - ONSET == 103  # 28.8 % of an hour is 17.3 min: the bucket that passes it is the 104th
    assert first_alarm(burn_rate(_failing(0.1), FIT), ONSET) is None


def test_burn_rate_needs_its_short_window_too() -> None:
    seen = _failing(1.0)
    seen.failed[ONSET + 130 :] = 0
    assert not burn_rate(seen, FIT)[ONSET + 170 :].any()


def test_threshold_goes_on_when_the_window_passes_ten_percent() -> None:
    alarms = threshold(_failing(1.0), FIT)
    assert first_alarm(alarms, ONSET) == ONSET + 3  # four of thirty buckets are the first above a tenth
    assert alarms[:, 5].any()
    assert not np.delete(alarms, 5, axis=1).any()


def test_threshold_does_not_judge_a_handful() -> None:
    seen = blank(3600, 0)
    seen.ended[ONSET : ONSET + 9, 5] = 1
    seen.failed[ONSET : ONSET + 9, 5] = 1
    assert not threshold(seen, FIT).any()


def test_the_fitted_threshold_is_above_the_quiet_weeks() -> None:
    quiet = quiet_watched()
    fit = fitted(quiet)
    assert not threshold_fitted(quiet, fit).any()
    assert not reports_alone(quiet, fit).any()
    assert first_alarm(threshold_fitted(_failing(0.5), FIT), ONSET) is not None


def test_five_in_a_row_within_and_across_buckets() -> None:
    within = first_alarm(five_in_a_row(_failing(1.0), FIT), ONSET)
    assert within == ONSET
    across = first_alarm(five_in_a_row(_failing(1.0, ended=2), FIT), ONSET)
    assert across == ONSET + 2  # two, two, and the first of the third bucket
    assert first_alarm(five_in_a_row(_failing(0.2), FIT), ONSET) is None


def test_five_in_a_row_counts_over_empty_buckets() -> None:
    seen = blank(3600, 0)
    seen.ended[ONSET : ONSET + 50 : 10, 5] = 1
    seen.failed[ONSET : ONSET + 50 : 10, 5] = 1
    assert first_alarm(five_in_a_row(seen, FIT), ONSET) == ONSET + 40


def test_a_success_in_between_breaks_the_row() -> None:
    seen = blank(3600, 1)
    seen.failed[ONSET : ONSET + 4, 5] = 1
    seen.failed[ONSET + 5 : ONSET + 9, 5] = 1
    assert not five_in_a_row(seen, FIT).any()
    seen.failed[ONSET + 4, 5] = 1
    assert five_in_a_row(seen, FIT).any()


def test_a_row_is_found_in_random_order_about_as_often_as_it_should() -> None:
    """Of 2,000 buckets with 9 of 10 failed, a row of five exists unless the one success lies in the middle two."""
    seen = blank(3600, 10)
    seen.failed[1000:3000:2, 5] = 9
    share = five_in_a_row(seen, FIT)[1000:3000:2, 5].mean()
    assert 0.98 < share <= 1.0  # ten places for the success: five on one side always remain


def test_kuma_waits_for_three_failures_of_its_own_vantage() -> None:
    seen = blank(3600)
    seen.probe_ok[:] = -1
    seen.probe_ok[::3] = 1
    seen.probe_ok[ONSET::3, 4, 1] = 0
    assert not kuma(seen, FIT).any()
    seen.probe_ok[ONSET::3, 4, 0] = 0
    assert first_alarm(kuma(seen, FIT), ONSET) == ONSET + 7  # the third test begins after 60 s, and fails in the next
    assert kuma(seen, FIT)[ONSET + 7 :, 4].all()


def test_reports_need_more_than_the_quiet_weeks_ever_had() -> None:
    seen = blank(3600)
    seen.reports[ONSET // 3 :, APP] = 1
    found = first_alarm(reports_alone(seen, FIT), ONSET)
    assert found == ONSET + 4 * 3 + 2  # the fifth person, when its half minute is over
    seen.reports[:] = 0
    seen.reports[ONSET // 3, APP] = 3
    assert not reports_alone(seen, FIT).any()


def test_false_incidents_are_joined_within_half_an_hour() -> None:
    alarms = np.zeros((3600, 2), np.bool_)
    assert false_incidents(alarms) == 0
    alarms[[100, 150, 280], [0, 1, 0]] = True
    assert false_incidents(alarms) == 1
    alarms[1000] = True
    assert false_incidents(alarms) == 2


def test_an_alarm_that_was_on_before_is_no_detection() -> None:
    alarms = np.zeros((100, 1), np.bool_)
    alarms[40:60] = True
    assert first_alarm(alarms, 50) is None
    alarms[70] = True
    assert first_alarm(alarms, 50) == 70
