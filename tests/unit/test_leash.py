"""The leash on inquiries: not before 90 s, three in two hours, told when to come back, bounded in memory."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from hakika.domain import leash as rules
from hakika.domain.leash import BUDGET, BUDGET_S, FIRST_AFTER_S, Leash

T = UUID(int=7)
FIRST_MS, WINDOW_MS = int(FIRST_AFTER_S * 1000), int(BUDGET_S * 1000)


def test_first_inquiry_after_ninety_seconds() -> None:
    leash = Leash(1.0)
    assert leash.retry_after_s(T, 0, 0) == 90.0
    assert leash.retry_after_s(T, 0, FIRST_MS - 1) == 0.001
    assert leash.retry_after_s(T, 0, FIRST_MS) == 0.0


def test_three_in_two_hours_then_wait() -> None:
    leash = Leash(1.0)
    for number in range(BUDGET):
        assert leash.retry_after_s(T, 0, FIRST_MS + number * 1000) == 0.0
    wait_s = leash.retry_after_s(T, 0, FIRST_MS + 3000)
    assert wait_s == (WINDOW_MS - 3000) / 1000
    assert leash.retry_after_s(T, 0, FIRST_MS + WINDOW_MS - 1) > 0
    assert leash.retry_after_s(T, 0, FIRST_MS + WINDOW_MS) == 0.0
    assert leash.retry_after_s(T, 0, FIRST_MS + WINDOW_MS) > 0  # the second is not forgotten yet


def test_a_refused_inquiry_costs_nothing() -> None:
    leash = Leash(1.0)
    for _ in range(50):
        assert leash.retry_after_s(T, 0, 1) > 0
    assert [leash.retry_after_s(T, 0, FIRST_MS) for _ in range(4)] == [0.0, 0.0, 0.0, WINDOW_MS / 1000]


def test_transfers_do_not_share_a_leash() -> None:
    leash = Leash(1.0)
    for _ in range(BUDGET):
        leash.retry_after_s(T, 0, FIRST_MS)
    assert leash.retry_after_s(UUID(int=8), 0, FIRST_MS) == 0.0


def test_policies_are_scaled() -> None:
    leash = Leash(100.0)
    assert leash.retry_after_s(T, 0, 0) == 0.9
    assert leash.retry_after_s(T, 0, 900) == 0.0


@given(st.lists(st.integers(0, 4 * WINDOW_MS), min_size=1, max_size=40))
def test_never_more_than_the_budget_in_any_window(steps: list[int]) -> None:
    """Against the list of all inquiries that were let through."""
    leash, passed = Leash(1.0), []
    for now_ms in sorted(steps):
        wait_s = leash.retry_after_s(T, 0, now_ms)
        if wait_s == 0:
            passed.append(now_ms)
        else:
            told_ms = now_ms + round(wait_s * 1000)
            assert told_ms > now_ms
            assert told_ms == FIRST_MS or sum(1 for at in passed if told_ms - at < WINDOW_MS) < BUDGET
    assert all(at >= FIRST_MS for at in passed)
    for end in passed:
        assert sum(1 for at in passed if end - WINDOW_MS < at <= end) <= BUDGET


def test_memory_is_bounded() -> None:
    leash = Leash(1.0)
    bound = rules.REMEMBERED_MAX
    for number in range(bound + 10):
        leash.retry_after_s(UUID(int=number + 1), 0, FIRST_MS)
    assert len(leash._asked) == bound
    assert UUID(int=1) not in leash._asked
    assert UUID(int=bound + 10) in leash._asked
