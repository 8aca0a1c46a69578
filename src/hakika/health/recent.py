"""The last minutes of one component: what is needed to say that it works again, and whether the close rule is met.

Detectors are slow to let go, so that nothing flaps; whether something works now is read from what has just happened.
Two-sided: the last minute must look well for what was broken to count as mending, and clearly bad for it to break
again. All of it is derived from stored evidence, so a judge that wakes up reads the same minutes again. Seconds are
unix seconds; `hold_s` is the closing hold, a policy and so divided by the scale.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hakika.health.assessment import Figures
from hakika.health.incident_events import Condition, Met

HOLD_S = 300.0
HOLD_MIN_S = 20.0  # a scale never makes it shorter
MINUTE_S = 60.0
FRESH_S = 20.0  # after the end of the last interval
PROBE_STALE_S = 300.0
PROBE_KNOWN_S = 3_600.0
REPORTS_TOLD_S = 900.0
ATTEMPTS_MIN = 5  # fewer outcomes say nothing about a rate
COVERED = 0.95  # of the hold that intervals must tell of
TOLD = 0.8  # of the last minute, for a role that answers again
TESTS_MIN = 3.0  # of a vantage within a hold of several minutes
CALM_FACTOR = 2.0  # times the usual rate
CALM_MIN = 0.01  # a rate this low is no outage, however rare failures used to be
AGAIN_SHARE = 0.05
AGAIN_FAILED = 3
OLDEST_DEFAULT_MS, OLDEST_MIN_MS = 15_000, 5_000
OPEN_DEFAULT = 3


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual for a component: its share of failures, the age of the oldest and the number pending (p99)."""

    failed: float = 0.01
    oldest_ms: int = OLDEST_DEFAULT_MS
    open_count: int | None = None  # None: what has arrived within `oldest_ms` explains

    @property
    def limit(self) -> float:
        """The share of failures that is calm."""
        return max(CALM_FACTOR * self.failed, CALM_MIN)


@dataclass(frozen=True, slots=True)
class Slot:
    """One interval."""

    end_s: float
    width_s: float
    arrived: int
    ended: int
    failed: Mapping[str, int]
    open_count: int
    oldest_ms: int


