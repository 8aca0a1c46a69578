"""What goes wrong on command: lost, late and doubled answers, silence, crashes; chosen by a seeded source.

`POST /control` replaces the whole set, so `{"faults": {}}` mends everything. A chance is a probability, or an
object with a probability or a count of times. A crash point is a named place between two steps; when it is
armed and reached the process ends at once (os._exit), as by a power cut. The variable HAKIKA_CRASH_AT arms one
at start: `name`, or `name:n` for the n-th time that it is passed. Nothing is armed by itself.
"""

import logging
import os

import msgspec

from hakika import clock

log = logging.getLogger(__name__)

CRASH_VARIABLE = "HAKIKA_CRASH_AT"
CRASH_EXIT_CODE = 70
UNREACHABLE_S_MAX = 86_400.0
DELAY_MS_MAX = 600_000
POLLS_TIMES_MAX = 1_000.0

CRASH_POINTS = (
    "before_debit_commit",
    "after_debit_commit",
    "before_customer_answer",
    "before_send",
    "after_send",
    "before_accept_commit",
    "after_accept_commit",
    "before_reject_commit",
    "after_reject_commit",
    "before_poll",
    "after_poll",
    "before_final_commit",
    "after_final_commit",
    "before_callback_answer",
    "before_ack_send",
    "after_ack_send",
    "before_ack_commit",
    "after_ack_commit",
)


class Chance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often a fault happens: with `probability`, or the next `count` times; `ms` where it is a delay."""

    probability: float | None = None
    count: int | None = None
    ms: int | None = None


class CrashAt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """End the process when `name` is passed for the `nth` time from now."""

    name: str
    nth: int = 1


class FaultSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every fault that can be commanded; what is absent does not happen."""

    lose_answers: float | Chance | None = None
    late_answers_ms: int | Chance | None = None
    send_twice: float | Chance | None = None
    callback_no_answer: float | Chance | None = None
    callback_late_ms: int | Chance | None = None
    crash_at: str | CrashAt | None = None
    unreachable_s: float | None = None
    polls_times: float | None = None


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /control`."""

    faults: FaultSet


class FaultsRefused(ValueError):
    """A command that names an unknown crash point or a chance out of range; `field` and `rule` say which."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule


class _Dice:
    """One fault's chance, used up as it is drawn."""

    def __init__(self, field: str, value: float | int | Chance | None, *, delay: bool) -> None:
        self.ms = 0
        self._count: int | None = None
        self._probability = 0.0
        if value is None:
            return
        if not isinstance(value, Chance):
            value = Chance(probability=1.0, ms=int(value)) if delay else Chance(probability=float(value))
        if (value.ms is None) is delay:
            raise FaultsRefused(field, "ms is given for a delay and for nothing else")
        if value.ms is not None and not 0 <= value.ms <= DELAY_MS_MAX:
            raise FaultsRefused(field, f"ms is 0 to {DELAY_MS_MAX}")
        if value.count is not None and value.probability is not None:
            raise FaultsRefused(field, "a probability or a count, not both")
        if value.count is not None and value.count < 0:
            raise FaultsRefused(field, "a count is not negative")
        self.ms = value.ms or 0
        self._count = value.count
        self._probability = 1.0 if value.probability is None else value.probability
        if not 0.0 <= self._probability <= 1.0:
            raise FaultsRefused(field, "a probability is 0 to 1")

    def draw(self, chosen: float) -> bool:
        """Whether it happens this time; `chosen` is uniform in [0, 1)."""
        if self._count is not None:
            self._count -= 1
            return self._count >= 0
        return chosen < self._probability


class Faults:
    """The faults in force now."""

    def __init__(self, seed: int, *, crash_at: str | None = None) -> None:
        """`crash_at` as in HAKIKA_CRASH_AT; FaultsRefused when it names no crash point."""
        self._random = clock.seeded(seed)
        self.commanded = FaultSet()
        self._unreachable_until_s = 0.0
        self.polls_times = 1.0  # how many times as often as its manners allow this bank asks for statuses
        self._crash: CrashAt | None = None
        self.replace(FaultSet())
        if crash_at:
            name, _, nth = crash_at.partition(":")
            if nth and not nth.isdecimal():
                raise FaultsRefused(CRASH_VARIABLE, "a crash point's name, or name:n")
            self._crash = _checked_crash(CrashAt(name, int(nth or 1)))

    def replace(self, faults: FaultSet) -> None:
        """Put this set in force instead of the present one; FaultsRefused leaves the present one."""
        lose = _Dice("lose_answers", faults.lose_answers, delay=False)
        late = _Dice("late_answers_ms", faults.late_answers_ms, delay=True)
        twice = _Dice("send_twice", faults.send_twice, delay=False)
        mute = _Dice("callback_no_answer", faults.callback_no_answer, delay=False)
        dawdle = _Dice("callback_late_ms", faults.callback_late_ms, delay=True)
        crash = faults.crash_at
        crash = CrashAt(crash) if isinstance(crash, str) else crash
        crash = None if crash is None else _checked_crash(crash)
        unreachable_s = faults.unreachable_s or 0.0
        if not 0.0 <= unreachable_s <= UNREACHABLE_S_MAX:
            raise FaultsRefused("unreachable_s", f"seconds from 0 to {UNREACHABLE_S_MAX:g}")
        polls_times = faults.polls_times if faults.polls_times is not None else 1.0
        if not 1.0 <= polls_times <= POLLS_TIMES_MAX:
            raise FaultsRefused("polls_times", f"a number from 1 to {POLLS_TIMES_MAX:g}")
        self._lose, self._late, self._twice, self._mute, self._dawdle = lose, late, twice, mute, dawdle
        self._crash = crash
        self.polls_times = polls_times
        self._unreachable_until_s = clock.monotonic_s() + unreachable_s
        self.commanded = faults

    def loses_answer(self) -> bool:
        """Act as if the gateway's answer never came."""
        return self._lose.draw(self._random.random())

    def answer_delay_s(self) -> float:
        """Handle the gateway's answer only after this long; 0 for at once."""
        return self._late.ms / 1000 if self._late.draw(self._random.random()) else 0.0

    def sends_twice(self) -> bool:
        """Send two copies side by side."""
        return self._twice.draw(self._random.random())

    def callback_unanswered(self) -> bool:
        """Book what the gateway says and never answer."""
        return self._mute.draw(self._random.random())

    def callback_delay_s(self) -> float:
        """Answer the gateway's call only after this long; 0 for at once."""
        return self._dawdle.ms / 1000 if self._dawdle.draw(self._random.random()) else 0.0

    def unreachable_for_s(self) -> float:
        """How long nothing goes out and no callback is heard; 0 when the bank can be reached."""
        return max(0.0, self._unreachable_until_s - clock.monotonic_s())

    def crash_point(self, name: str) -> None:
        """End the process here if this point is armed and its time has come."""
        if self._crash is None or self._crash.name != name:
            return
        if self._crash.nth > 1:
            self._crash = CrashAt(name, self._crash.nth - 1)
            return
        log.warning("crashing at %s as commanded", name)
        os._exit(CRASH_EXIT_CODE)


def _checked_crash(crash: CrashAt) -> CrashAt:
    if crash.name not in CRASH_POINTS:
        raise FaultsRefused("crash_at", f"one of {', '.join(CRASH_POINTS)}")
    if crash.nth < 1:
        raise FaultsRefused("crash_at", "nth is 1 or more")
    return crash
