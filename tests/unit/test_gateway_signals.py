"""Every transfer is one outcome of its corridor, whatever happens to it; stuck is counted once; memory is bounded."""

from collections.abc import Iterable
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hakika.domain.blame import TECHNICAL
from hakika.domain.reasons import Reason
from hakika.services.flusher import Busy
from hakika.services.gateway import signals as module
from hakika.services.gateway.patience import FIRST_MS
from hakika.services.gateway.signals import GatewaySignals
from hakika.store.lane import NoAnswer
from hakika.wire.health_api import SIGNAL_WIDTH_MS, Signal

WALLET, TEST = "254712345678", "254110000001"
A, B = "bank-a", "bank-b"


class World:
    """Signals with a clock in the test's hand; `all` sums a series over every closed interval."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000_000_000
        self.signals = GatewaySignals([TEST], time=lambda: self.now_ms)
        self.signals.known_bank(A)
        self.signals.known_bank(B)
        self._told: dict[int, list[Signal]] = {}
        self._numbers = 0

    def fresh(self, bank: str = A, msisdn: str = WALLET) -> UUID:
        self._numbers += 1
        key = UUID(int=self._numbers)
        self.signals.arrived(key, bank, msisdn)
        return key

    def end(self, key: UUID, reason: Reason | None = None, bank: str = A, msisdn: str = WALLET) -> None:
        self.signals.ended(key, bank, msisdn, reason)

    def wait(self, ms: int) -> None:
        self.now_ms += ms
        self.signals.counts.now_ms()

    def series(self, name: str = f"corridor:{A}") -> list[Signal]:
        self.wait(SIGNAL_WIDTH_MS - self.now_ms % SIGNAL_WIDTH_MS)
        for interval in self.signals.counts.since("gateway", 0, limit=10**6).intervals:
            self._told[interval.number] = interval.signals
        return [s for number in sorted(self._told) for s in self._told[number] if s.series == name]

    def all(self, name: str = f"corridor:{A}") -> tuple[int, int, int, dict[str, int]]:
        """(arrived, ended, own errors, failed) since the beginning."""
        found = self.series(name)
        failed: dict[str, int] = {}
        for signal in found:
            for reason, count in signal.failed.items():
                failed[reason] = failed.get(reason, 0) + count
        return (
            sum(s.arrived for s in found), sum(s.ended for s in found), sum(s.own_errors for s in found), failed
        )  # fmt: skip


def test_completed_transfers_are_counted_in_their_corridor_and_product() -> None:
    world = World()
    for bank in (A, A, B):
        world.end(world.fresh(bank), bank=bank)
    assert world.all(f"corridor:{A}") == (2, 2, 0, {})
    assert world.all(f"corridor:{B}") == (1, 1, 0, {})
    assert world.all("product:bank-to-wallet") == (3, 3, 0, {})


@pytest.mark.parametrize("reason", list(Reason))
def test_customers_own_errors_are_apart_from_technical_failures(reason: Reason) -> None:
    world = World()
    world.end(world.fresh(), reason)
    expected = (1, 1, 0, {reason.value: 1}) if TECHNICAL[reason] else (1, 1, 1, {})
    assert world.all() == expected
    assert world.all("product:bank-to-wallet") == expected


def test_the_table_of_blame_is_total() -> None:
    assert set(TECHNICAL) == set(Reason)


def test_a_refusal_at_arrival_is_an_own_error() -> None:
    world = World()
    world.signals.refused(A, WALLET, Reason.CURRENCY_NOT_SERVED)
    assert world.all() == (1, 1, 1, {})


def test_what_is_too_old_is_stuck_once_and_its_end_adds_nothing() -> None:
    world = World()
    stuck, quick = world.fresh(), world.fresh()
    world.end(quick)
    world.wait(FIRST_MS - SIGNAL_WIDTH_MS - 1_000)
    assert world.all()[3] == {}
    world.wait(10 * FIRST_MS)
    assert world.all() == (2, 2, 0, {"stuck": 1})
    assert world.series()[-1].open_count == 1
    assert world.series()[-1].oldest_ms >= 10 * FIRST_MS
    world.end(stuck)
    assert world.all() == (2, 2, 0, {"stuck": 1})
    assert (world.series()[-1].open_count, world.series()[-1].oldest_ms) == (0, 0)


def test_stuck_counts_in_the_interval_in_which_it_became_so_also_when_nobody_asked_meanwhile() -> None:
    world = World()
    began_ms = world.now_ms
    world.fresh()
    world.now_ms += 20 * SIGNAL_WIDTH_MS
    found = [i for i in world.signals.counts.since("gateway", 0).intervals if _of(i.signals).failed]
    (interval,) = found
    assert interval.at_ms < began_ms + FIRST_MS <= interval.at_ms + interval.width_ms


def test_the_sweep_looks_at_what_crosses_and_no_further() -> None:
    world = World()
    keys = []
    for _ in range(200):
        keys.append(world.fresh())
        world.wait(100)
    looked: list[int] = []
    corridor = world.signals._corridors[A]

    class Watched(type(corridor.waiting)):  # type: ignore[misc]
        def __getitem__(self, key: int) -> int:
            looked.append(key)
            return int(super().__getitem__(key))

    corridor.waiting = Watched(corridor.waiting)
    before = world.all()[3].get("stuck", 0)
    looked.clear()
    world.wait(SIGNAL_WIDTH_MS)
    crossed = world.all()[3]["stuck"] - before
    assert 0 < crossed < 100
    assert set(looked) == {key.int for key in keys[before : before + crossed + 1]}


@pytest.mark.parametrize("reason", ["timeout", "busy", "senseless", "unreachable"])
def test_an_attempt_without_an_answer_fails_its_transfer_once(reason: str) -> None:
    world = World()
    key = world.fresh()
    for _ in range(5):
        world.signals.attempt_failed(key, A, reason)
    world.signals.attempt_failed(key, A, "timeout")
    world.wait(10 * FIRST_MS)
    world.end(key)
    assert world.all() == (1, 1, 0, {reason: 1})


def test_an_attempt_about_a_transfer_that_is_not_followed_counts_nothing() -> None:
    world = World()
    ended = world.fresh()
    world.end(ended)
    for key in (ended, UUID(int=99)):  # ended meanwhile by recovery; taken in by another process
        world.signals.attempt_failed(key, A, "timeout")
    assert world.all() == (1, 1, 0, {})
    assert world.series()[-1].open_count == 0


def test_transfers_to_test_wallets_are_seen_nowhere() -> None:
    world = World()
    for reason in (None, Reason.WALLET_BLOCKED, Reason.DEADLINE_PASSED):
        key = world.fresh(msisdn=TEST)
        world.signals.attempt_failed(key, A, "timeout")
        world.end(key, reason, msisdn=TEST)
    world.fresh(msisdn=TEST)
    world.signals.refused(A, TEST, Reason.CURRENCY_NOT_SERVED)
    world.signals.found_open(UUID(int=50), A, TEST, 1, aside=False)
    world.signals.page("served", TEST)
    world.wait(10 * FIRST_MS)
    for name in (f"corridor:{A}", "product:bank-to-wallet", "channel:tracking"):
        assert world.all(name) == (0, 0, 0, {})
        assert world.series(name)[-1].open_count == 0
    assert world.signals.names_test(f"<Id>{TEST}</Id>".encode())
    assert not world.signals.names_test(f"<Id>{WALLET}</Id>".encode())


def test_what_is_held_on_purpose_is_neither_stuck_nor_backlog_until_it_is_attempted_again() -> None:
    world = World()
    key = world.fresh()
    world.signals.set_aside(key, A)
    world.wait(10 * FIRST_MS)
    assert world.all() == (1, 0, 0, {})
    assert world.series()[-1].open_count == 0
    world.signals.attempted(key, A)
    world.wait(FIRST_MS - 2 * SIGNAL_WIDTH_MS)
    assert world.all() == (1, 0, 0, {})
    assert world.series()[-1].open_count == 1
    world.wait(2 * FIRST_MS)
    assert world.all() == (1, 1, 0, {"stuck": 1})


def test_a_lost_commit_reply_does_not_leave_a_transfer_open_for_ever() -> None:
    world = World()
    key = world.fresh()
    world.signals.ended_already(key, A, WALLET, None)
    world.signals.ended_already(key, A, WALLET, None)
    world.wait(10 * FIRST_MS)
    assert world.all() == (1, 1, 0, {})
    assert world.series()[-1].open_count == 0


def test_the_backlog_of_before_the_start_is_known_and_not_counted_again() -> None:
    world = World()
    old, young = UUID(int=501), UUID(int=502)
    world.signals.found_open(old, A, WALLET, world.now_ms - 60_000, aside=False)
    world.signals.found_open(young, A, WALLET, world.now_ms - 1_000, aside=False)
    world.signals.found_open(UUID(int=503), A, WALLET, world.now_ms - 60_000, aside=True)
    assert world.all() == (0, 0, 0, {})
    assert world.series()[0].open_count == 2
    assert world.series()[0].oldest_ms >= 60_000
    world.wait(2 * FIRST_MS)
    assert world.all() == (0, 1, 0, {"stuck": 1})  # the young one crossed in this life
    for key in (old, young):
        world.end(key)
    assert world.all() == (0, 1, 0, {"stuck": 1})
    assert world.series()[-1].open_count == 0


def test_beyond_the_bound_transfers_are_only_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OPEN_MAX", 10)
    world = World()
    keys = [world.fresh() for _ in range(25)]
    corridor = world.signals._corridors[A]
    assert len(corridor.waiting) + len(corridor.counted) == 10
    assert world.series()[-1].open_count == 25
    for key in keys:
        world.end(key)
    assert world.all() == (25, 25, 0, {})
    assert world.series()[-1].open_count == 0
    assert world.signals._followed == 0


def test_what_may_have_ended_elsewhere_is_asked_once_before_it_would_count_and_then_in_turn() -> None:
    world = World()
    keys = [world.fresh() for _ in range(5)]
    assert world.signals.uncertain(100) == []
    world.wait(FIRST_MS - 2_000)
    assert world.signals.uncertain(100) == keys
    assert world.signals.uncertain(100) == []
    world.signals.ended_elsewhere(keys[:3])
    world.wait(FIRST_MS)
    assert world.all() == (5, 2, 0, {"stuck": 2})
    assert [world.signals.uncertain(1)[0] for _ in range(3)] == [keys[3], keys[4], keys[3]]
    world.signals.ended_elsewhere(keys[3:])
    assert world.series()[-1].open_count == 0
    assert world.signals._followed == 0


def test_a_bank_that_takes_no_message_is_its_own_reason_and_no_transfer() -> None:
    world = World()
    world.end(world.fresh())
    for taken in (True, False, False):
        world.signals.pushed(A, taken=taken)
    assert world.all() == (1, 3, 0, {"bank_unreachable": 2})
    assert world.all("product:bank-to-wallet") == (1, 1, 0, {})


def test_tracking_pages_and_our_own_database() -> None:
    world = World()
    for outcome in ("served", "unknown", "store_fault"):
        world.signals.page(outcome)
    world.signals.stored(4)
    world.signals.not_stored(Busy("full"))
    world.signals.not_stored(NoAnswer("gone"))
    assert world.all("channel:tracking") == (3, 3, 1, {"store_fault": 1})
    assert world.all("role:gateway") == (6, 6, 0, {"busy": 1, "store_fault": 1})


STEPS = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 30), st.integers(0, 12_000)), max_size=120)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_whatever_happens_no_transfer_is_more_than_one_outcome(steps: Iterable[tuple[int, int, int]]) -> None:
    world = World()
    live: dict[int, UUID] = {}
    for what, which, wait_ms in steps:
        world.wait(wait_ms)
        key = live.get(which)
        if key is None:
            if what < 4:
                live[which] = world.fresh()
        elif what == 0:
            world.end(live.pop(which))
        elif what == 1:
            world.end(live.pop(which), Reason.DEADLINE_PASSED)
        elif what == 2:
            world.end(live.pop(which), Reason.WALLET_UNKNOWN)
        elif what == 3:
            world.signals.ended_already(live.pop(which), A, WALLET, None)
        elif what == 4:
            world.signals.attempt_failed(key, A, "timeout")
        elif what == 5:
            world.signals.ended_already(key, A, WALLET, None)
            live.pop(which)
        else:
            world.signals.uncertain(3)
    arrived, ended, own, failed = world.all()
    assert ended <= arrived <= ended + len(live)
    assert sum(failed.values()) + own <= ended
    assert world.series()[-1].open_count == len(live)
    for key in live.values():
        world.end(key)
    arrived, ended, own, failed = world.all()
    assert arrived == ended
    assert world.series()[-1].open_count == world.signals._followed == 0


def _of(signals: list[Signal], name: str = f"corridor:{A}") -> Signal:
    return next(signal for signal in signals if signal.series == name)
