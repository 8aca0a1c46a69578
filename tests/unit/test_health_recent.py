"""What the last minutes say: mended and broken again are never both true of the same evidence."""

from hypothesis import example, given
from hypothesis import strategies as st

from hakika.health.recent import Recent, Slot

VANTAGES = ("probe-1", "probe-2", "probe-3")
NOW_S = 1_000.0
WIDTH_S = 5.0


def minute(outcomes: list[tuple[int, int]], tests: tuple[bool, bool, bool]) -> Recent:
    """The last intervals, each with how many ended well and how many failed, and each vantage's last test."""
    recent = Recent(corridor=True, hold_s=20.0)
    for place, (well, failed) in enumerate(outcomes):
        end_s = NOW_S - WIDTH_S * (len(outcomes) - 1 - place)
        reasons = {"bank_unreachable": failed} if failed else {}
        recent.add(Slot(end_s, WIDTH_S, well + failed, well + failed, reasons, 0, 0))
    for vantage, ok in zip(VANTAGES, tests, strict=True):
        recent.test(vantage, NOW_S - 10.0, ok)
    return recent


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 6)), min_size=1, max_size=12),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
@example([(0, 3)], (True, True, True))
def test_it_is_never_mended_and_broken_again(outcomes: list[tuple[int, int]], tests: tuple[bool, bool, bool]) -> None:
    recent = minute(outcomes, tests)
    assert not (recent.works(NOW_S) and recent.fails_again(NOW_S))


def test_few_failures_and_green_tests_wait_until_the_failures_are_a_minute_old() -> None:
    recent = minute([(0, 3)], (True, True, True))
    assert not recent.works(NOW_S)
    recent.add(Slot(NOW_S + 60.0, WIDTH_S, 0, 0, {}, 0, 0))
    assert recent.works(NOW_S + 60.0)


def test_few_successes_and_green_tests_are_enough() -> None:
    assert minute([(2, 0)], (True, True, False)).works(NOW_S)
    assert not minute([(2, 0)], (True, False, False)).works(NOW_S)
