"""What OVER, H1 and KILL make of what they saw."""

import pytest

from bench.speed import hour, over

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("by_second", "at_s", "back"),
    [
        ([100] * 20, 10.0, 1),
        ([100] * 10 + [20, 0, 0, 95, 100, 100], 10.4, 3),
        ([100] * 10 + [0, 50, 89, 90], 10.0, 3),
        ([100] * 10 + [0] * 5, 10.0, 5),  # never: all that is left
        ([0] * 10, 0.0, 1),
        ([250] * 10 + [0, 89, 90, 100], 10.0, 2),  # what was made up for before is not what is asked for
    ],
)
def test_the_rate_is_back_when_a_second_is_nearly_what_is_asked_for(
    by_second: list[int], at_s: float, back: int
) -> None:
    assert hour.back_s(by_second, at_s, 100.0) == back


def test_an_hour_is_told_by_its_first_and_last_sixth() -> None:
    outcome = {"accepted": 700, "answered": 699, "left_out": 2, "again": 3, "by_second": [100, 110, 110, 110, 110, 95]}
    told = hour._told(outcome, [10 * MIB, 20 * MIB, 20 * MIB, 30 * MIB, 25 * MIB, 21 * MIB], [(1.0, "core")], 110.0)
    assert (told["first_sixth_per_s"], told["last_sixth_per_s"], told["last_to_first"]) == (100, 95, 0.95)
    assert (told["unanswered"], told["left_out"], told["sent_again"]) == (1, 2, 3)
    assert (told["memory_sixth_mb"], told["memory_last_mb"], told["memory_most_mb"]) == (20, 21, 30)
    assert (told["kills"], told["kills_core"], told["kills_postgres"], told["back_late"]) == (1, 1, 0, 0)


def test_it_has_recovered_when_no_later_second_is_over_the_target() -> None:
    phases = [{"accepted": 90, "refused": 30, "skipped": 1}, {"accepted": 20, "refused": 2, "skipped": 0}]
    slow, fast = 900.0, 100.0
    p99_ms = [slow] * 10 + [fast, slow, fast, None]
    outcome = {"phases": phases, "p99_ms": p99_ms, "accepted": 110, "answered": 110, "cpu_share": 0.2}
    told = over._told(outcome, [50 * MIB] * 3 + [60 * MIB] * 9, 10.0)
    assert (told["recovered_s"], told["unanswered"], told["left_out"]) == (2, 0, 1)
    assert (told["taken"], told["refused"], told["refused_afterwards"]) == (90, 30, 2)
    assert (told["memory_start_mb"], told["memory_most_mb"]) == (50, 60)
