"""Admission: what is under way is bounded while the core answers, and never counted against an outage or a drain."""

from uuid import UUID

import pytest

from hakika import clock
from hakika.services.gateway import admission
from hakika.services.gateway.admission import LATELY_S, LEAST, LINGERS_S, OVERLOAD_LEAST, OVERLOAD_S, Admission


class Time:
    """The monotonic clock of the module under test."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(admission, "clock", made)
    return made


def taken(one: Admission, count: int, first: int = 0) -> list[UUID]:
    ids = [UUID(int=first + number) for number in range(count)]
    for transfer in ids:
        one.taken(transfer)
    return ids


def test_no_more_is_under_way_than_is_always_allowed(time: Time) -> None:
    one = Admission(lambda: True)
    ids = taken(one, LEAST - 1)
    assert not one.full()
    message = object()
    with one.arriving(message):
        assert one.full()
        time.now_s += OVERLOAD_S + 0.1
        one.committed(message)
        assert not one.full()  # its transfer counts from here on, not its answer
    with one.arriving(message):
        assert one.full()
    time.now_s += OVERLOAD_S / 2
    for transfer in ids:
        one.taken(transfer)  # younger, or they would count as a backlog
    time.now_s += OVERLOAD_S / 2 + 0.1
    assert not one.full()
    taken(one, 1, first=LEAST)
    assert one.full()
    time.now_s += OVERLOAD_S + 0.1
    one.ended(ids[0])
    assert not one.full()


def test_after_a_refusal_less_is_held_until_nothing_is_refused_for_a_while(time: Time) -> None:
    one = Admission(lambda: True)
    ids = taken(one, LEAST)
    assert one.full()
    for transfer in ids[OVERLOAD_LEAST:]:
        one.ended(transfer)
        assert one.full()
    one.ended(ids[0])
    assert not one.full()
    taken(one, 1, first=10**6)
    time.now_s += OVERLOAD_S
    assert one.full()
    time.now_s += OVERLOAD_S + 0.1
    taken(one, LEAST - OVERLOAD_LEAST - 1, first=10**7)
    assert not one.full()


def test_who_is_fast_may_have_more_under_way(time: Time) -> None:
    """10,000 a second: 1,500 end within HOLD_S."""
    one = Admission(lambda: True)
    for second in range(40):
        for transfer in taken(one, 5_000, first=5_000 * second):
            one.ended(transfer)
        taken(one, LEAST, first=10**9)
        time.now_s += 0.5
        one._limit(time.now_s)
        for number in range(LEAST):
            one.ended(UUID(int=10**9 + number))
    taken(one, 1_200, first=10**7)
    assert not one.full()
    taken(one, 600, first=10**8)
    assert one.full()


def test_while_nothing_flows_everything_is_taken() -> None:
    flows = True
    one = Admission(lambda: flows)
    taken(one, 10 * LEAST)
    assert one.full()
    flows = False
    assert not one.full()
    taken(one, 100_000)
    assert len(one._under_way) <= LEAST  # an outage is not kept in memory
    flows = True
    assert not one.full()


def test_what_is_part_of_a_backlog_counts_no_more(time: Time) -> None:
    one = Admission(lambda: True)
    taken(one, 10 * LEAST)
    assert one.full()
    time.now_s += LATELY_S + 0.1
    assert not one.full()


def test_what_did_not_get_into_custody_is_forgotten() -> None:
    one = Admission(lambda: True)
    for _ in range(10 * LEAST):
        with pytest.raises(ZeroDivisionError), one.arriving(object()):
            raise ZeroDivisionError
    assert not one.full()
    one.ended(clock.new_id())


def test_what_lingers_is_asked_about_where_much_is_under_way(time: Time) -> None:
    one = Admission(lambda: True)
    first = taken(one, LEAST // 2 - 1)
    time.now_s += 2 * LINGERS_S
    assert one.uncertain(1_000) == []
    taken(one, 10, first=10**6)
    assert one.uncertain(1_000) == first
    time.now_s += LINGERS_S
    assert len(one.uncertain(1_000)) == len(first) + 10
    for transfer in first:
        one.ended(transfer)
    assert one.uncertain(1_000) == []


def test_what_ended_elsewhere_makes_room(time: Time) -> None:
    one = Admission(lambda: True)
    taken(one, LEAST)
    assert one.full()
    time.now_s += OVERLOAD_S + 0.1
    assert len(one.uncertain(10)) == 10
    one.ended_elsewhere(one.uncertain(10))
    assert not one.full()
