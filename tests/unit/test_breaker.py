"""The breaker and its window: silence stops fresh transfers at once, and they flow again only after doubts."""

from hypothesis import given
from hypothesis import strategies as st

from hakika.domain.breaker import (
    CALM_MOST_S,
    CALM_S,
    FORGIVEN_S,
    ROUND_FAST_S,
    ROUND_SLOW_S,
    SESSION_FRESH_S,
    WINDOW_MAX,
    WINDOW_MIN,
    WINDOW_USUAL,
    Breaker,
)


def flowing(now_s: float = 100.0) -> Breaker:
    """A breaker through which fresh transfers flow at full width."""
    breaker = Breaker()
    breaker.answered(now_s)
    breaker.resolved(now_s)
    return breaker


def test_nothing_flows_before_the_first_answer() -> None:
    """A process that has just started may have left doubts behind: it looks before it sends."""
    breaker = Breaker()
    assert not breaker.sendable(0.0)
    breaker.answered(1.0)
    assert not breaker.sendable(1.0)
    breaker.resolved(1.0)
    assert breaker.sendable(1.0)


def test_resolved_without_a_live_session_keeps_it_open() -> None:
    breaker = Breaker()
    breaker.resolved(1.0)
    assert not breaker.sendable(1.0)
    breaker.answered(10.0)
    breaker.resolved(10.0 + SESSION_FRESH_S + 0.1)
    assert not breaker.sendable(10.0 + SESSION_FRESH_S + 0.1)


def test_first_silence_stops_and_shrinks() -> None:
    breaker = flowing()
    assert breaker.full()
    breaker.silent(101.0)
    assert not breaker.sendable(101.0)
    assert breaker.window == WINDOW_MIN
    breaker.answered(102.0)
    assert not breaker.sendable(102.0)  # an answer alone resolves nothing
    breaker.resolved(102.0)
    assert breaker.sendable(102.0)
    assert breaker.window == WINDOW_MIN


def test_unreachable_stops_without_a_doubt() -> None:
    breaker = flowing()
    breaker.unreachable(100.5)
    assert not breaker.sendable(100.5)
    assert not breaker.live(100.5)
    assert not breaker.doubts
    breaker.answered(101.0)
    assert not breaker.sendable(101.0)
    breaker.resolved(101.0)
    assert breaker.sendable(101.0)


def test_a_quiet_session_stops_fresh_transfers() -> None:
    breaker = flowing(100.0)
    assert breaker.sendable(100.0 + SESSION_FRESH_S)
    assert not breaker.sendable(100.0 + SESSION_FRESH_S + 0.01)