@dataclass(slots=True)
class Recent:
    """Intervals, tests and reports of one component, as long as they matter."""

    corridor: bool
    hold_s: float
    usual: Usual = field(default_factory=Usual)
    slots: deque[Slot] = field(default_factory=deque)
    tests: dict[str, deque[tuple[float, bool]]] = field(default_factory=dict)
    reports: deque[tuple[float, int]] = field(default_factory=deque)
    seen: bool = False  # it has ever had an interval

    def add(self, slot: Slot) -> None:
        """The next interval."""
        self.seen = True
        self.slots.append(slot)
        keep_s = max(self.hold_s, MINUTE_S, self.usual.oldest_ms / 1000)
        while self.slots and self.slots[0].end_s <= slot.end_s - keep_s:
            self.slots.popleft()

    def test(self, vantage: str, at_s: float, ok: bool) -> None:
        """A synthetic test that ended at `at_s`; one not newer than the vantage's last is left out."""
        tests = self.tests.setdefault(vantage, deque())
        if tests and at_s <= tests[-1][0]:
            return
        tests.append((at_s, ok))
        while tests and tests[0][0] < at_s - max(self.hold_s, PROBE_STALE_S):
            tests.popleft()

    def fresh(self, now_s: float) -> bool:
        """Its source still tells."""
        return bool(self.slots) and now_s - self.slots[-1].end_s <= FRESH_S

    def probed(self, now_s: float) -> bool:
        """Some vantage still tells."""
        return any(now_s - tests[-1][0] <= PROBE_STALE_S for tests in self.tests.values())

    def figures(self, now_s: float, *, silent_s: int = 0, since_s: float = 0.0) -> Figures:
        """The numbers that people and banks are shown; `since_s` is when it broke, if it is broken."""
        minute = self._last(now_s, MINUTE_S)
        reasons: dict[str, int] = {}
        for slot in minute:
            for reason, count in slot.failed.items():
                reasons[reason] = reasons.get(reason, 0) + count
        last = self.slots[-1] if self.slots else None
        ended, failed = _outcomes([slot for slot in minute if slot.end_s > since_s])
        live = [tests for tests in self.tests.values() if now_s - tests[-1][0] <= PROBE_STALE_S]
        return Figures(
            ended=sum(slot.ended for slot in minute),
            failed=sum(reasons.values()),
            reasons=reasons,
            open_count=last.open_count if last else 0,
            oldest_ms=last.oldest_ms if last else 0,
            green=sum(tests[-1][1] for tests in live),
            vantages=len(live),
            reports=sum(count for at_s, count in self.reports if now_s - at_s <= REPORTS_TOLD_S),
            silent_s=silent_s,
            failed_percent=100 * failed // ended if ended else 0,
        )

    def told(self, now_s: float) -> bool:
        """Its source has told of the whole last minute, as nearly as can be."""
        seen_s = sum(slot.width_s for slot in self._last(now_s, MINUTE_S))
        return self.fresh(now_s) and seen_s >= TOLD * MINUTE_S

    def share_since(self, now_s: float, since_s: float) -> float | None:
        """The share that failed since then, at most in the last minute; None of too few."""
        ended, failed = _outcomes([slot for slot in self._last(now_s, MINUTE_S) if slot.end_s > since_s])
        return failed / ended if ended >= ATTEMPTS_MIN else None

    def works(self, now_s: float) -> bool:
        """The last minute shows it working: enough outcomes and few failures, or, of tests, two of three.

        Never on evidence that would say the next moment that it fails again.
        """
        if self.fails_again(now_s):
            return False
        figures = self.figures(now_s)
        probes = self._probes_work(figures)
        if self.fresh(now_s) and figures.ended >= ATTEMPTS_MIN:
            return figures.failed < self.usual.limit * figures.ended and probes is not False
        return probes is True

    def fails_again(self, now_s: float) -> bool:
        """The last minute shows it broken, more clearly than chance would."""
        figures = self.figures(now_s)
        share = max(CALM_FACTOR * self.usual.limit, AGAIN_SHARE)
        by_transfers = figures.failed >= AGAIN_FAILED and figures.failed >= share * figures.ended
        return by_transfers or (self._probes_work(figures) is False and figures.vantages - figures.green > 1)

    def conditions(self, now_s: float, *, reports_elevated: bool) -> dict[str, str]:
        """The close rule, part by part."""
        measured = {
            Condition.FAILURES: self._failures(now_s),
            Condition.OLDEST: self._pending(now_s, old=True),
            Condition.BACKLOG: self._pending(now_s, old=False),
            Condition.REPORTS: Met.UNMET if reports_elevated else Met.MET,
            Condition.PROBES: self._green(now_s),
        }
        return {condition.value: met.value for condition, met in measured.items()}

    def _failures(self, now_s: float) -> Met:
        if not self.fresh(now_s):
            return Met.UNMEASURED
        held = self._last(now_s, self.hold_s)
        ended, failed = _outcomes(held)
        gaps = sum(slot.width_s for slot in held) < COVERED * self.hold_s  # the hold itself was not seen whole
        if gaps or (failed and failed >= self.usual.limit * ended):
            return Met.UNMET
        return Met.MET if ended >= ATTEMPTS_MIN else Met.UNMEASURED

    def _pending(self, now_s: float, *, old: bool) -> Met:
        """What nobody tells any more is not known to have ended."""
        if not self.corridor or not self.seen:
            return Met.UNMEASURED
        if not self.fresh(now_s):
            return Met.UNMET
        last = self.slots[-1]
        if old:
            return Met.MET if last.oldest_ms < self.usual.oldest_ms or not last.open_count else Met.UNMET
        usual = self.usual.open_count
        if usual is None:
            usual = OPEN_DEFAULT + sum(slot.arrived for slot in self._last(now_s, self.usual.oldest_ms / 1000))
        return Met.MET if last.open_count <= usual else Met.UNMET

    def _green(self, now_s: float) -> Met:
        known = [tests for tests in self.tests.values() if now_s - tests[-1][0] <= PROBE_KNOWN_S]
        if not known:
            return Met.UNMEASURED
        green = 0
        for tests in known:
            held = [ok for at_s, ok in tests if at_s > now_s - max(self.hold_s, MINUTE_S)]
            green += len(held) >= min(TESTS_MIN, self.hold_s / MINUTE_S) and bool(held) and all(held)
        return Met.MET if green * 3 >= len(known) * 2 else Met.UNMET

    def _probes_work(self, figures: Figures) -> bool | None:
        """None where no vantage tells."""
        return figures.green * 3 >= figures.vantages * 2 if figures.vantages else None

    def _last(self, now_s: float, width_s: float) -> list[Slot]:
        return [slot for slot in self.slots if slot.end_s > now_s - width_s]


def _outcomes(slots: Iterable[Slot]) -> tuple[int, int]:
    """How many ended, and how many failed."""
    ended = failed = 0
    for slot in slots:
        ended += slot.ended
        failed += sum(slot.failed.values())
    return ended, failed