def test_window_doubles_with_each_full_round() -> None:
    breaker = flowing()
    breaker.silent(101.0)
    breaker.answered(101.5)
    breaker.resolved(101.5)
    widths = [breaker.window]
    while not breaker.full():
        breaker.round_complete(breaker.window // 2 - 1, 102.0, 0.01)
        assert breaker.window == widths[-1]  # not a full round
        breaker.round_complete(breaker.window // 2, 102.0, 0.01)
        widths.append(breaker.window)
    assert widths == [4, 8, 16, 32, 64]
    breaker.round_complete(WINDOW_USUAL, 101.5 + CALM_S - 0.1, 0.01)
    assert breaker.window == WINDOW_USUAL  # not yet calm


def test_a_calm_and_fast_far_side_gets_a_wider_window() -> None:
    breaker = flowing(100.0)
    later_s = 100.0 + CALM_S
    breaker.round_complete(WINDOW_USUAL, later_s, ROUND_FAST_S + 0.01)
    assert breaker.window == WINDOW_USUAL  # not fast
    breaker.round_complete(WINDOW_USUAL // 2 - 1, later_s, 0.01)
    assert breaker.window == WINDOW_USUAL  # not asked for
    widths = []
    for _ in range(5):
        breaker.round_complete(breaker.window, later_s, 0.01)
        widths.append(breaker.window)
    assert widths == [128, 256, 512, WINDOW_MAX, WINDOW_MAX]
    breaker.round_complete(10, later_s, ROUND_SLOW_S + 0.01)
    assert breaker.window == WINDOW_MAX // 2  # too wide for what it answers
    for _ in range(5):
        breaker.round_complete(10, later_s, ROUND_SLOW_S + 0.01)
    assert breaker.window == WINDOW_USUAL


def test_after_any_trouble_no_more_than_the_usual_until_it_is_calm_again() -> None:
    breaker = flowing(100.0)
    breaker.round_complete(WINDOW_USUAL, 100.0 + CALM_S, 0.01)
    assert breaker.window > WINDOW_USUAL
    breaker.unreachable(140.0)
    breaker.answered(141.0)
    breaker.resolved(141.0)
    for _ in range(20):
        breaker.round_complete(breaker.window, 141.0 + CALM_S - 0.1, 0.01)
    assert breaker.window == WINDOW_USUAL


def narrow_for_s(breaker: Breaker, flowing_since_s: float) -> float:
    """How long full and fast rounds have to go on before the window is wider than usual; two are enough then."""
    for quarters in range(400):
        breaker.round_complete(breaker.window, flowing_since_s + quarters / 4, 0.01)
        if breaker.window > WINDOW_USUAL:
            return quarters / 4
    raise AssertionError("never wider")


def test_what_comes_back_soon_has_to_be_calm_for_longer() -> None:
    """A far side that restarts once is not one that comes and goes."""
    breaker, now_s, waits = flowing(100.0), 100.0, []
    for apart_s in (FORGIVEN_S, 18.0, 18.0, 18.0, 18.0, FORGIVEN_S - 0.5, FORGIVEN_S, 18.0):
        now_s += apart_s
        breaker.unreachable(now_s)
        breaker.silent(now_s + 0.5)  # the same trouble
        now_s += 1.0
        breaker.answered(now_s)
        breaker.resolved(now_s)
        waits.append(narrow_for_s(breaker, now_s))
    assert waits == [CALM_S, 4.0, 8.0, CALM_MOST_S, CALM_MOST_S, CALM_MOST_S, CALM_S, 4.0]


def test_the_start_is_no_trouble() -> None:
    """A process that has just started has seen no other trouble than this one."""
    breaker = Breaker()
    breaker.unreachable(99.0)  # the far side starts later than we do
    breaker.answered(100.0)
    breaker.resolved(100.0)
    breaker.unreachable(105.0)
    breaker.answered(106.0)
    breaker.resolved(106.0)
    assert narrow_for_s(breaker, 106.0) == CALM_S
    breaker.unreachable(112.0)
    breaker.answered(113.0)
    breaker.resolved(113.0)
    assert narrow_for_s(breaker, 113.0) == 2 * CALM_S


def test_rounds_that_end_after_the_trip_do_not_widen() -> None:
    breaker = flowing()
    breaker.silent(101.0)
    breaker.round_complete(64, 101.0, 0.01)
    assert breaker.window == WINDOW_MIN


def test_each_silence_begins_the_wait_for_orphans_again() -> None:
    """A later instruction without an answer has a later lease; a session that fails leaves nothing to wait for."""
    breaker = flowing()
    breaker.silent(101.0)
    breaker.unreachable(103.0)
    assert breaker.since_s == 101.0
    breaker.silent(105.0)
    assert breaker.since_s == 105.0


STEP = st.sampled_from(["answered", "silent", "unreachable", "resolved", "round_complete", "wait"])


@given(st.lists(STEP, max_size=60))
def test_no_fresh_transfer_between_a_silence_and_its_resolution(steps: list[str]) -> None:
    """Whatever the order of events: doubts are resolved before the drain, and the window stays in its bounds."""
    breaker, now_s, doubted = Breaker(), 0.0, True
    for step in steps:
        now_s += 0.4
        match step:
            case "wait":
                now_s += SESSION_FRESH_S
            case "round_complete":
                breaker.round_complete(breaker.window, now_s, 0.01)
            case _:
                getattr(breaker, step)(now_s)
        doubted = step == "silent" or (doubted and step != "resolved")
        assert WINDOW_MIN <= breaker.window <= WINDOW_MAX
        if breaker.sendable(now_s):
            assert not doubted
            assert breaker.live(now_s)


def test_how_long_it_has_flown() -> None:
    breaker = Breaker()
    assert breaker.flowing_s(100.0) == 0.0
    breaker.answered(100.0)
    breaker.resolved(100.0)
    assert breaker.flowing_s(107.5) == 7.5
    breaker.silent(108.0)
    assert breaker.flowing_s(109.0) == 0.0
